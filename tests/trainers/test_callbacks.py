"""Guards and reports around the epochs, in real fits of a network of a few weights."""

import functools
import io
import re
import sys

import numpy as np
import pytest
import tqdm
from small_networks import classes, images, one_hot, plain, randomize

from r2b_keras.environment import tf
from r2b_keras.errors import NonFiniteLossError
from r2b_keras.trainers import Distiller, checkpoints
from r2b_keras.trainers.callbacks import ProgressReport, SaveEpoch, StopOnNonFiniteLoss
from r2b_keras.trainers.checkpoints import Progress
from r2b_keras.trainers.weight_flips import WeightFlips
from r2b_keras.trainers.workdir import Workdir

NUM_STEPS, BATCH = 4, 2


def distiller(optimizer=None):
    model = Distiller(randomize(plain()))
    model.compile(optimizer or tf.keras.optimizers.SGD(0.01), run_eagerly=True)
    return model


def fit(model, callbacks, epochs=2, bad_step=None, bad_value=np.nan, validate=False):
    """Fits on `epochs` times `NUM_STEPS` batches, one of which may be bad."""
    num = epochs * NUM_STEPS * BATCH
    pictures, labels = images(num), one_hot(classes(num))
    if bad_step is not None:
        pictures[bad_step * BATCH, 2, 3, 1] = bad_value
    data = tf.data.Dataset.from_tensor_slices((pictures, labels)).batch(BATCH)
    return model.fit(
        data,
        epochs=epochs,
        steps_per_epoch=NUM_STEPS,
        validation_data=data.take(2) if validate else None,
        callbacks=callbacks,
        verbose=0,
    )


@pytest.mark.parametrize(
    ("bad_step", "value", "epoch", "step"),
    [(0, np.nan, 1, 1), (3, np.inf, 1, 4), (4, np.nan, 2, 1), (6, np.nan, 2, 3)],
)
def test_non_finite_loss_names_the_step(bad_step, value, epoch, step):
    with pytest.raises(
        NonFiniteLossError,
        match=rf"loss is (nan|inf) in stage 2, epoch {epoch}, step {step}:",
    ) as caught:
        fit(distiller(), [StopOnNonFiniteLoss(2)], bad_step=bad_step, bad_value=value)
    # Of which there is none in the first epoch.
    assert ("checkpoint is kept" in str(caught.value)) == (epoch > 1)


@pytest.mark.parametrize(
    ("bad_step", "words"), [(5, "epoch 2, step 1 to 3:"), (3, "epoch 1, step 4:")]
)
def test_several_steps_at_once_are_named_together(bad_step, words):
    model = distiller()
    model.compile(model.optimizer, steps_per_execution=3)
    with pytest.raises(NonFiniteLossError, match=words):
        fit(model, [StopOnNonFiniteLoss(2)], bad_step=bad_step)


