"""What a run's settings make of the training itself."""

import numpy as np
import pytest

from r2b_keras import data, recipes
from r2b_keras.data import Augmentation
from r2b_keras.environment import tf
from r2b_keras.models import build_network
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir

SMALL = ["stages.*.student.width=4", "stages.*.student.blocks=1"]


class FittedError(Exception):
    """Stands for the training, with what it was given."""


def test_what_reaches_fit(tmp_path, monkeypatch):
    def fit(self, images, **options):
        raise FittedError(self, images, options)

    asked = []
    monkeypatch.setattr(Distiller, "fit", fit)
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: asked.append(1)
    )
    recipe = recipes.apply_overrides(recipes.get("digits"), SMALL)
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
