"""Cheaper networks with the same answers, for deployment.

A half block normalises its input, binarizes it, and gates with the mean of what it
normalised. For deployment, with s = gamma / sqrt(variance + epsilon):

- sign(BatchNorm(x)) is sign(x - t) for a threshold t per channel, times sign(s), which
  goes into the weights of the convolution. A multiplication of the whole tensor goes.
- mean(BatchNorm(x)) = s mean(x - t), so s goes into the gate's first kernel. Where
  gamma is 0, BatchNorm is beta whatever x is, and beta goes into the gate's bias.

A half block then has 10 operators instead of 11, of which 7 instead of 8 go over the
whole tensor: ADD, LceQuantize, MEAN, LceBconv2d, MUL (gate), PRELU, ADD (skip); before,
a MUL comes first.

The factor alpha after the convolution needs no such care: Larq Compute Engine's
converter puts it into the multiplier of the binary convolution.
"""

import numpy as np

from r2b_keras.converters import binary_flow, graph
from r2b_keras.environment import lq, tf
from r2b_keras.models.layers import ChannelGating

# A threshold that no feature map reaches, small enough for sums over a map.
_OUT_OF_REACH = np.float32(1e30)
# Stands for a weight of 0, whose sign is +1, where that sign turns to -1.
_SMALLEST_WEIGHT = np.float32(1e-30)

_SIGNS = (lq.quantizers.SteSign, lq.quantizers.ApproxSign, lq.quantizers.SwishSign)


@tf.keras.utils.register_keras_serializable(package="r2b_keras")
class ChannelThreshold(tf.keras.layers.Layer):
    """Subtracts a threshold from each channel; what is left of a BatchNorm before sign.

    Input shape: `[B, H, W, C]`. Output shape: the same.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        """Adds the thresholds, negated, shape `[C]`."""
        self.offset = self.add_weight(
            name="offset", shape=(input_shape[-1],), initializer="zeros"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs + offset`."""
        return inputs + self.offset


def simplify(model: tf.keras.Model) -> tf.keras.Model:
    """Replaces each BatchNorm that only feeds binarizations by one subtraction.

    A BatchNorm stays as it is where that would not be exact or would gain nothing:
    where it feeds anything but binary convolutions and gates; where a convolution pads
    with ones and a gamma is negative; where it follows a convolution, into which the
    converter folds it.

    Args:
      model: a trained network, nested models included; it is not changed.

    Returns:
      A network with the same binary activations and, up to float rounding, the same
      outputs. The model itself where there is nothing to simplify.

    Raises:
      InputError: there is, but a layer cannot be made again from its configuration.
    """
    if not graph.is_graph(model) or graph.in_training(model):
        return model
    model = graph.with_nested(model, simplify)
    readers = graph.readers(model)
    found = [layer for layer in model.layers if _can_go(model, layer, readers)]
    if not found:
        return model
    makers = {layer.name: _make_threshold for layer in found}
    for layer in found:
        for reader in readers[layer.name]:
            makers[reader.name] = (
                _make_gate if isinstance(reader, ChannelGating) else graph.clone
            )
    simplified = graph.exchange(model, makers)
    for layer in found:
        _move(layer, readers[layer.name], simplified)
    return simplified


def _make_threshold(layer: graph.Layer) -> graph.Layer:
    return ChannelThreshold(name=layer.name)


def _make_gate(layer: graph.Layer) -> graph.Layer:
    return ChannelGating.from_config({**layer.get_config(), "use_bias": True})


def _can_go(
    model: tf.keras.Model, layer: graph.Layer, readers: dict[str, list[graph.Layer]]
) -> bool:
    """Whether a layer is a BatchNorm that only feeds binarizations."""
    if not isinstance(layer, tf.keras.layers.BatchNormalization):
        return False
    if list(layer.axis) != [3] or len(graph.nodes(model, layer)) != 1:
        return False
    convolution = tf.keras.layers.Conv2D
    if all(
        isinstance(parent, convolution) and readers[parent.name] == [layer]
        for parent in graph.parents(model, layer)
    ):
        return False
    flips = bool(np.any(_gamma_beta(layer)[0] < 0))
    own = readers[layer.name]
    return any(isinstance(reader, convolution) for reader in own) and all(
        len(graph.nodes(model, reader)) == 1
        and (isinstance(reader, ChannelGating) or _binarizes(reader, flips))
        for reader in own
    )