def test_the_host_fetches_no_numbers_at_every_step(tmp_path, monkeypatch):
    """Callbacks get tensors, and look at them once a second."""
    workdir = Workdir(tmp_path)
    workdir.stage(2).mkdir()
    seen = []

    class Probe(tf.keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self._supports_tf_logs = True

        def on_train_batch_end(self, batch, logs=None):
            seen.extend(logs.values())

    callbacks = [
        StopOnNonFiniteLoss(2),
        ProgressReport(2, NUM_STEPS * BATCH),
        WeightFlips(),
        tf.keras.callbacks.TensorBoard(str(tmp_path), write_graph=False),
        SaveEpoch(workdir, 2, Progress()),
        Probe(),
    ]
    fetched = []
    fetch = StopOnNonFiniteLoss._look
    monkeypatch.setattr(
        StopOnNonFiniteLoss,
        "_look",
        lambda self: (fetched.append(len(self._pending)), fetch(self)),
    )
    monkeypatch.setattr("r2b_keras.trainers.callbacks.SECONDS_BETWEEN_LOOKS", 1e9)
    fit(distiller(), callbacks)
    assert len(seen) == 2 * NUM_STEPS * 3  # steps, and three numbers of each
    assert all(tf.is_tensor(value) for value in seen)
    assert fetched == [NUM_STEPS, NUM_STEPS]


def test_finite_losses_pass():
    assert len(fit(distiller(), [StopOnNonFiniteLoss(2)]).epoch) == 2


@pytest.mark.parametrize("validate", [False, True])
def test_checkpoint_before_the_bad_step_is_kept(tmp_path, validate):
    workdir = Workdir(tmp_path)
    workdir.stage(2).mkdir()
    model = distiller()
    callbacks = [StopOnNonFiniteLoss(2), SaveEpoch(workdir, 2, Progress())]
    with pytest.raises(NonFiniteLossError):
        fit(model, callbacks, epochs=3, bad_step=9, validate=validate)
    restored = distiller()
    restored.optimizer.build(restored.student.trainable_variables)
    progress = checkpoints.restore(workdir.checkpoint(2), restored)
    assert progress.epochs == 2
    assert all(np.isfinite(weight).all() for weight in restored.student.weights)


def test_bad_weights_after_an_epochs_last_step_are_not_saved(tmp_path):
    """The step's own loss is still finite, but its result would be the checkpoint."""
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    rate = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [2 * NUM_STEPS - 2], [0.01, np.inf]
    )
    model = distiller(tf.keras.optimizers.SGD(rate))
    callbacks = [StopOnNonFiniteLoss(1), SaveEpoch(workdir, 1, Progress())]
    with pytest.raises(
        NonFiniteLossError, match="is not finite after stage 1, epoch 2, step 4"
    ):
        fit(model, callbacks, epochs=3)
    restored = distiller()
    restored.optimizer.build(restored.student.trainable_variables)
    assert checkpoints.restore(workdir.checkpoint(1), restored).epochs == 1


def test_one_line_an_epoch_without_a_terminal(capsys):
    teacher = randomize(plain(name="teacher"), seed=1)
    model = Distiller(
        randomize(plain()),
        teacher,
        taps=["tap_1", "tap_2"],
        attention_weight=1.0,
        logit_weight=1.0,
    )
    model.compile(tf.keras.optimizers.SGD(0.01), run_eagerly=True)
    history = fit(model, [ProgressReport(3, NUM_STEPS * BATCH)], validate=True).history
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert len(lines) == 2
    parts = ("loss", "cross_entropy", "attention", "logit_matching", "accuracy")
    for epoch, line in enumerate(lines):
        assert line.startswith(f"stage 3 epoch {epoch + 1}/2  loss ")
        for part in (*parts, "val_accuracy"):
            assert f"  {part} {history[part][epoch]:.4f}  " in line
        assert "val_loss" not in line
        assert re.search(r"  [1-9]\d* images/s  \d+ s, \d+:\d\d:\d\d left$", line)
    assert lines[-1].endswith(", 0:00:00 left")


def test_long_epochs_are_told_of_soon(capsys, monkeypatch):
    """After the step that compiles, 25 steps of 4 s: 1000 s an epoch of 250."""
    report = ProgressReport(0, images_per_epoch=2000)
    report.set_params({"epochs": 350, "steps": 250})
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr("r2b_keras.trainers.callbacks.SECONDS_OF_SPEED", 1e9)
    report.on_epoch_begin(3)
    now[0] = 60.0
    printed = []
    for step in range(40):
        report.on_train_batch_end(step, {"loss": tf.constant(1.0)})
        printed.append(capsys.readouterr().out)
        now[0] += 4.0
    assert printed.pop(25) == (
        "stage 0 epoch   4/350  step 26/250: 2 images/s, about 0:16:40 an epoch and "
        "96:23:20 in all\n"
    )
    assert not any(printed)


