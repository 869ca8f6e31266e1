"""Real-to-Binary networks for Keras: train, convert and run them.

Method: Martinez, Yang, Bulat, Tzimiropoulos, "Training Binary Neural Networks with
Real-to-Binary Convolutions", ICLR 2020. Importing this package imports no TensorFlow;
its wings are loaded on first use.
"""

import importlib
from typing import Any

from r2b_keras import environment

__version__ = "0.1.0"
__all__ = ["__version__", "converters", "data", "models", "recipes", "trainers"]

environment.check_at_import()
# Before anything imports TensorFlow, a user's own `import larq` included.
environment.choose_legacy_keras()


def __getattr__(name: str) -> Any:
    """Imports a wing (`models`, `trainers`, ...) when it is first used."""
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
