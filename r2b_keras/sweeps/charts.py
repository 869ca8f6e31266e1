"""A sweep as a picture: parallel coordinates, and accuracy over each field."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r2b_keras.errors import InputError
from r2b_keras.sweeps.results import TrialRow
from r2b_keras.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_matplotlib() -> None:
    """Raises `InputError` unless matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError(
            "A sweep's chart needs matplotlib, which is not installed: run `pip "
            "install r2b_keras[tune]`."
        ) from error


def write(sweep: Sweep, rows: Sequence[TrialRow]) -> None:
    """stub"""
