"""The layers of the entries of `r2b_keras.networks.RESCALINGS`.

What multiplies a binary convolution, sign(A) * sign(W), element by element:

    "analytic"             K alpha, both computed, alpha of W      XNOR-Net, Eq. 1
    "channel_scale"        alpha, learned                          XNOR-Net++'s Gamma
    "outer_product_scale"  Gamma, learned, of three vectors        XNOR-Net++
    "gate"                 G(A; W_G)                               Eq. 3 without alpha
    "gate_and_scale"       alpha, learned, times G(A; W_G)         Eq. 3

A is BatchNorm's output, before its sign is taken. Each function takes a `Convolution`
and returns its output re-scaled, in its shape.
"""

import dataclasses

from r2b_keras.environment import tf
from r2b_keras.models.layers import (
    ActivationScale,
    ChannelGating,
    ChannelScale,
    OuterProductScale,
)
from r2b_keras.networks import Network

layers = tf.keras.layers


@dataclasses.dataclass(frozen=True)
class Convolution:
    """A binary convolution that is to be re-scaled.

    Attributes:
      output: `[B, H', W', C_out]`.
      normalised: what it binarized, BatchNorm's output `[B, H, W, C_in]`.
      kernel_size: height and width of its window, in pixels.
      strides: its stride, in pixels.
      network: options.
      name: first part of the layers' names.
    """

    output: tf.Tensor
    normalised: tf.Tensor
    kernel_size: int
    strides: int
    network: Network
    name: str


def activation_scale(of: Convolution) -> tf.Tensor:
    """XNOR-Net's K (Eq. 1); its alpha comes with the weights' binarizer."""
    name = f"{of.name}_activation_scale"
    factor = ActivationScale(of.kernel_size, of.strides, name=name)(of.normalised)
    return layers.Multiply(name=f"{of.name}_rescale")([of.output, factor])


def channel_scale(of: Convolution) -> tf.Tensor:
    """The learned Gamma of XNOR-Net++, one factor per channel; alpha of Eq. 3."""
    return ChannelScale(name=f"{of.name}_scale")(of.output)


def outer_product_scale(of: Convolution) -> tf.Tensor:
    """The learned Gamma of XNOR-Net++, as the outer product of three vectors."""
    return OuterProductScale(name=f"{of.name}_scale")(of.output)


def gate(of: Convolution) -> tf.Tensor:
    """G of Eq. 3 alone (Sec. 4.3)."""
    units = of.output.shape[-1]
    channels = of.normalised.shape[-1] if of.network.gate_width == "in" else units
    bottleneck = max(1, channels // of.network.reduction)
    factor = ChannelGating(units, bottleneck, name=f"{of.name}_gate")(of.normalised)
    return layers.Multiply(name=f"{of.name}_rescale")([of.output, factor])


def gate_and_scale(of: Convolution) -> tf.Tensor:
    """Both factors of Eq. 3, alpha and G."""
    return gate(dataclasses.replace(of, output=channel_scale(of)))
