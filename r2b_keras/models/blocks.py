"""Building blocks: shortcuts, real blocks and binary half blocks (Fig. 1).

Every function takes and returns Keras tensors `[B, H, W, C]`. Layer names start with
the block's name, so that a student and its successor have the same weights under the
same names whatever their binarization.
"""

import pkgutil
from typing import Any

from r2b_keras.environment import lq, tf
from r2b_keras.models.integers import IntegerConv2D, IntegerDense
from r2b_keras.models.layers import SynchronizedBatchNorm, Tanh
from r2b_keras.models.rescalings import Convolution
from r2b_keras.networks import BINARIZATIONS, BINARIZERS, RESCALINGS, Network

layers = tf.keras.layers

# Of every kernel but a gate's [larq-zoo]; the paper prints no initialisation.
KERNEL_INITIALIZER = "glorot_normal"


def batch_norm(x: tf.Tensor, network: Network, name: str) -> tf.Tensor:
    """Batch normalisation with the network's momentum and epsilon."""
    synchronized = network.synchronized_batch_norm
    kind = SynchronizedBatchNorm if synchronized else layers.BatchNormalization
    return kind(
        momentum=network.batch_norm_momentum,
        epsilon=network.batch_norm_epsilon,
        name=name,
    )(x)


def real_convolution(
    x: tf.Tensor, filters: int, kernel_size: int, strides: int, name: str
) -> tf.Tensor:
    """Convolution of real weights, zero padding, no bias (a BatchNorm follows)."""
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer=KERNEL_INITIALIZER,
        name=name,
    )(x)


def pointwise_convolution(
    x: tf.Tensor, filters: int, network: Network, name: str
) -> tf.Tensor:
    """A 1x1 convolution, of integers where the network's real layers are."""
    if network.real_layers == "float":
        return real_convolution(x, filters, 1, 1, name)
    return IntegerConv2D(
        filters,
        1,
        momentum=network.batch_norm_momentum,
        kernel_initializer=KERNEL_INITIALIZER,
        dtype="float32",
        name=name,
    )(x)


def classifier(
    x: tf.Tensor, num_classes: int, network: Network, name: str
) -> tf.Tensor:
    """The dense layer that gives the logits `[B, num_classes]` of features `[B, C]`."""
    # Float32 whatever the compute precision: the losses take logarithms of it.
    options = {
        "kernel_initializer": KERNEL_INITIALIZER,
        "dtype": "float32",
        "name": name,
    }
    if network.real_layers == "float":
        return layers.Dense(num_classes, **options)(x)
    return IntegerDense(num_classes, network.batch_norm_momentum, **options)(x)


def activation(x: tf.Tensor, kind: str, name: str) -> tf.Tensor:
    """ReLU, or PReLU with one learned slope per channel, from 0 on.

    The paper prints no start; Keras has 0, a ReLU, and PyTorch 0.25.
    """
    if kind == "prelu":
        return layers.PReLU(shared_axes=[1, 2], name=name)(x)
    return layers.ReLU(name=name)(x)


def quantizers(network: Network) -> dict[str, Any]:
    """Arguments that give a larq layer the network's binarization."""
    of_weights = _of_weights(network)
    return {
        "input_quantizer": _of_inputs(network),
        "kernel_quantizer": of_weights,
        # A latent weight beyond +-1 gets no gradient and would stay there for ever.
        "kernel_constraint": of_weights and "weight_clip",
    }


def _of_inputs(network: Network) -> Any:
    kind = BINARIZATIONS[network.binarization].activations
    if kind == "real":
        return None
    if kind == "tanh":
        return Tanh()
    return pkgutil.resolve_name(BINARIZERS[network.activation_binarizer])()


def _of_weights(network: Network) -> Any:
    if BINARIZATIONS[network.binarization].weights == "real":
        return None
    own = RESCALINGS[network.rescaling_used].weight_binarizer
    return pkgutil.resolve_name(own or BINARIZERS[network.weight_binarizer])()