def test_slow_steps_are_told_of_before_there_are_many(capsys, monkeypatch):
    report = ProgressReport(0, images_per_epoch=80)
    report.set_params({"epochs": 1, "steps": 10})
    clock = iter([0.0, 5.0, 25.0, 45.0, 45.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    report.on_epoch_begin(0)
    for step in range(3):
        report.on_train_batch_end(step, {"loss": tf.constant(1.0)})
    assert capsys.readouterr().out == (
        "stage 0 epoch 1/1  step 3/10: 0 images/s, about 0:03:20 an epoch and 0:03:20 "
        "in all\n"
    )


def test_speed_and_time_left_by_hand(capsys, monkeypatch):
    """Training takes 2 s and validation 1 s: 100 images / 2 s, 3 s for each epoch."""
    report = ProgressReport(0, images_per_epoch=100)
    report.set_params({"epochs": 1222, "steps": 10})
    clock = iter([10.0, 12.0, 13.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    report.on_epoch_begin(21)
    report.on_test_begin()
    report.on_epoch_end(21, {"loss": 0.5, "val_loss": 0.7, "val_accuracy": 0.25})
    assert capsys.readouterr().out == (
        "stage 0 epoch   22/1222  loss 0.5000  val_accuracy 0.2500  50 images/s  "
        "3 s, 1:00:00 left\n"
    )


def test_speed_without_validation(capsys, monkeypatch):
    report = ProgressReport(0, images_per_epoch=100)
    report.set_params({"epochs": 2, "steps": 10})
    clock = iter([10.0, 14.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    report.on_epoch_begin(0)
    report.on_epoch_end(0, {"loss": 0.5})
    assert capsys.readouterr().out.endswith("25 images/s  4 s, 0:00:04 left\n")


def test_one_bar_an_epoch_in_a_terminal(capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    # Drawn at every step, however short it is.
    eager = functools.partial(tqdm.tqdm, mininterval=0.0, miniters=1)
    monkeypatch.setattr(tqdm, "tqdm", eager)
    fit(distiller(), [ProgressReport(1, NUM_STEPS * BATCH)])
    bars = terminal.getvalue()
    for epoch in (1, 2):
        assert f"stage 1 epoch {epoch}/2   0% |" in bars
        assert f"stage 1 epoch {epoch}/2 100% |" in bars
    assert "loss " in bars
    assert "accuracy " in bars
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_epoch_is_saved_with_metrics_and_progress(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    rate = tf.keras.optimizers.schedules.PiecewiseConstantDecay(
        [NUM_STEPS - 1], [0.02, 0.01]
    )
    model = distiller(tf.keras.optimizers.SGD(rate))
    save = SaveEpoch(workdir, 1, Progress(0, 100.0))
    history = fit(model, [save], validate=True).history
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == (
        "stage,epoch,loss,accuracy,cross_entropy,val_loss,val_accuracy,"
        "val_cross_entropy,learning_rate,seconds"
    )
    for epoch in range(2):
        row = dict(zip(lines[0].split(","), lines[epoch + 1].split(","), strict=True))
        assert (row["stage"], row["epoch"]) == ("1", str(epoch + 1))
        for name, values in history.items():
            assert float(row[name]) == pytest.approx(values[epoch], rel=1e-5)
        # The rate of the epoch's last step.
        assert float(row["learning_rate"]) == pytest.approx((0.02, 0.01)[epoch])
    assert save.progress.epochs == 2
    assert save.progress.seconds > 100.0
    restored = distiller()
    restored.optimizer.build(restored.student.trainable_variables)
    assert checkpoints.restore(workdir.checkpoint(1), restored) == save.progress


def test_an_epoch_without_its_row_has_no_checkpoint(tmp_path, monkeypatch):
    """It is trained again: the best epoch is sought in rows."""
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()

    def fail(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(workdir, "append_metrics", fail)
    with pytest.raises(OSError, match="No space left"):
        fit(distiller(), [SaveEpoch(workdir, 1, Progress())])
    assert not workdir.checkpoint(1).exists()
