"""Stages that start from a saved network, or are taught by one."""

import dataclasses
import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

from r2b_keras import models, recipes
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation
from r2b_keras.trainers import Distiller, trained
from r2b_keras.trainers import stage as training
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.library import stage_key
from r2b_keras.trainers.trained import files_of
from r2b_keras.trainers.workdir import Workdir
from tests.commands import TINY, assert_one_sentence, refusal, run, stored_weights

# A stage 3 without its teacher, at a learning rate that moves nothing.
ALONE = (
    "--override=stages.3.teacher=none",
    "--override=stages.3.losses.logit_matching=0",
)
STILL = (
    "--override=stages.3.absorb_magnitude=false",
    "--override=stages.3.optimizer.learning_rate=1e-9",
)
# Losses that a teacher has a part in.
TEACHERS = ("attention", "logit_matching")
SMALL = ("stages.*.epochs=1", "stages.*.student.width=4", "stages.*.student.blocks=1")


def train(folder, *flags):
    return run("train", *TINY, "--only", f"--workdir={folder}", *flags)


@pytest.mark.parametrize(
    ("stage", "flags"),
    [
        # A file's attention maps are asked for below as well.
        pytest.param(1, {"teacher": 0}, marks=pytest.mark.slow),
        (3, {"teacher": 2, "start_from": 2}),
    ],
)
def test_a_file_does_what_its_stage_does(finished, tmp_path, stage, flags):
    """To the bit: the chain's own stage, and the same with its files."""
    chain = Workdir(finished[0])
    named = [f"--{role}={chain.model(other)}" for role, other in flags.items()]
    result = train(tmp_path / "run", f"--stage={stage}", *named)
    assert result.returncode == 0, result.stderr
    expected = stored_weights(chain.path, stage)
    found = stored_weights(tmp_path / "run", stage)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_a_recipe_that_goes_on_from_a_network_asks_for_it():
    """From nothing it would train as well, to a much lower accuracy."""
    recipe = recipes.get("pictures/fine_tuning")
    with pytest.raises(
        InputError, match=r"none is named: give its file with --start_f"
    ):
        files_of(recipe)
    named = ["stages.0.start_from=pretrained/cifar100_small.keras"]
    files = files_of(recipes.apply_overrides(recipe, named))["files"]
    assert [path.rpartition("/")[2] for path in files] == ["cifar100_small.keras"]


def test_the_classifier_may_be_of_other_classes(tmp_path):
    """Everything else is taken over; what is not is said."""
    other = Workdir(tmp_path).model(0)
    other.parent.mkdir()
    network = recipes.apply_overrides(recipes.get("digits"), SMALL).stages[3].student
    models.build_network(network, (8, 8, 1), num_classes=4).save(other)
    folder, flags = tmp_path / "run", [f"--override={change}" for change in SMALL]
    given = f"--start_from={other}"
    result = train(folder, "--stage=3", given, *flags, *ALONE, *STILL)
    assert result.returncode == 0, result.stderr
    assert f"It starts from {other}. The classifier starts anew" in result.stdout
    assert "has 4 classes, these images 10" in result.stdout
    before, after = (
        {name: weight.numpy() for name, weight in named_weights(model).items()}
        for model in map(models.load, (other, Workdir(folder).model(3)))
    )
    moved = [
        name
        for name in before
        if before[name].shape != after[name].shape
        or np.abs(before[name] - after[name]).max() > 1e-3
    ]
    statistics = ("moving_mean", "moving_variance")
    assert {name for name in moved if not name.endswith(statistics)} == {
        *("logits/kernel", "logits/bias"),
    }


def other_width(folder):
    recipe = Workdir(folder).recipe()
    wider = recipes.apply_overrides(recipe, ["stages.*.student.width=16"])
    network = wider.stages[3].student
    return models.build_network(network, (8, 8, 1), 10)


def foreign(folder):
    dense = tf.keras.layers.Dense(10, name="logits")
    return tf.keras.Sequential([tf.keras.Input((8, 8, 1)), dense])


def other_pixels(folder):
    network = Workdir(folder).recipe().stages[3].student
    network = dataclasses.replace(network, real_layers="integer")
    normalisation = Normalisation((0.9,), (0.1,))
    return models.build_network(network, (8, 8, 1), 10, normalisation)


def binary_already(folder):
    return models.load(Workdir(folder).model(3))


def other_size(folder):
    network = Workdir(folder).recipe().stages[0].student
    return models.build_network(network, (16, 16, 1), 10)


