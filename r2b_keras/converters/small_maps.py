"""Binary convolutions of maps that are smaller than the kernel.

Larq Compute Engine's fast kernels (0.16) pad with ones and take off what that added,
with sums for the four edges. They are wrong where one output touches two opposite
edges, which it does on a map smaller than the kernel: 3x3 on 2x2 pixels. There the
network pads with ones by itself, and a constant map takes off what that adds.
"""

import numpy as np

from r2b_keras.converters import graph
from r2b_keras.environment import lq, tf


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
        return super().convolution_op(inputs, kernel) + self.correction


def correct(model: tf.keras.Model) -> tf.keras.Model:
    """Exchanges the binary convolutions that would be wrong in the engine.

    Args:
      model: a network; it is not changed. Layers inside nested models stay.

    Returns:
      A network whose convolutions give the same, to the bit; the model itself where no
      map is smaller than its kernel.
    """
    if not graph.is_graph(model):
        return model
    found = [layer for layer in model.layers if _is_affected(layer)]
    if not found:
        return model
    corrected = graph.exchange(model, {layer.name: _make for layer in found})
    for layer in found:
        new = corrected.get_layer(layer.name)
        new.set_weights([*layer.get_weights(), np.zeros(new.correction.shape)])
        new.correction.assign(_sums(layer, new))
    return corrected


def _make(layer: graph.Layer) -> graph.Layer:
    return CorrectedConv2D.from_config({**layer.get_config(), "pad_values": 1.0})


def _is_affected(layer: graph.Layer) -> bool:
    if type(layer) is not lq.layers.QuantConv2D or layer.padding != "same":
        return False
    quantizers = (layer.input_quantizer, layer.kernel_quantizer)
    if not all(getattr(quantizer, "precision", 32) == 1 for quantizer in quantizers):
        return False
    if layer.pad_values != 0.0 or len(layer.inbound_nodes) != 1:
        return False
    sizes = layer.input_shape[1:3]
    extents = [
        (size - 1) * dilation + 1
        for size, dilation in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    return any(
        size is not None and size < extent
        for size, extent in zip(sizes, extents, strict=True)
    )


def _sums(old: graph.Layer, new: graph.Layer) -> np.ndarray:
    """What zeros give less ones, the same for every input: whole numbers."""
    probe = tf.ones((1, *old.input_shape[1:]))
    zeros, ones = (_without_bias(layer, probe) for layer in (old, new))
    return zeros - ones


def _without_bias(layer: graph.Layer, inputs: tf.Tensor) -> np.ndarray:
    plain = lq.layers.QuantConv2D.from_config(
        {**layer.get_config(), "use_bias": False, "activation": None}
    )
    plain.build(inputs.shape)
    plain.kernel.assign(layer.kernel)
    outputs: np.ndarray = plain(inputs).numpy()[0]
    return outputs
