"""What a stage ends with: its last epoch, its best one, or the average of its steps."""

import errno
import json

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.environment import tf
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.workdir import Workdir
from tests.commands import SMALLEST, TINY, assert_one_sentence, run

HELD_OUT = ("--override=data.validation_size=200",)
CONSTANT = "--override=stages.0.schedule.kind=constant"
# A rate that soon makes it worse, and one that does not.
FAST, SLOW = "optimizer.learning_rate=0.1", "optimizer.learning_rate=0.02"


def train(folder, *changes):
    overrides = [f"--override=stages.0.{change}" for change in changes]
    return run(
        *("train", *SMALLEST, *HELD_OUT, CONSTANT, "--stage=0"),
        f"--workdir={folder}",
        *overrides,
    )


def weights(folder):
    model = models.load(Workdir(folder).model(0))
    return {name: np.array(weight) for name, weight in named_weights(model).items()}


def result(folder):
    return json.loads((folder / "stage_0" / "result.json").read_text())


def test_the_best_epoch_is_what_a_shorter_run_ends_with(tmp_path):
    best, short = tmp_path / "best", tmp_path / "short"
    patient = train(best, FAST, "epochs=12", "keep=best", "patience=2")
    assert patient.returncode == 0, patient.stderr
    rows = [float(row["val_accuracy"]) for row in Workdir(best).metrics(0)]
    kept = rows.index(max(rows)) + 1
    assert result(best)["kept_epoch"] == kept < len(rows)
    assert result(best)["validation_top1"] == pytest.approx(max(rows), abs=1e-6)
    assert not list(best.rglob("best_*.npz"))
    assert train(short, FAST, f"epochs={kept}").returncode == 0
    found = weights(best)
    for name, values in weights(short).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.fixture
def train_unsaved(monkeypatch):
    """Trains where the disk has no room for the student that has come of it."""

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    def train_unsaved(folder, *changes):
        with monkeypatch.context() as patch:
            patch.setattr(tf.keras.Model, "save", fail)
            assert_one_sentence(train(folder, *changes), "No space left on device")

    return train_unsaved


def test_a_student_that_cannot_be_saved_keeps_its_checkpoint(train_unsaved, tmp_path):
    train_unsaved(tmp_path, "epochs=1")
    stage = tmp_path / "stage_0"
    found = sorted(path.name for path in stage.glob("*.*"))
    assert found == ["checkpoint.npz", "key.txt"]
    assert train(tmp_path, "epochs=1").returncode == 0
    assert result(tmp_path)["epochs"] == 1


def test_a_stage_that_is_over_trains_no_further(train_unsaved, tmp_path):
    """Though there would be epochs left."""
    changes = (FAST, "epochs=12", "keep=best", "patience=1")
    train_unsaved(tmp_path, *changes)
    num_epochs = len(Workdir(tmp_path).metrics(0))
    assert num_epochs < 12
    assert train(tmp_path, *changes).returncode == 0
    assert len(Workdir(tmp_path).metrics(0)) == result(tmp_path)["epochs"] == num_epochs


def test_an_average_of_hardly_any_past_is_the_last_epoch(tmp_path):
    """But for BatchNorm's statistics, which are measured anew."""
    last, averaged = tmp_path / "last", tmp_path / "averaged"
    for folder, average in ((last, 0.0), (averaged, 1e-6)):
        assert train(folder, SLOW, f"average={average}").returncode == 0
    found, expected = weights(averaged), weights(last)
    for name, values in expected.items():
        if "moving" not in name:
            np.testing.assert_allclose(found[name], values, atol=1e-5, err_msg=name)
    moved = [n for n in expected if "moving" in n and (found[n] != expected[n]).all()]
    assert len(moved) > 4
    assert result(averaged)["top1"] > result(last)["top1"] - 0.1


def test_an_average_survives_a_run_that_was_cut_off_at_its_end(train_unsaved, tmp_path):
    """The last checkpoint has both the average and the weights that it is taken of."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    changes = (SLOW, "epochs=2", "average=0.9")
    assert train(whole, *changes).returncode == 0
    train_unsaved(cut, *changes)
    assert train(cut, *changes).returncode == 0
    found = weights(cut)
    for name, values in weights(whole).items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("keep=first",), "keep is 'first'"),
        (("patience=3",), "patience is 3, expected 0, or keep=best"),
        (("keep=best", "average=0.9"), "average is 0.9, expected 0 where the best"),
        (("average=1.0",), "average is 1.0"),
    ],
)
def test_ends_that_exclude_each_other(tmp_path, changes, words):
    assert_one_sentence(train(tmp_path / "run", *changes), words)


def test_the_best_epoch_needs_images_to_choose_by(tmp_path):
    change = ("--override=data.validation_size=0", "--override=stages.*.keep=best")
    answer = run("train", *TINY, *change, f"--workdir={tmp_path / 'run'}")
    assert_one_sentence(answer, "validation_size")
    assert not (tmp_path / "run").exists()


def test_what_a_group_freezes_stays_and_can_be_trained_by_others(tmp_path):
    start, tuned = tmp_path / "start", tmp_path / "tuned"
    assert train(start, SLOW, "epochs=1").returncode == 0
    first = Workdir(start).model(0)
    groups = "optimizer.groups=logits/*:1,*:0"
    result = train(tuned, SLOW, groups, f"start_from={first}")
    assert result.returncode == 0, result.stderr
    before, after = weights(start), weights(tuned)
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved == {"logits/kernel", "logits/bias"}
    model = models.load(Workdir(tuned).model(0))
    assert all(layer.trainable for layer in model.submodules if hasattr(layer, "call"))
