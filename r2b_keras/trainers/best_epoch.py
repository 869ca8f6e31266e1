"""Keeping the best epoch by validation, and stopping where none gets better."""

import contextlib
import pathlib
from collections.abc import Sequence
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import checkpoints
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.workdir import METRICS, Workdir, as_written

_MEASURE = "val_accuracy"


class BestEpoch(tf.keras.callbacks.Callback):
    """Keeps the student's weights of the epoch with the highest validation accuracy.

    Of equal ones the first. Give it before what writes `metrics.csv` and the
    checkpoint: an epoch that was cut off between them is then looked at again.

    Args:
      workdir: the run's folder.
      stage: number of the stage.
      finished: how many epochs of it are, by its checkpoint.
      patience: stop after so many epochs that are no better, 0 for never.
      write: False in a process that only helps to read variables spread over several.

    Raises:
      InputError: `metrics.csv` lacks one of the finished epochs, or the weights of the
        best of them are not there.
    """

    def __init__(
        self,
        workdir: Workdir,
        stage: int,
        finished: int,
        patience: int = 0,
        write: bool = True,
    ) -> None:
        """Reads how far the stage had come."""
        super().__init__()
        self.workdir = workdir
        self.stage = stage
        self.patience = patience
        self.write = write
        self.accuracies = _accuracies(workdir, stage, finished)
        if self.epoch and write and not self.path.exists():
            raise _lost(self.path, FileNotFoundError("it is not there"))

    @property
    def epoch(self) -> int:
        """The best epoch so far, from 1 on; 0 before the first."""
        if not self.accuracies:
            return 0
        return self.accuracies.index(max(self.accuracies)) + 1

    @property
    def path(self) -> pathlib.Path:
        """Where the weights of the best epoch so far are."""
        return self.workdir.best(self.stage, self.epoch)

    @property
    def is_over(self) -> bool:
        """Whether as many epochs as `patience` were no better."""
        return 0 < self.patience <= len(self.accuracies) - self.epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps the weights if they are better, or stops."""
        # As a run that goes on reads it: of equal ones the first stays the best.
        before = self.epoch
        self.accuracies.append(float(as_written((logs or {})[_MEASURE])))
        if self.epoch == epoch + 1:
            weights = named_weights(self.model.student)
            arrays = {name: weight.numpy() for name, weight in weights.items()}
            if self.write:
                # A run that is cut off before this epoch's checkpoint goes on from the
                # one before, whose best epoch is another.
                self.workdir.forget_best(self.stage, but=before)
                checkpoints.write_arrays(self.path, arrays)
        if self.is_over:
            self.model.stop_training = True

    def restore(self, student: tf.keras.Model) -> None:
        """Gives the student the weights of the best epoch.

        Raises:
          InputError: the file is missing, damaged, or of another network.
        """
        weights = named_weights(student)
        try:
            arrays = checkpoints.read_arrays(self.path)
            for name, weight in weights.items():
                weight.assign(arrays[name])
        except checkpoints.DAMAGE as error:
            raise _lost(self.path, error) from error


def _lost(path: pathlib.Path, error: Exception) -> InputError:
    return InputError(
        f"{path}, the weights of the best epoch, is missing or damaged ({error}): "
        f"delete the folder {path.parent} to train that stage again."
    )


def _accuracies(workdir: Workdir, stage: int, finished: int) -> list[float]:
    """On the validation part, after each finished epoch.

    The row of an epoch that was cut off before its checkpoint is left out.
    """
    rows = [row for row in workdir.metrics(stage) if int(row["epoch"]) <= finished]
    epochs = [int(row["epoch"]) for row in rows]
    if epochs == list(range(1, finished + 1)):
        with contextlib.suppress(KeyError, ValueError):
            return [float(row[_MEASURE]) for row in rows]
    raise InputError(
        f"{workdir.path / METRICS} has the epochs {epochs} of stage {stage}, expected "
        f"1 to {finished}, each with its {_MEASURE}, to know the best of them: restore "
        f"it, or delete the folder {workdir.stage(stage)} to train that stage again."
    )


def check_validation(keeps: Sequence[bool], num_validation: int) -> None:
    """Refuses to keep the best epoch where no images are held out to choose it by.

    Raises:
      InputError: there are none.
    """
    if any(keeps) and not num_validation:
        raise InputError(
            "keep is 'best' and no images are held out to choose by: set "
            "data.validation_size, or give the images a validation part."
        )