@pytest.mark.parametrize(
    ("make", "flag", "words"),
    [
        (other_width, "--start_from", "same width and options"),
        (foreign, "--start_from", "same layout"),
        (foreign, "--teacher", "expected taps|logits"),
        (other_size, "--teacher", "(None, 8, 8, 1) and teacher"),
        (binary_already, "--start_from", "binary already"),
        (
            other_pixels,
            "--start_from",
            "images with Normalisation(mean=(0.9,), std=(0.",
        ),
        (
            other_pixels,
            "--teacher",
            "images with Normalisation(mean=(0.9,), std=(0.1,)",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused_at_once(
    finished, tmp_path, make, flag, words
):
    file, folder = tmp_path / "given.keras", tmp_path / "run"
    make(finished[0]).save(file)
    result = run(
        *("train", *TINY, f"--workdir={folder}", "--stage=3", f"{flag}={file}")
    )
    assert_one_sentence(result, "Stage 3")
    assert any(word in result.stderr for word in words.split("|")), result.stderr
    assert not folder.exists()  # stages 0 to 2 were not trained in vain


@pytest.mark.parametrize("flag", ["--start_from", "--teacher"])
def test_a_run_s_network_tells_how_its_images_were_normalised(finished, tmp_path, flag):
    """By the recipe in its folder; a copy elsewhere is taken as it comes."""
    file = finished[0] / "stage_2" / "model.keras"
    copy = tmp_path / "network.keras"
    copy.write_bytes(file.read_bytes())
    images = ("--override=data.mean=0.9", "--override=data.std=0.1")
    given = ("train", *TINY, "--stage=3", *images, f"--workdir={tmp_path / 'run'}")
    result = run(*given, f"{flag}={file}")
    words = f"{file} was trained on images with Normalisation(mean=(0.305,)"
    assert_one_sentence(result, "Stage 3", words, "change data.mean and data.std")
    assert trained.normalisation_of(str(file)) == Normalisation((0.305,), (0.376,))
    assert trained.normalisation_of(str(copy)) is None


@pytest.mark.parametrize("std", [0.225, 0.5])
def test_larq_zoos_weights_are_of_images_normalised_as_theirs(monkeypatch, std):
    mean, stds = (0.485, 0.456, 0.406), (0.229, 0.224, std)
    config = SimpleNamespace(
        image_shape=(8, 8, 3), normalisation=Normalisation(mean, stds)
    )
    made = SimpleNamespace(recipe=SimpleNamespace(data=config), workdir=None)
    network = tf.keras.Sequential([tf.keras.layers.Input((8, 8, 3))])
    monkeypatch.setattr(training, "load_trained", lambda *_: network)
    monkeypatch.setattr(training, "is_weights_only", lambda path: path.endswith(".h5"))
    if std == 0.225:
        assert training._load(made, "r2b_weights.h5") is network
        return
    with pytest.raises(InputError, match=r"^r2b_weights.h5 was trained on images with"):
        training._load(made, "r2b_weights.h5")


@pytest.mark.parametrize(
    "flags",
    [
        ("--recipe=digits/strong_baseline", "--stage=1", "--teacher=a.keras"),
        ("--recipe=digits", "--stage=3", "--override=stages.0.teacher=a.keras"),
    ],
)
def test_a_teacher_to_whom_no_loss_listens_is_refused(tmp_path, flags):
    folder = tmp_path / "run"
    message = refusal("train", *flags, f"--workdir={folder}")
    number = 1 if "--stage=1" in flags else 0
    assert f"Override 'stages.{number}.teacher=" in message
    for loss in ("losses.logit_matching", "losses.attention"):
        assert loss in message
    assert not folder.exists()
    listening = f"--override=stages.{number}.losses.logit_matching=1"
    assert run("train", *flags, listening, "--dry_run").returncode == 0


def test_a_recipe_whose_trial_hears_no_teacher_can_be_trained_again(tmp_path):
    changes = ["stages.1.teacher=a", *(f"stages.1.losses.{x}=0" for x in TEACHERS)]
    recipe = recipes.apply_overrides(recipes.get("digits"), changes)
    file = tmp_path / "best_recipe.json"
    file.write_text(json.dumps({"recipe": recipes.to_dict(recipe)}))
    longer = "--override=stages.1.epochs=9"
    assert run("train", f"--recipe={file}", longer, "--dry_run").returncode == 0


def test_a_deeper_teacher_and_its_taps(finished, tmp_path, monkeypatch):
    deep, file = {"blocks": (2, 1), "width": 8}, tmp_path / "deep.keras"
    recipe = Workdir(finished[0]).recipe()
    network = dataclasses.replace(recipe.stages[0].student, **deep)
    models.build_network(network, (8, 8, 1), 10).save(file)
    taps = "stages.1.losses.taps="
    for number, (value, words) in enumerate(
        [
            ("block_1=block_2,block_2=block_4", "no layer named 'block_4'"),
            ("block_1=block_3", "same height and width"),
        ]
    ):
        flags = ("--stage=1", f"--teacher={file}", f"--override={taps}{value}")
        result = train(tmp_path / f"run_{number}", *flags)
        assert_one_sentence(result, "Stage 1", words)

    # The same of a stage's network, before that stage was trained.
    ours = "--override=stages.3.losses.attention=1"
    wrong = "--override=stages.3.losses.taps=block_1=block_9"
    result = run("train", *TINY, ours, wrong, f"--workdir={tmp_path / 'chain'}")
    assert_one_sentence(result, "Stage 3", "no layer named 'block_9'")
    assert not (tmp_path / "chain").exists()

    class FittedError(Exception):
        pass

    def fit(self, images, **options):
        raise FittedError(self.tap_pairs)

    monkeypatch.setattr(Distiller, "fit", fit)
    changes = [f"{taps}block_1=block_2,block_2=block_3", f"stages.1.teacher={file}"]
    recipe = recipes.apply_overrides(recipe, changes)
    with pytest.raises(FittedError) as fitted:
        workdir = Workdir(tmp_path / "run")
        train_chain(recipe, 1, workdir, only=True, deterministic=False)
    (pairs,) = fitted.value.args
    assert list(pairs) == [("block_1", "block_2"), ("block_2", "block_3")]


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), (b"", "damaged"), (b"PK\3\4", "damaged")],
)
def test_files_that_are_no_networks(tmp_path, content, words):
    file = tmp_path / "given.keras"
    if content is not None:
        file.write_bytes(content)
    result = train(tmp_path / "run", "--stage=1", f"--teacher={file}")
    assert_one_sentence(result, str(file), words)
    assert not (tmp_path / "run").exists()


