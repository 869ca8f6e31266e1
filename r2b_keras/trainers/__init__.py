"""Training: losses, the distiller, schedules, and the chain of stages.

Classes and functions are imported, and TensorFlow with them, on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r2b_keras.trainers.chain import train_chain
    from r2b_keras.trainers.distiller import Distiller
    from r2b_keras.trainers.execution import Execution
    from r2b_keras.trainers.library import StageLibrary
    from r2b_keras.trainers.optimizers import decayed_variables, make_optimizer
    from r2b_keras.trainers.workdir import Workdir

# What commands and `train_chain` take, for flags that need no TensorFlow.
PRECISIONS = {  # by name, Keras's policies
    "float32": "float32",
    "bfloat16": "mixed_bfloat16",
    "float16": "mixed_float16",
}
STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
MOST_SEED = 2**31 - 1

_HOMES = {
    "Distiller": "distiller",
    "Execution": "execution",
    "StageLibrary": "library",
    "Workdir": "workdir",
    "decayed_variables": "optimizers",
    "make_optimizer": "optimizers",
    "train_chain": "chain",
}

__all__ = [
    "MOST_SEED",
    "PRECISIONS",
    "STRATEGIES",
    "Distiller",
    "Execution",
    "StageLibrary",
    "Workdir",
    "decayed_variables",
    "make_optimizer",
    "train_chain",
]


def __getattr__(name: str) -> Any:
    """Imports the module that defines `name`."""
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
