"""Conversion of trained networks into flatbuffers with binary operations.

Modules are imported on first use: `from r2b_keras.converters import convert`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2b_keras.board.card import ModelCard
    from r2b_keras.converters.benchmarking import Measurement, benchmark
    from r2b_keras.converters.flatbuffer import convert
    from r2b_keras.converters.float32 import in_float32
    from r2b_keras.converters.one_output import with_two_outputs
    from r2b_keras.converters.tflite_file import count_operators
    from r2b_keras.converters.verification import Verification, verify

_HOMES = {
    "Measurement": "benchmarking",
    "ModelCard": "card",
    "Verification": "verification",
    "benchmark": "benchmarking",
    "convert": "flatbuffer",
    "count_operators": "tflite_file",
    "in_float32": "float32",
    "verify": "verification",
    "with_two_outputs": "one_output",
}

__all__ = [
    "Measurement",
    "ModelCard",
    "Verification",
    "benchmark",
    "convert",
    "count_operators",
    "in_float32",
    "verify",
    "with_two_outputs",
]


def __getattr__(name: str) -> Any:
    """Imports the module that defines `name`, and TensorFlow where it needs it."""
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
