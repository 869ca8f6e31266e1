"""Checkpoints of a stage in progress: student, optimizer and epoch in one file.

The teacher is never in it: it lies finished in its own stage's folder.
"""

import io
import pathlib
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.files import written_whole
from r2b_keras.trainers.handover import named_weights

_EPOCHS = "progress/epochs"
# What NumPy and zipfile raise for bytes that are no checkpoint: RuntimeError for a flag
# or method that zipfile does not know, the last two for a file that is a bare array.
DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    RuntimeError,
    TypeError,
    AttributeError,
)


@dataclass(frozen=True)
class Progress:
    """How far a stage has come.

    Attributes:
      epochs: finished epochs.
      seconds: time they took, over all runs.
    """

    epochs: int = 0
    seconds: float = 0.0


def _named(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """Everything that training changes, by a name that is stable between runs."""
    weights = named_weights(model.student)
    named = {f"student/{name}": weight for name, weight in weights.items()}
    # Names of the optimizer's slots are not unique, their order is the student's.
    slots = enumerate(model.optimizer.variables)
    named |= {f"optimizer/{index}": slot for index, slot in slots}
    return named | _loss_scale(model.optimizer)


def random_layers(student: tf.keras.Model) -> list[str]:
    """Names of layers, such as dropout, of whose draws a checkpoint holds nothing.

    TensorFlow seeds them as it traces a step, and keeps where they are out of reach.
    """
    kind = tf.keras.__internal__.layers.BaseRandomLayer
    return [part.name for part in student.submodules if isinstance(part, kind)]


def _loss_scale(optimizer: tf.keras.optimizers.Optimizer) -> dict[str, tf.Variable]:
    """State of float16's dynamic loss scale, which `variables` leaves out."""
    scaled = isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    if not scaled or not optimizer.dynamic:
        return {}
    # Keras has no public way to the variable behind `optimizer.loss_scale`.
    state = optimizer._loss_scale
    return {
        "optimizer/loss_scale": state.current_loss_scale,
        "optimizer/loss_scale_counter": state.counter,
    }


def save(
    path: pathlib.Path, model: tf.keras.Model, progress: Progress, write: bool = True
) -> None:
    """Writes the checkpoint, whole or not at all.

    Args:
      path: file to write, ending in `.npz`.
      model: a compiled distiller.
      progress: how far it has come.
      write: False in a process that only takes part in reading the variables.
    """
    variables = _named(model)
    arrays = {name: variable.numpy() for name, variable in variables.items()}
    if not write:
        return
    progressed = {
        _EPOCHS: progress.epochs,
        "progress/seconds": progress.seconds,
    }
    write_arrays(path, {**progressed, **arrays})


def write_arrays(path: pathlib.Path, arrays: Mapping[str, Any]) -> None:
    """Writes arrays by their names, whole or not at all."""
    # In memory first: a full disk then meets one plain write, which fails cleanly.
    content = io.BytesIO()
    np.savez(content, **arrays)
    with written_whole(path) as aside:
        aside.write_bytes(content.getbuffer())


def read_arrays(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Reads what `write_arrays` wrote; raises one of `DAMAGE` where it cannot."""
    # Opened here: NumPy leaves a damaged file open.
    with path.open("rb") as content, np.load(content) as file:
        return {name: file[name] for name in file.files}


def epochs_done(path: pathlib.Path) -> int:
    """How far a checkpoint had come; 0 where there is none.

    Raises:
      InputError: it is damaged.
    """
    try:
        return int(read_arrays(path)[_EPOCHS])
    except FileNotFoundError:
        # A stage at work finishes and removes it.
        return 0
    except DAMAGE as error:
        raise _damaged(path, error) from error


def _damaged(path: pathlib.Path, error: Exception) -> InputError:
    return InputError(
        f"The checkpoint {path} is damaged ({error}): delete it to train this stage "
        "from its start; finished stages are kept."
    )


def restore(path: pathlib.Path, model: tf.keras.Model) -> Progress:
    """Sets the model's and the optimizer's variables from a checkpoint.

    Args:
      path: what `save` wrote.
      model: a compiled distiller, its optimizer built.

    Returns:
      How far the checkpoint had come.

    Raises:
      InputError: the file is damaged or is of another network; nothing was changed.
    """
    try:
        arrays = read_arrays(path)
        epochs = int(arrays.pop(_EPOCHS))
        seconds = float(arrays.pop("progress/seconds"))
    except DAMAGE as error:
        raise _damaged(path, error) from error
    variables = _named(model)
    expected = {name: tuple(v.shape) for name, v in variables.items()}
    if expected != {name: array.shape for name, array in arrays.items()}:
        raise InputError(
            f"The checkpoint {path} holds other variables than this stage's network "
            "and optimizer: delete it to train this stage from its start."
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return Progress(epochs, seconds)
