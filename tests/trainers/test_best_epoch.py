"""The best epoch by validation, and when a stage is over."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_networks import assert_all_equal, plain, randomize, values

from r2b_keras import recipes
from r2b_keras.errors import InputError
from r2b_keras.trainers import Distiller, stage
from r2b_keras.trainers.best_epoch import BestEpoch, check_validation
from r2b_keras.trainers.workdir import Workdir


@pytest.fixture
def workdir(tmp_path):
    found = Workdir(tmp_path)
    found.stage(1).mkdir()
    return found


def epochs(workdir, accuracies, first=0, patience=0):
    """Has a student go through epochs; its weights tell which one they are of."""
    model = Distiller(plain())
    best = BestEpoch(workdir, 1, first, patience)
    best.set_model(model)
    for epoch, accuracy in enumerate(accuracies, first):
        randomize(model.student, seed=epoch)
        best.on_epoch_end(epoch, {"val_accuracy": accuracy})
        workdir.append_metrics(1, epoch + 1, {"val_accuracy": accuracy})
        if model.stop_training:
            break
    return best, model


def assert_is_epoch(best, epoch):
    assert best.epoch == epoch
    student = plain()
    best.restore(student)
    expected = randomize(plain(), seed=epoch - 1)
    for one, other in zip(
        values(student.weights), values(expected.weights), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [((0.5,), 1), ((0.1, 0.3, 0.2), 2), ((0.3, 0.3, 0.3), 1), ((0.1, 0.2, 0.3), 3)],
)
def test_the_first_of_the_best_is_kept(workdir, accuracies, epoch):
    best, _ = epochs(workdir, accuracies)
    assert_is_epoch(best, epoch)


def test_a_resumed_stage_knows_what_was_best(workdir):
    epochs(workdir, (0.1, 0.4, 0.2))
    best, _ = epochs(workdir, (0.3, 0.35), first=3)
    assert_is_epoch(best, 2)


def test_equal_accuracies_are_equal_after_a_resumption_too(workdir):
    """Keras has them in float32, 0.6000000238, and `metrics.csv` as 0.6."""
    accuracy = float(np.float32(0.6))
    epochs(workdir, (accuracy,))
    best, model = epochs(workdir, (accuracy,), first=1, patience=1)
    assert model.stop_training
    assert_is_epoch(best, 1)


def test_a_worker_waits_until_it_sees_the_chiefs_file(workdir):
    """A shared file system may show it some time after all have come that far."""
    best, model = epochs(workdir, (0.4, 0.2))
    aside = best.path.rename(best.path.with_suffix(".late"))
    workers = SimpleNamespace(
        is_chief=False,
        wait=lambda: None,
        wait_for=lambda path: aside.rename(path),
        strategy=SimpleNamespace(num_replicas_in_sync=1),
    )
    recipe = recipes.get("digits")
    run = SimpleNamespace(recipe=recipe, workers=workers, dataset=None)
    student = stage._final_student(run, 1, model, best)
    expected = randomize(plain(), seed=0)
    assert_all_equal(values(student.weights), values(expected.weights))


def test_an_epoch_that_is_given_up_leaves_the_best_before_it(workdir):
    """Cut off after its weights were written, trained again and no longer the best."""
    epochs(workdir, (0.3, 0.2))
    left = BestEpoch(workdir, 1, 2)
    left.set_model(Distiller(plain()))
    left.on_epoch_end(2, {"val_accuracy": 0.5})
    best, _ = epochs(workdir, (0.1,), first=2)
    assert_is_epoch(best, 1)


def test_weights_of_two_epochs_are_kept_at_most(workdir):
    epochs(workdir, (0.1, 0.2, 0.3, 0.2, 0.4))
    names = sorted(path.name for path in workdir.stage(1).glob("best*"))
    assert names == ["best_3.npz", "best_5.npz"]
    workdir.forget_best(1)
    assert not list(workdir.stage(1).glob("best*"))


def test_a_run_whose_best_weights_are_lost_trains_no_further(workdir):
    epochs(workdir, (0.1, 0.4, 0.2))
    workdir.best(1, 2).unlink()
    with pytest.raises(InputError, match=r"best_2.npz.*missing or damaged.*not there"):
        BestEpoch(workdir, 1, 3)
    BestEpoch(workdir, 1, 3, write=False)
    # Of the first epoch alone, the weights are another file.
    BestEpoch(workdir, 1, 1)


def test_an_epoch_that_is_trained_again_counts_once(workdir):
    """Its row was written and its checkpoint was not."""
    epochs(workdir, (0.1, 0.4))
    best, _ = epochs(workdir, (0.4, 0.2), first=1)
    assert best.accuracies == [0.1, 0.4, 0.2]
    assert_is_epoch(best, 2)


def test_an_epoch_without_its_checkpoint_does_not_end_a_stage(workdir):
    epochs(workdir, (0.4, 0.2, 0.2))
    assert BestEpoch(workdir, 1, 3, patience=2).is_over
    assert not BestEpoch(workdir, 1, 2, patience=2).is_over


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows[1:], r"\[2, 3\] of stage 1, expected 1 to 3"),
        (lambda rows: [rows[0], rows[2]], r"\[1, 3\] of stage 1"),
        (lambda rows: rows[:2], r"\[1, 2\] of stage 1"),
        (lambda rows: [rows[0], *rows], r"\[1, 1, 2, 3\] of stage 1"),
        (lambda rows: [*rows[:2], {**rows[2], "val_accuracy": "?"}], "val_accuracy"),
        (lambda rows: [*rows[:2], {**rows[2], "val_accuracy": ""}], "val_accuracy"),
    ],
)
def test_epochs_that_metrics_lack_are_told(workdir, change, words):
    epochs(workdir, (0.1, 0.4, 0.2))
    workdir.replace_metrics(1, change(workdir.metrics(1)))
    with pytest.raises(InputError, match=f"metrics.csv has the epochs .*{words}"):
        BestEpoch(workdir, 1, 3)
    (workdir.path / "metrics.csv").unlink()
    with pytest.raises(InputError, match=r"\[\] of stage 1.* delete the folder"):
        BestEpoch(workdir, 1, 3)


def test_patience(workdir):
    accuracies = (0.1, 0.3, 0.2, 0.3, 0.25, 0.9)
    best, model = epochs(workdir, accuracies, patience=3)
    assert len(best.accuracies) == 5 and model.stop_training
    assert BestEpoch(workdir, 1, 5, patience=3).is_over  # for whoever resumes it
    assert not BestEpoch(workdir, 1, 5, patience=4).is_over
    assert not BestEpoch(workdir, 1, 5).is_over
    assert_is_epoch(best, 2)


@pytest.mark.parametrize("content", [None, b"", b"PK\3\4"])
def test_lost_weights_are_told(workdir, content):
    best, _ = epochs(workdir, (0.1, 0.2))
    workdir.best(1, 2).unlink()
    if content is not None:
        workdir.best(1, 2).write_bytes(content)
    with pytest.raises(InputError, match="best_2.npz.*missing or damaged"):
        best.restore(plain())


def test_there_must_be_images_to_choose_by():
    check_validation([False, False], 0)
    check_validation([False, True], 1)
    with pytest.raises(InputError, match="validation_size"):
        check_validation([False, True], 0)
