"""What happens around the epochs of a stage: progress, metrics, checkpoints, guards."""

import math
import sys
import time
from typing import Any

import tqdm

from r2b_keras.environment import tf
from r2b_keras.errors import NonFiniteLossError
from r2b_keras.trainers import checkpoints, weight_flips
from r2b_keras.trainers.workdir import Workdir

Logs = dict[str, Any] | None

# The loss parts need the room that a wide bar would take.
BAR = "{desc} {percentage:3.0f}% |{bar:10}| {rate_fmt} {remaining} left{postfix}"

# How often numbers are fetched from the device while it goes on with the next steps.
SECONDS_BETWEEN_LOOKS = 1.0
# The speed is told after so many steps or, where they are slow, so much time; not where
# the epoch's own line comes soon.
STEPS_OF_SPEED = 25
SECONDS_OF_SPEED = 30.0
SECONDS_OF_A_SHORT_EPOCH = 10.0


class StopOnNonFiniteLoss(tf.keras.callbacks.Callback):
    """Stops training whose loss is not finite, and names the step.

    The losses stay on their device until some are looked at together, so that the host
    does not wait for each step. Training also stops at the end of an epoch whose last
    step left weights that are not finite: they would become the checkpoint. Give it
    before what saves.

    Args:
      stage: number of the stage, for the message.
    """

    def __init__(self, stage: int) -> None:
        """Stores the stage."""
        super().__init__()
        self._supports_tf_logs = True  # the losses come as tensors
        self.stage = stage
        self.epoch = 0
        self.step = 0
        self._looked = 0.0
        # First and last step, and the epoch's mean loss after them.
        self._pending: list[tuple[int, int, tf.Tensor]] = []

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remembers the epoch."""
        self.epoch = epoch
        self.step = 0
        self._pending = []

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Keeps the loss; raises `NonFiniteLossError` if one before was not finite."""
        if logs:
            self._pending.append((self.step + 1, batch + 1, logs["loss"]))
        self.step = batch + 1
        if time.monotonic() - self._looked > SECONDS_BETWEEN_LOOKS:
            self._look()
            self._looked = time.monotonic()

    def on_test_begin(self, logs: Logs = None) -> None:
        """Looks at the losses that are left, before validation."""
        self._look()

    def _look(self) -> None:
        """Raises `NonFiniteLossError` once the epoch's mean is not finite.

        The mean turns with the first loss that does, so this is that loss's step.
        """
        pending, self._pending = self._pending, []
        if not pending:
            return
        losses = tf.stack([loss for _, _, loss in pending]).numpy()
        for (first, last, _), loss in zip(pending, losses, strict=True):
            if not math.isfinite(loss):
                steps = str(last) if first == last else f"{first} to {last}"
                raise self._error(f"The loss is {loss} in", steps)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Raises `NonFiniteLossError` if a loss or a weight is not finite."""
        self._look()
        for weight in self.model.weights:
            finite = tf.math.is_finite(weight) if weight.dtype.is_floating else True
            if not tf.reduce_all(finite):
                raise self._error(f"{weight.name} is not finite after", str(self.step))

    def _error(self, what: str, steps: str) -> NonFiniteLossError:
        kept = "the last good checkpoint is kept; " if self.epoch else ""
        return NonFiniteLossError(
            f"{what} stage {self.stage}, epoch {self.epoch + 1}, step {steps}: {kept}"
            "lower the learning rate or a loss weight in a new --workdir."
        )


class ProgressReport(tf.keras.callbacks.Callback):
    """One bar per epoch in a terminal, one line per epoch elsewhere.

    Elsewhere another line, after some steps, says how long an epoch will take, where
    its own line is not there soon.

    Args:
      stage: number of the stage.
      images_per_epoch: for the bar and images/s.
    """

    def __init__(self, stage: int, images_per_epoch: int) -> None:
        """Stores what the lines say."""
        super().__init__()
        self._supports_tf_logs = True  # and are looked at when they are shown
        self.stage = stage
        self.images_per_epoch = images_per_epoch
        self.bar: tqdm.tqdm | None = None
        self.started = 0.0
        self.trained = 0.0
        self.epoch = 0
        self.step = 0
        self._shown = 0.0
        # Step and time from which the speed is measured, None once it was told.
        self._mark: tuple[int, float] | None = (0, 0.0)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the bar."""
        self.started = time.monotonic()
        self.step = 0
        self.epoch = epoch
        if sys.stderr.isatty():
            self.bar = tqdm.tqdm(
                total=self.images_per_epoch,
                desc=self._title(epoch),
                unit=" images",
                bar_format=BAR,
                dynamic_ncols=True,
                leave=False,
            )

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Moves the bar, or tells the speed."""
        steps, self.step = batch + 1 - self.step, batch + 1
        if self.bar is None:
            self._tell_speed(logs)
            return
        now = time.monotonic()
        last = self.step == self.params["steps"]
        if last or now - self._shown > SECONDS_BETWEEN_LOOKS:
            self.bar.set_postfix_str(_parts(logs, digits=3), refresh=False)
            self._shown = now
        self.bar.update(steps * self._images_per_step())

    def _images_per_step(self) -> int:
        return self.images_per_epoch // self.params["steps"]

    def _tell_speed(self, logs: Logs) -> None:
        """Says once how long an epoch takes, the first steps' compilation left out."""
        if self._mark is None:
            return
        start, since = self._mark
        few = self.step - start < STEPS_OF_SPEED
        if start and few and time.monotonic() - since < SECONDS_OF_SPEED:
            return
        _parts(logs)  # returns once the device has come so far
        now = time.monotonic()
        if not start:
            self._mark = (self.step, now)
            return
        self._mark = None
        step, steps = (now - since) / (self.step - start), self.params["steps"]
        epoch = step * steps
        if epoch > SECONDS_OF_A_SHORT_EPOCH:
            print(
                f"{self._title(self.epoch)}  step {self.step}/{steps}: "
                f"{self._images_per_step() / step:.0f} images/s, about "
                f"{_duration(epoch)} an epoch and "
                f"{_duration(epoch * (self.params['epochs'] - self.epoch))} in all",
                flush=True,
            )

    def on_test_begin(self, logs: Logs = None) -> None:
        """Notes when the training part of the epoch was over."""
        self.trained = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Prints the epoch's line."""
        self._mark = None
        if self.bar is not None:
            self.bar.close()
            self.bar = None
        now = time.monotonic()
        seconds = now - self.started
        speed = self.images_per_epoch / (
            max(self.trained, self.started) - self.started or seconds
        )
        left = seconds * (self.params["epochs"] - epoch - 1)
        print(
            f"{self._title(epoch)}  {_parts(_brief(logs))}  {speed:.0f} images/s  "
            f"{seconds:.0f} s, {_duration(left)} left",
            flush=True,
        )

    def _title(self, epoch: int) -> str:
        epochs = self.params["epochs"]
        return f"stage {self.stage} epoch {epoch + 1:>{len(str(epochs))}}/{epochs}"


