"""First layers of every network, real-valued (Sec. 4.1)."""

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import blocks
from r2b_keras.models.integers import PictureConv2D
from r2b_keras.networks import Network
from r2b_keras.normalisation import Normalisation

layers = tf.keras.layers

# Kernel size and strides of the convolution of the picture.
_FIRST = {"imagenet": (7, 2), "cifar": (3, 1), "small": (3, 2), "quicknet": (3, 2)}


def stem(
    x: tf.Tensor,
    network: Network,
    kind: str,
    normalisation: Normalisation | None = None,
) -> tf.Tensor:
    """First layers, real-valued in every network (Sec. 4.1).

    Args:
      x: images `[B, H, W, C]`.
      network: gives the stem's geometry and the width.
      kind: "relu" or "prelu".
      normalisation: of the images; needed where real layers are of integers.

    Returns:
      `[B, H/4, W/4, width]` for "imagenet" and "quicknet", `[B, H, W, width]` for
      "cifar", `[B, H/2, W/2, width]` for "small".
    """
    kernel_size, strides = _FIRST[network.stem]
    quicknet = network.stem == "quicknet"
    filters = network.width // 4 if quicknet else network.width
    x = picture_convolution(
        x, filters, kernel_size, strides, network, normalisation, "stem_conv"
    )
    x = blocks.batch_norm(x, network, "stem_batch_norm")
    x = blocks.activation(x, kind, f"stem_{kind}")
    if quicknet:
        x = _separable_convolution(x, network)
    if network.stem == "imagenet":
        x = layers.MaxPool2D(3, strides=2, padding="same", name="stem_pool")(x)
    return x


def _separable_convolution(x: tf.Tensor, network: Network) -> tf.Tensor:
    """The second half of QuickNet's stem (Bannink et al., MLSys 2021).

    A depthwise 3x3 convolution of stride 2, and one of 1x1 to the network's width, each
    with its BatchNorm; no activation follows. At 224x224 pixels and width 64 the stem
    has 9 million multiply-accumulates, and that of ResNet-18 118 million. Of pictures
    of 32x32, which keep their size, "cifar" has no more than a form of this would.

    Deviation: both BatchNorms have gamma and beta; larq-zoo's first one has neither.
    """
    x = layers.DepthwiseConv2D(
        3,
        strides=2,
        padding="same",
        use_bias=False,
        depthwise_initializer=blocks.KERNEL_INITIALIZER,
        name="stem_depthwise",
    )(x)
    x = blocks.batch_norm(x, network, "stem_depthwise_batch_norm")
    x = blocks.pointwise_convolution(x, network.width, network, "stem_pointwise")
    return blocks.batch_norm(x, network, "stem_pointwise_batch_norm")


def picture_convolution(
    x: tf.Tensor,
    filters: int,
    kernel_size: int,
    strides: int,
    network: Network,
    normalisation: Normalisation | None,
    name: str,
) -> tf.Tensor:
    """The stem's convolution, of integers where the network's real layers are.

    Raises:
      InputError: it needs to know what makes pixels of its input.
    """
    if network.real_layers == "float":
        return blocks.real_convolution(x, filters, kernel_size, strides, name)
    if normalisation is None:
        raise InputError(
            "Network.real_layers is 'integer', and such a network needs to know how "
            "its pictures are normalised: build it with "
            "normalisation=Normalisation(mean, std), that of its data."
        )
    return PictureConv2D(
        filters,
        kernel_size,
        mean=normalisation.mean,
        std=normalisation.std,
        strides=strides,
        padding="same",
        kernel_initializer=blocks.KERNEL_INITIALIZER,
        # Integers are exact in it; all else has the compute precision again.
        dtype="float32",
        name=name,
    )(x)
