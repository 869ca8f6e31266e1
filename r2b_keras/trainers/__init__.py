"""Training: losses, the distiller, schedules, and the chain of stages.

Modules are imported on first use: `from r2b_keras.trainers import losses`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2b_keras.trainers.chain import train_chain
    from r2b_keras.trainers.distiller import Distiller

# What commands and `train_chain` take, for flags that need no TensorFlow.
PRECISIONS = {  # by name, Keras's policies
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")

_HOMES = {"Distiller": "distiller", "train_chain": "chain"}
_MODULES = ("losses", "schedules", "optimizers", "evaluation")

__all__ = [
    "PRECISIONS",
    "STRATEGIES",
    "Distiller",
    "evaluation",
    "losses",
    "optimizers",
    "schedules",
    "train_chain",
]


def __getattr__(name: str) -> Any:
    """Imports the module that is, or defines, `name`."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