def _brief(logs: Logs) -> Logs:
    """Leaves out the validation's loss parts, and flips: `metrics.csv` has them."""
    values = (logs or {}).items()
    return {
        name: value
        for name, value in values
        if name != weight_flips.NAME
        and (not name.startswith("val_") or name == "val_accuracy")
    }


def _parts(logs: Logs, digits: int = 4) -> str:
    values = (logs or {}).items()
    return "  ".join(f"{name} {float(value):.{digits}f}" for name, value in values)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


class SaveEpoch(tf.keras.callbacks.Callback):
    """Writes metrics and then the checkpoint at the end of every epoch.

    In this order: an epoch whose checkpoint exists has its row.

    Args:
      workdir: the run's folder.
      stage: number of the stage.
      progress: how far the stage had come when this run began.
      write: False in a process that only helps to read variables spread over several.
    """

    def __init__(
        self,
        workdir: Workdir,
        stage: int,
        progress: checkpoints.Progress,
        write: bool = True,
    ) -> None:
        """Stores where to write."""
        super().__init__()
        self.workdir = workdir
        self.stage = stage
        self.progress = progress
        self.write = write
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the clock."""
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes both files."""
        seconds = time.monotonic() - self.started
        rate = float(self.model.optimizer.learning_rate.numpy())
        values = {**(logs or {}), "learning_rate": rate, "seconds": seconds}
        if self.write:
            self.workdir.append_metrics(self.stage, epoch + 1, values)
        self.progress = checkpoints.Progress(epoch + 1, self.progress.seconds + seconds)
        path = self.workdir.checkpoint(self.stage)
        checkpoints.save(path, self.model, self.progress, self.write)
