"""Runs Larq Compute Engine flatbuffers in LiteRT, on Arm and x86.

    import r2b_runtime

    interpreter = r2b_runtime.Interpreter("model.tflite", num_threads=4)
    scores = interpreter.predict(images)

or, with LiteRT's own interpreter:

    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter("model.tflite",
                              experimental_delegates=[r2b_runtime.delegate()])

Importing this package imports neither LiteRT nor NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from r2b_runtime.board.errors import InputError
from r2b_runtime.library import delegate, require_numpy

if TYPE_CHECKING:
    from r2b_runtime.board import pictures
    from r2b_runtime.interpreter import Interpreter

__all__ = ["InputError", "Interpreter", "delegate", "pictures"]
# The only place where it is written.
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports what needs NumPy when it is asked for."""
    if name in ("Interpreter", "pictures"):
        require_numpy()
    if name == "Interpreter":
        return importlib.import_module("r2b_runtime.interpreter").Interpreter
    if name == "pictures":
        return importlib.import_module("r2b_runtime.board.pictures")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