def _binarizes(layer: graph.Layer, flips: bool) -> bool:
    """Whether a layer is a convolution that binarizes its input, and can be flipped."""
    if type(layer) is not lq.layers.QuantConv2D or layer.groups != 1:
        return False
    if not binary_flow.takes_sign(layer.input_quantizer):
        return False
    if layer.kernel_quantizer is not None and not isinstance(
        layer.kernel_quantizer, (*_SIGNS, lq.quantizers.MagnitudeAwareSign)
    ):
        return False
    return not flips or layer.padding == "valid" or layer.pad_values == 0.0


def _gamma_beta(layer: graph.Layer) -> tuple[np.ndarray, np.ndarray]:
    channels = layer.moving_mean.shape[0]
    gamma = layer.gamma.numpy() if layer.scale else np.ones(channels, np.float32)
    beta = layer.beta.numpy() if layer.center else np.zeros(channels, np.float32)
    return gamma, beta


def _move(
    layer: graph.Layer,
    readers: list[graph.Layer],
    simplified: tf.keras.Model,
) -> None:
    """Gives threshold, convolutions and gates what the BatchNorm did."""
    threshold = thresholds(layer)
    gamma, beta = _gamma_beta(layer)
    simplified.get_layer(layer.name).set_weights([-threshold])
    for reader in readers:
        new = simplified.get_layer(reader.name)
        if isinstance(reader, ChannelGating):
            reduce, expand, *old = reader.get_weights()
            variance = layer.moving_variance.numpy().astype(np.float64)
            scale = gamma / np.sqrt(variance + layer.epsilon)
            mean = layer.moving_mean.numpy().astype(np.float64)
            # What BatchNorm gives at the threshold: 0, but for channels without one.
            at_threshold = (threshold - mean) * scale + beta
            bias = at_threshold @ reduce[0, 0].astype(np.float64)
            new.set_weights([reduce * scale[:, None], expand, bias + sum(old)])
        else:
            kernel, *rest = reader.get_weights()
            new.set_weights([_flip(reader, kernel, gamma), *rest])


def _flip(layer: graph.Layer, kernel: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    """The kernel with the channels turned whose gamma is negative."""
    turn = np.where(gamma < 0, -1, 1).astype(np.float32)[:, None]
    if layer.kernel_quantizer is not None:
        # The sign as larq takes it: some tiny weights are 0 to TensorFlow.
        signs = lq.math.sign(kernel).numpy()
        kernel = signs * np.maximum(np.abs(kernel), _SMALLEST_WEIGHT)
    return kernel * turn


def thresholds(layer: graph.Layer) -> np.ndarray:
    """Where the BatchNorm's output changes its sign, to the bit.

    A closed formula would be off by a rounding error; bisection of the layer itself is
    not. BatchNorm is monotonous in each channel, rounding included.

    Args:
      layer: a BatchNormalization over C channels.

    Returns:
      `[C]`, t such that sign(x - t) = sign(gamma) sign(BatchNorm(x)) for every float32
      x between -1e30 and 1e30.
    """
    falls = _gamma_beta(layer)[0] < 0

    def is_above(x: np.ndarray) -> np.ndarray:
        positive = layer(x[None, None, None, :], training=False).numpy()[0, 0, 0] >= 0
        return np.where(falls, ~positive, positive)

    channels = len(falls)
    low = np.full(channels, _to_order(-_OUT_OF_REACH))
    high = np.full(channels, _to_order(_OUT_OF_REACH))
    always = is_above(_from_order(low))
    while np.any(high - low > 1):
        middle = (low + high) // 2
        above = is_above(_from_order(middle))
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.where(always, -_OUT_OF_REACH, _from_order(high))


def _to_order(x: np.float32) -> int:
    """The place of a float32 among all float32."""
    bits = int(np.float32(x).view(np.int32))
    return bits if bits >= 0 else -(bits & 0x7FFFFFFF)


def _from_order(order: np.ndarray) -> np.ndarray:
    """Float32 by their places, the inverse of `_to_order`."""
    magnitude = np.abs(order).astype(np.int32).view(np.float32)
    return np.where(order < 0, -magnitude, magnitude)
