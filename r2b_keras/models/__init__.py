"""Networks: the real-valued teacher and the binary students, by name.

`Network` describes a network and imports no TensorFlow; everything else here does, on
first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from r2b_keras.models.config import BINARIZATIONS, Binarization, Network

if TYPE_CHECKING:
    from r2b_keras.models.intermediates import (
        intermediate_names,
        with_intermediates,
    )
    from r2b_keras.models.layers import (
        ActivationScale,
        ChannelGating,
        ChannelScale,
        OuterProductScale,
    )
    from r2b_keras.models.registry import build, names
    from r2b_keras.models.saved import load
    from r2b_keras.models.summary import ModelSize, model_size

_HOMES = {
    "ActivationScale": "layers",
    "ChannelGating": "layers",
    "ChannelScale": "layers",
    "OuterProductScale": "layers",
    "build": "registry",
    "names": "registry",
    "intermediate_names": "intermediates",
    "with_intermediates": "intermediates",
    "load": "saved",
    "ModelSize": "summary",
    "model_size": "summary",
}

__all__ = [
    "BINARIZATIONS",
    "ActivationScale",
    "ChannelGating",
    "ChannelScale",
    "ModelSize",
    "Network",
    "OuterProductScale",
    "Binarization",
    "build",
    "intermediate_names",
    "load",
    "model_size",
    "names",
    "with_intermediates",
]


def __getattr__(name: str) -> Any:
    """Imports the module that defines `name`, and TensorFlow with it."""
    if name in _HOMES:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
