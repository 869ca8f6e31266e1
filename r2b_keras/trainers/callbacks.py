"""What happens around the epochs of a stage: progress, metrics, checkpoints, guards."""

import math
import sys
import time
from typing import Any

import tqdm

from r2b_keras.environment import tf
from r2b_keras.errors import NonFiniteLossError
from r2b_keras.trainers import checkpoints
from r2b_keras.trainers.workdir import Workdir

Logs = dict[str, Any] | None

# The loss parts need the room that a wide bar would take.
BAR = "{desc} {percentage:3.0f}% |{bar:10}| {rate_fmt} {remaining} left{postfix}"


class StopOnNonFiniteLoss(tf.keras.callbacks.Callback):
    """Stops at the first step whose loss is not finite.

    And at the end of an epoch whose last step left weights that are not: they would
    become the checkpoint. Give it before what saves.

    Args:
      stage: number of the stage, for the message.
    """

    def __init__(self, stage: int) -> None:
        """Stores the stage."""
        super().__init__()
        self.stage = stage
        self.epoch = 0
        self.step = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remembers the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Raises `NonFiniteLossError` once the epoch's mean is not finite.

        The mean turns with the first loss that does, so this is that loss's step.
        """
        self.step = batch + 1
        if logs and not math.isfinite(logs["loss"]):
            raise self._error(f"The loss is {logs['loss']} in")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Raises `NonFiniteLossError` if a weight is not finite."""
        for weight in self.model.weights:
            finite = tf.math.is_finite(weight) if weight.dtype.is_floating else True
            if not tf.reduce_all(finite):
                raise self._error(f"{weight.name} is not finite after")

    def _error(self, what: str) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"{what} stage {self.stage}, epoch {self.epoch + 1}, step {self.step}: the "
            "last good checkpoint is kept; lower the learning rate or a loss weight in "
            "a new --workdir."
        )


class ProgressReport(tf.keras.callbacks.Callback):
    """One bar per epoch in a terminal, one line per epoch elsewhere.

    Args:
      stage: number of the stage.
      images_per_epoch: for the bar and images/s.
    """

    def __init__(self, stage: int, images_per_epoch: int) -> None:
        """Stores what the lines say."""
        super().__init__()
        self.stage = stage
        self.images_per_epoch = images_per_epoch
        self.bar: tqdm.tqdm | None = None
        self.started = 0.0
        self.trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the bar."""
        self.started = time.monotonic()
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
        """Moves the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(_parts(logs, digits=3), refresh=False)
            self.bar.update(self.images_per_epoch // self.params["steps"])

    def on_test_begin(self, logs: Logs = None) -> None:
        """Notes when the training part of the epoch was over."""
        self.trained = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Prints the epoch's line."""
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
    """Leaves out the validation's loss parts: `metrics.csv` has them."""
    values = (logs or {}).items()
    return {
        name: value
        for name, value in values
        if not name.startswith("val_") or name == "val_accuracy"
    }


def _parts(logs: Logs, digits: int = 4) -> str:
    values = (logs or {}).items()
    return "  ".join(f"{name} {value:.{digits}f}" for name, value in values)


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
