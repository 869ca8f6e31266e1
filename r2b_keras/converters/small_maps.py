"""Binary convolutions of maps that are smaller than the kernel.

Larq Compute Engine's fast kernels (0.16) pad with ones and take off what that added,
with sums for the four edges. They are wrong where one output touches two opposite
edges, which it does on a map smaller than the kernel: 3x3 on 2x2 pixels. There the
network pads with ones by itself, and a constant map takes off what that adds.

The map has to come first in a subtraction. A map that is added would be merged into
the convolution's bias, and where a sign follows, the converter would then take the
first pixel's bias for all of them.
"""

from collections.abc import Sequence

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import binary_operators, graph, tflite_file
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

_SAME = tflite_file.schema.Padding.SAME


@tf.keras.utils.register_keras_serializable(package="r2b_keras")
class CorrectedConv2D(lq.layers.QuantConv2D):
    """A binary convolution with zero padding, computed with a padding of ones.

    Input shape: `[B, H, W, C]`, H and W known. Output shape: that of `QuantConv2D`.
    """

    def build(self, input_shape: tf.TensorShape) -> None:
        """Adds what zeros give less what ones give, `[H', W', C_out]`."""
        super().build(input_shape)
        shape = self.compute_output_shape(input_shape)[1:]
        self.correction = self.add_weight(
            name="correction", shape=shape, initializer="zeros"
        )

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Convolves, and corrects before bias and activation."""
        padded = tf.pad(inputs, self._get_padding_same(inputs), constant_values=1.0)
        return self.correction - tf.nn.convolution(
            padded, -kernel, list(self.strides), "VALID", dilations=self.dilation_rate
        )


def correct(model: tf.keras.Model) -> tf.keras.Model:
    """Exchanges the binary convolutions that would be wrong in the engine.

    Args:
      model: a network, nested models included; it is not changed.

    Returns:
      A network whose convolutions give the same, to the bit; the model itself where no
      map is smaller than its kernel.

    Raises:
      InputError: one is, but a layer cannot be made again from its configuration.
    """
    if not graph.is_graph(model):
        return model
    model = graph.with_nested(model, correct)
    found = [layer for layer in model.layers if _is_affected(model, layer)]
    if not found:
        return model
    corrected = graph.exchange(model, {layer.name: _make for layer in found})
    for layer in found:
        new = corrected.get_layer(layer.name)
        new.set_weights([*layer.get_weights(), np.zeros(new.correction.shape)])
        new.correction.assign(_sums(layer, new))
    return corrected


def _make(layer: graph.Layer) -> graph.Layer:
    return CorrectedConv2D.from_config(layer.get_config())


def _is_affected(model: tf.keras.Model, layer: graph.Layer) -> bool:
    if type(layer) is not lq.layers.QuantConv2D or layer.padding != "same":
        return False
    if getattr(layer.kernel_quantizer, "precision", None) != 1:
        return False
    nodes = graph.nodes(model, layer)
    if (
        layer.pad_values != 0.0
        or len(nodes) != 1
        or not graph.takes_signs(model, layer)
    ):
        return False
    sizes = nodes[0].input_shapes[1:3]
    return None not in sizes and _is_smaller(
        sizes, layer.kernel_size, layer.dilation_rate
    )


def _is_smaller(
    map_size: Sequence[int], kernel_size: Sequence[int], dilations: Sequence[int]
) -> bool:
    """Whether a kernel, spread by its dilation, is larger than a map."""
    return any(
        size < (kernel - 1) * dilation + 1
        for size, kernel, dilation in zip(map_size, kernel_size, dilations, strict=True)
    )


def check(flatbuffer: bytes) -> None:
    """Refuses a network with a convolution that would be wrong in the engine.

    `correct` leaves some: convolutions that are used twice, or in a model that is code.

    Raises:
      InputError: there is such a convolution.
    """
    model = tflite_file.parse(flatbuffer)
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            kind = tflite_file.operator_name(model, operator)
            if kind != binary_operators.CONVOLUTION:
                continue
            options = flexbuffers.Loads(bytes(operator.customOptions))
            shapes = [subgraph.tensors[i].shape for i in operator.inputs[:2]]
            dilations = [options[f"dilation_{x}_factor"] for x in ("height", "width")]
            pads_zeros = (options["padding"], options["pad_values"]) == (_SAME, 0)
            if pads_zeros and _is_smaller(shapes[0][1:3], shapes[1][1:3], dilations):
                name = subgraph.tensors[operator.outputs[0]].name.decode()
                raise InputError(
                    f"Layer {name!r} convolves maps of {tuple(shapes[0][1:3])} pixels "
                    f"with a kernel of {tuple(shapes[1][1:3])}, which Larq Compute "
                    "Engine gets wrong: expected the layer to be used once, in a "
                    "functional or sequential model, or to pad with ones."
                )


def _sums(old: graph.Layer, new: graph.Layer) -> np.ndarray:
    """What zeros give less ones, the same for every input: whole numbers."""
    probe = tf.ones((1, *new.input_shape[1:]))
    zeros, ones = (_convolve(old, pad_values, probe) for pad_values in (0.0, 1.0))
    return zeros - ones


def _convolve(layer: graph.Layer, pad_values: float, inputs: tf.Tensor) -> np.ndarray:
    own = {"use_bias": False, "activation": None, "pad_values": pad_values}
    plain = lq.layers.QuantConv2D.from_config({**layer.get_config(), **own})
    plain.build(inputs.shape)
    plain.kernel.assign(layer.kernel)
    outputs: np.ndarray = plain(inputs).numpy()[0]
    return outputs
