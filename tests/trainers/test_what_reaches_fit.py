"""What a run's settings make of the training itself."""

import numpy as np
import pytest
from small_workdirs import finished

from r2b_keras import data, recipes
from r2b_keras.data import Augmentation
from r2b_keras.environment import tf
from r2b_keras.models import build_network
from r2b_keras.trainers import Distiller, averaging
from r2b_keras.trainers.best_epoch import BestEpoch
from r2b_keras.trainers.callbacks import SaveEpoch
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir

SMALL = ["stages.*.student.width=4", "stages.*.student.blocks=1"]


def small(*overrides):
    return recipes.apply_overrides(recipes.get("digits"), [*SMALL, *overrides])


class FittedError(Exception):
    """Stands for the training, with what it was given."""


@pytest.fixture
def fit_raises(monkeypatch):
    def fit(self, images, **options):
        raise FittedError(self, images, options)

    monkeypatch.setattr(Distiller, "fit", fit)


def test_what_reaches_fit(tmp_path, monkeypatch, fit_raises):
    asked = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: asked.append(1)
    )
    recipe = small()
    stage, images = recipe.stages[0], data.load(recipe.data)
    given = {"dataset": images, "seed": 3, "precision": "bfloat16"}
    with pytest.raises(FittedError) as caught:
        train_chain(recipe, 0, Workdir(tmp_path / "run"), **given)
    model, batches, options = caught.value.args
    assert asked == [1]
    assert model.student.get_layer("stem_conv").compute_dtype == "bfloat16"
    wanted = {"initial_epoch": 0, "epochs": 10, "steps_per_epoch": 20}
    assert {name: options[name] for name in wanted} == wanted
    rate = model.optimizer._learning_rate
    assert (rate.kind, rate.total_steps, rate.warmup_steps) == ("cosine", 200, 20)

    def first(augmentation, seed):
        drawn = images.train(64, augmentation, seed, 0, 10, normalised=False)
        return next(drawn.as_numpy_iterator())

    found = next(batches.as_numpy_iterator())
    for one, other in zip(found, first(stage.augmentation, 3000), strict=True):
        np.testing.assert_array_equal(one, other)
    for other in (first(Augmentation(), 3000), first(stage.augmentation, 3001)):
        assert not np.array_equal(found[0], other[0])
    tf.keras.utils.set_random_seed(3000)
    weights = build_network(stage.student, (8, 8, 1), 10).get_weights()
    for one, other in zip(model.student.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)


def given_to_fit(folder, recipe, number, *before):
    """What a stage alone gives to `fit`, after earlier ones with these networks."""
    images = data.load(recipe.data)
    options = {"dataset": images, "only": True, "deterministic": False}
    with pytest.raises(FittedError):  # what is written first: the run's identity
        train_chain(recipe, 0, Workdir(folder), **options)
    workdir = finished(folder, *range(number))
    for stage, network in enumerate(before):
        if network is not None:
            network.save(workdir.model(stage))
    with pytest.raises(FittedError) as caught:
        train_chain(recipe, number, Workdir(folder), **options)
    return images, *caught.value.args


def test_the_last_stage_starts_with_alpha_of_the_size_of_its_weights(
    tmp_path, fit_raises
):
    """Its students' binary kernels are larger than latent ones by orders of magnitude.

    And its images are drawn by a seed of its own.
    """
    recipe = small()
    before = build_network(recipe.stages[2].student, (8, 8, 1), 10)
    images, model, batches, _ = given_to_fit(tmp_path, recipe, 3, None, None, before)
    kernel = before.get_layer("block_1a_conv").kernel.numpy()
    alpha = model.student.get_layer("block_1a_scale").factor_per_channel
    np.testing.assert_allclose(alpha, np.abs(kernel).mean((0, 1, 2)), rtol=1e-5)
    found, _ = next(batches.as_numpy_iterator())
    options = (64, recipe.stages[3].augmentation)
    for seed, is_same in ((3, True), (0, False)):
        drawn = images.train(*options, seed, 0, 1, normalised=False)
        expected, _ = next(drawn.as_numpy_iterator())
        assert np.array_equal(found, expected) == is_same


def test_an_epoch_is_saved_after_it_was_compared_with_the_best(tmp_path, fit_raises):
    """Saved before, it would be lost as the best when a run is cut off in between."""
    recipe = small("stages.0.keep=best", "data.validation_size=100")
    with pytest.raises(FittedError) as caught:
        train_chain(recipe, 0, Workdir(tmp_path), deterministic=False)
    kinds = [type(callback) for callback in caught.value.args[2]["callbacks"]]
    assert kinds.index(BestEpoch) < kinds.index(SaveEpoch)


def test_statistics_of_an_average_are_of_the_last_epoch_s_images(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Distiller, "fit", lambda self, images, **options: None)
    monkeypatch.setattr(
        averaging,
        "measure_statistics",
        lambda student, images: seen.extend(batch.numpy() for batch in images),
    )
    recipe = small("stages.0.average=0.9", "stages.0.epochs=3")
    images = data.load(recipe.data)
    train_chain(recipe, 0, Workdir(tmp_path), dataset=images, deterministic=False)
    expected = images.train(64, recipe.stages[0].augmentation, 0, 2, 3)
    assert len(seen) == images.steps_per_epoch(64) == 20
    for found, (drawn, _) in zip(seen, expected.as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(found, drawn)
