"""Saved networks, read back with all their layers known."""

import os

from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Importing the layers, and larq's with them, registers them under the names in a file.
from r2b_keras.models import layers  # noqa: F401


def load(path: str | os.PathLike[str]) -> tf.keras.Model:
    """Loads a network that `model.save(path)` wrote, a stage's `model.keras` for one.

    `tf.keras.models.load_model` does the same once the layers of this package and of
    larq are imported; without them it knows no layer of theirs.

    Args:
      path: a `.keras` file.

    Returns:
      The network, not compiled.

    Raises:
      InputError: the file is missing, or is not a saved network.
    """
    if not os.path.exists(path):
        raise InputError(
            f"There is no file {os.fspath(path)}: expected a network saved as .keras."
        )
    try:
        return tf.keras.models.load_model(path, compile=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{os.fspath(path)} is damaged or not a saved network ({reason})."
        ) from error