def test_a_run_is_told_by_what_is_in_its_files(finished, tmp_path):
    chain, file = Workdir(finished[0]), tmp_path / "given.keras"
    shutil.copy(chain.model(0), file)
    flags = ("--stage=0", f"--start_from={file}", "--override=stages.0.epochs=1")
    assert train(tmp_path / "run", *flags).returncode == 0
    assert "nothing to train" in train(tmp_path / "run", *flags).stdout
    network = chain.recipe().stages[0].student
    models.build_network(network, (8, 8, 1), 10).save(file)
    assert_one_sentence(train(tmp_path / "run", *flags), "given.keras")


def test_a_library_knows_a_file_by_its_content(tmp_path):
    """Wherever it is; and a teacher that is not heard is nobody's."""
    keys = []
    for name, content in (("one", b"a"), ("other", b"a"), ("third", b"b")):
        file = tmp_path / name
        file.write_bytes(content)
        recipe = recipes.apply_overrides(
            recipes.get("digits"), [f"stages.1.teacher={file}"]
        )
        assert recipe.stages_needed(1) == [1] and recipe.stages[1].files == (str(file),)
        identity = {"seed": 0, **files_of(recipe)}
        keys.append(stage_key(identity, recipe, 1))
        silent = [f"stages.1.losses.{loss}=0" for loss in TEACHERS]
        deaf = recipes.apply_overrides(recipe, silent)
        assert deaf.stages[1].files == ()
    assert keys[0] == keys[1] != keys[2]


def test_a_file_is_the_same_however_it_was_named(finished, tmp_path, monkeypatch):
    """As docs/training.md has it: `--teacher`, then an override for later stages."""
    file = tmp_path / "teacher.keras"
    shutil.copy(Workdir(finished[0]).model(0), file)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    flags = ("train", *TINY, "--override=stages.*.epochs=1", "--stage=1")
    flags += (f"--workdir={tmp_path / 'run'}",)
    first = run(*flags, "--teacher=teacher.keras")
    assert first.returncode == 0, first.stderr
    monkeypatch.chdir(tmp_path / "elsewhere")
    second = run(*flags, "--override=stages.1.teacher=../teacher.keras")
    assert second.returncode == 0, second.stderr
    assert "nothing to train" in second.stdout


def test_paths_are_kept_in_recipes(tmp_path):
    result = run("train", *TINY, "--dry_run", "--stage=1", "--teacher=a.keras")
    assert "/a.keras" in result.stdout.split("teacher:")[2]
    recipe = recipes.apply_overrides(recipes.get("digits"), ["stages.1.teacher=a/b"])
    assert recipes.from_dict(recipes.to_dict(recipe)) == recipe
    with pytest.raises(InputError, match="expected an earlier stage"):
        recipes.apply_overrides(recipes.get("digits"), ["stages.1.teacher="])
