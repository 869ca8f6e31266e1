"""Binary layers in the one form that Larq Compute Engine's converter sees as binary.

It knows a sign right before a 2-D convolution. So, while a network is traced:

- A layer that gets its signs through a concatenation, a pooling or a reshape takes
  their signs once more, which changes nothing.
- A dense layer is a convolution of maps of one pixel.
- Signs that were padded with zeros are padded with ones, and a constant map takes off
  what that adds. The map has to come first in a subtraction: one that is added would be
  merged into the convolution's bias, see `lce_merges`.

The engine (0.16) pads with ones too, and takes off what that added with sums for the
four edges. They are wrong where one output touches two opposite edges, which it does on
a map smaller than the kernel: 3x3 on 2x2 pixels. There, too, a map does it.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from r2b_keras.converters import graph
from r2b_keras.converters.binary_flow import Flow, Place, Values
from r2b_keras.environment import lq, tf

_Call = Callable[..., tf.Tensor]


@contextlib.contextmanager
def applied(flow: Flow) -> Iterator[None]:
    """Makes the binary layers of a network take that form inside of the block."""
    # A layer that is used several times goes through its places in turn.
    turns = {
        place.layer: itertools.cycle([x for x in flow.places if x.layer is place.layer])
        for place in flow.binary
    }

    def wrap(layer: graph.Layer, call: _Call, *args: Any, **more: Any) -> Any:
        return _in_form(next(turns[layer]), call, *args, **more)

    with graph.around(turns, wrap):
        yield


def _in_form(place: Place, call: _Call, inputs: tf.Tensor, **more: Any) -> tf.Tensor:
    layer = place.layer
    if place.values is Values.SIGNS:
        if _is_plain(layer, lq.layers.QuantDense):
            return _dense(place, inputs)
        if _plain_convolution(layer) and _pads_small_map(layer, inputs.shape[1:3]):
            zeros = np.zeros(inputs.shape[1:3], bool)
            return _corrected(place, _signs_for(layer, inputs), zeros)
        seen = place.is_direct or getattr(layer, "input_quantizer", None) is not None
        return call(inputs if seen else lq.math.sign(inputs), **more)
    if place.padding is not None and _plain_convolution(layer):
        return _corrected(place, lq.math.sign(inputs), place.padding)
    return call(inputs, **more)


def _signs_for(layer: graph.Layer, inputs: tf.Tensor) -> tf.Tensor:
    quantizer = getattr(layer, "input_quantizer", None)
    return lq.math.sign(inputs) if quantizer is None else quantizer(inputs)


def _dense(place: Place, inputs: tf.Tensor) -> tf.Tensor:
    """A dense layer as a convolution of 1x1 on maps of `[N, pixels, 1, C]`."""
    layer = place.layer
    channels = inputs.shape[-1]
    middle = inputs.shape[1:-1]
    pixels = tf.reshape(inputs, (-1, int(np.prod(middle)), 1, channels))
    kernel = place.kernel[None, None]
    sums = tf.nn.conv2d(_signs_for(layer, pixels), kernel, 1, "VALID")
    return _finish(layer, tf.reshape(sums, (-1, *middle, sums.shape[-1])))


def _corrected(place: Place, signs: tf.Tensor, zeros: np.ndarray) -> tf.Tensor:
    """A convolution of signs some of which, at the pixels `zeros`, stand for zeros."""
    layer = place.layer
    if layer.padding == "same":
        padding = layer._get_padding_same(signs)
        zeros = np.pad(zeros, padding[1:3], constant_values=layer.pad_values == 0.0)
        signs = tf.pad(signs, padding, constant_values=1.0)
    added = np.broadcast_to(zeros[None, :, :, None], (1, *signs.shape[1:]))
    with tf.init_scope():
        ones = tf.constant(added, tf.float32)
        correction = _convolve(layer, ones, -place.kernel).numpy()
    return _finish(layer, correction - _convolve(layer, signs, -place.kernel))


def _convolve(layer: graph.Layer, inputs: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    return tf.nn.convolution(
        inputs, kernel, list(layer.strides), "VALID", dilations=layer.dilation_rate
    )


def _finish(layer: graph.Layer, outputs: tf.Tensor) -> tf.Tensor:
    if layer.use_bias:
        outputs = tf.nn.bias_add(outputs, layer.bias)
    return outputs if layer.activation is None else layer.activation(outputs)


def _is_plain(layer: graph.Layer, kind: type) -> bool:
    """Whether a layer computes what one of larq's does, and nothing else."""
    return isinstance(layer, kind) and all(
        getattr(type(layer), name, None) is getattr(kind, name, None)
        for name in ("call", "convolution_op")
    )


def _plain_convolution(layer: graph.Layer) -> bool:
    """Whether a layer is larq's convolution, with a padding that LCE can have."""
    return (
        _is_plain(layer, lq.layers.QuantConv2D)
        and layer.data_format == "channels_last"
        and layer.pad_values in (0.0, 1.0)
    )


def _pads_small_map(layer: graph.Layer, map_size: Sequence[int]) -> bool:
    return (
        layer.padding == "same"
        and layer.pad_values == 0.0
        and is_smaller(map_size, layer.kernel_size, layer.dilation_rate)
    )


def is_smaller(
    map_size: Sequence[int], kernel_size: Sequence[int], dilations: Sequence[int]
) -> bool:
    """Whether a kernel, spread by its dilation, is larger than a map."""
    return any(
        size < (kernel - 1) * dilation + 1
        for size, kernel, dilation in zip(map_size, kernel_size, dilations, strict=True)
    )
