"""Calls Larq Compute Engine's converter where its crash cannot take this process along.

Each conversion has a process of its own, which costs a fifth of a second: it loads the
converter's library alone, without TensorFlow.
"""

import importlib.util
import pathlib
import signal
import subprocess
import sys

from r2b_keras.converters import lce_worker
from r2b_keras.errors import InputError

_PACKAGE = "larq_compute_engine"
_LIBRARY = "mlir/_tf_tfl_flatbuffer*.so"


class ConverterRefusedError(ValueError):
    """The converter gives no flatbuffer.

    Attributes:
      printed: what it wrote to the screen, which says more than its exception.
    """

    def __init__(self, cause: str, printed: str) -> None:
        """Stores both."""
        super().__init__(cause)
        self.printed = printed


class ConverterDiedError(RuntimeError):
    """The converter's process died, as the message says."""


def convert(folder: str) -> bytes:
    """Converts a SavedModel.

    Args:
      folder: the SavedModel's.

    Returns:
      The flatbuffer, as the converter made it.

    Raises:
      ConverterRefusedError: the converter does not take the network.
      ConverterDiedError: it crashed, or something ended it.
      InputError: Larq Compute Engine is not installed.
    """
    # Isolated: no variable of the environment changes what it loads.
    command = [sys.executable, "-I", lce_worker.__file__, _library(), folder]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    printed = result.stderr.decode(errors="replace")
    if result.returncode == 0:
        return result.stdout
    if result.returncode == lce_worker.REFUSED:
        raise ConverterRefusedError(result.stdout.decode(errors="replace"), printed)
    raise ConverterDiedError(_cause_of_death(result.returncode, printed))


def _cause_of_death(code: int, printed: str) -> str:
    if code < 0:
        return signal.Signals(-code).name
    return " ".join([f"exit code {code}", *printed.strip().splitlines()[-1:]])[:200]


def _library() -> str:
    """The converter's library; found without importing the package."""
    spec = importlib.util.find_spec(_PACKAGE)
    places = (spec.submodule_search_locations if spec else None) or ()
    for place in places:
        for path in pathlib.Path(place).glob(_LIBRARY):
            return str(path)
    raise InputError(
        "Larq Compute Engine's converter is not installed here: run `pip install "
        "larq-compute-engine`."
    )