def quantized_convolution(
    x: tf.Tensor,
    filters: int,
    kernel_size: int,
    strides: int,
    network: Network,
    name: str,
) -> tf.Tensor:
    """Convolution whose inputs and weights have the network's binarization."""
    return lq.layers.QuantConv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        pad_values=network.pad_value,
        use_bias=False,
        kernel_initializer=KERNEL_INITIALIZER,
        name=name,
        **quantizers(network),
    )(x)


def shortcut(x: tf.Tensor, filters: int, network: Network, name: str) -> tf.Tensor:
    """Shortcut of a block that halves the resolution: pool, 1x1 convolution, BatchNorm.

    The average pool follows the authors' later code and larq-zoo. With a binary
    downsample a BatchNorm goes before the convolution, to learn its thresholds (ours:
    the paper reports such rows without saying how they are made).
    """
    x = layers.AveragePooling2D(2, strides=2, padding="same", name=f"{name}_pool")(x)
    if network.downsample == "binary" and network.binarization != "real":
        x = batch_norm(x, network, f"{name}_threshold")
        x = quantized_convolution(x, filters, 1, 1, network, f"{name}_conv")
    else:
        x = pointwise_convolution(x, filters, network, f"{name}_conv")
    return batch_norm(x, network, f"{name}_batch_norm")


def binary_half_block(
    x: tf.Tensor, filters: int, strides: int, network: Network, name: str, output: str
) -> tf.Tensor:
    """BatchNorm -> sign -> 3x3 convolution -> re-scaling -> PReLU, plus its own skip.

    Half of a block of Fig. 1 (left). BatchNorm's bias is the learned threshold of the
    sign.

    Args:
      x: `[B, H, W, C_in]`.
      filters: C_out.
      strides: 1, where C_in is C_out, or 2: the skip is a downsampling shortcut.
      network: binarization and options.
      name: first part of the layers' names.
      output: name of the addition that ends the half block.

    Returns:
      `[B, ceil(H/strides), ceil(W/strides), C_out]`.
    """
    skip = x
    if strides != 1:
        skip = shortcut(x, filters, network, f"{name}_shortcut")
    normalised = batch_norm(x, network, f"{name}_batch_norm")
    x = quantized_convolution(normalised, filters, 3, strides, network, f"{name}_conv")
    rescaling = RESCALINGS[network.rescaling_used].layers
    if rescaling:
        convolution = Convolution(x, normalised, 3, strides, network, name)
        x = pkgutil.resolve_name(rescaling)(convolution)
    x = activation(x, "prelu", f"{name}_prelu")
    return layers.Add(name=output)([x, skip])


def binary_block(
    x: tf.Tensor, filters: int, strides: int, network: Network, name: str
) -> tf.Tensor:
    """Two half blocks; the second one's addition carries the block's name."""
    x = binary_half_block(x, filters, strides, network, f"{name}a", f"{name}a_add")
    return binary_half_block(x, filters, 1, network, f"{name}b", name)


def real_block(
    x: tf.Tensor, filters: int, strides: int, network: Network, name: str
) -> tf.Tensor:
    """Basic block of He et al. (2016): two convolutions, one skip, ReLU.

    The last ReLU carries the block's name.

    Deviation: where a block halves the map its skip is pooled, then convolved, as in
    the binary blocks, and not a convolution of stride 2, see `shortcut`.
    """
    skip = x
    if strides != 1:
        skip = shortcut(x, filters, network, f"{name}_shortcut")
    x = real_convolution(x, filters, 3, strides, f"{name}a_conv")
    x = batch_norm(x, network, f"{name}a_batch_norm")
    x = layers.ReLU(name=f"{name}a_relu")(x)
    x = real_convolution(x, filters, 3, 1, f"{name}b_conv")
    x = batch_norm(x, network, f"{name}b_batch_norm")
    x = layers.Add(name=f"{name}_add")([x, skip])
    return layers.ReLU(name=name)(x)
