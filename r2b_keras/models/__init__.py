"""Networks: the real-valued teacher and the binary students, by name.

Importing this imports TensorFlow; what describes a network, `r2b_keras.networks`, does
not.
"""

from r2b_keras.models.binarizers import MagnitudeAwareSign
from r2b_keras.models.building import build_network
from r2b_keras.models.integers import IntegerConv2D, IntegerDense, PictureConv2D
from r2b_keras.models.intermediates import intermediate_names, with_intermediates
from r2b_keras.models.layers import (
    ActivationScale,
    ChannelGating,
    ChannelScale,
    OuterProductScale,
    SynchronizedBatchNorm,
    Tanh,
)
from r2b_keras.models.saved import load
from r2b_keras.models.summary import ModelSize, model_size
from r2b_keras.networks import BINARIZATIONS, Binarization, Network
from r2b_keras.normalisation import Normalisation

__all__ = [
    "BINARIZATIONS",
    "ActivationScale",
    "Binarization",
    "ChannelGating",
    "ChannelScale",
    "IntegerConv2D",
    "IntegerDense",
    "MagnitudeAwareSign",
    "ModelSize",
    "Network",
    "Normalisation",
    "OuterProductScale",
    "PictureConv2D",
    "SynchronizedBatchNorm",
    "Tanh",
    "build_network",
    "intermediate_names",
    "load",
    "model_size",
    "with_intermediates",
]
