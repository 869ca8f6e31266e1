"""Real layers in integers: weights of 7 bits, inputs of 8, sums without rounding.

    integers, scales = quantize_weights(kernel)      # whole numbers from -63 to 63
    quantized = quantize(x, inverse, -127, 127)      # whole numbers of 8 bits
    sums = conv2d(quantized, integers)               # below 2**24: exact in float32

Float32 holds every whole number up to 2**24, so such sums are the same in any order, in
every engine and in training, to the bit; one multiplication by a factor per channel
follows. Gradients go straight through both roundings (Jacob et al., 2018, train so) and
end where an input is beyond its range.

Why 63: two products of a pixel and a weight, 2 * 255 * 63, fit into 16 bits, in which
processors without a dot product of bytes add them.

Divisions by constants are written as multiplications: TensorFlow makes these of them in
graphs and not in eager execution, and the last bit would depend on it.
"""

import math
from collections.abc import Sequence
from typing import Any

from r2b_keras.checks import require_fraction_below_1
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation

_register = tf.keras.utils.register_keras_serializable(package="r2b_keras")

LARGEST_WEIGHT = 63
LARGEST_ACTIVATION = 127
LARGEST_PIXEL = 255
EXACT = 2**24  # Whole numbers below it are exact in float32.
_WEIGHT_BITS = 8  # Of a stored weight: 7 are used.


@tf.custom_gradient
def _rounded(x: tf.Tensor) -> Any:
    """floor(x + 0.5), and the gradient as it comes."""
    return tf.floor(x + 0.5), lambda upstream: upstream


def quantize_weights(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whole numbers and scales of weights: w is about integer * scale.

    Forward: scale = max |w| * (1 / 63) for each output channel, 1 for zeros;
    integer = clip(floor(w / scale + 0.5), -63, 63). Backward: the scale is a constant,
    and the rounding is not there.

    Args:
      kernel: `[..., C_out]` float32.

    Returns:
      The integers `[..., C_out]` and the scales `[C_out]`, both float32.
    """
    axes = list(range(kernel.shape.rank - 1))
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(kernel), axes))
    scales = largest * (1 / LARGEST_WEIGHT)
    scales = tf.where(scales > 0, scales, tf.ones_like(scales))
    rounded = _rounded(kernel / scales)
    limit = float(LARGEST_WEIGHT)
    return tf.maximum(tf.minimum(rounded, limit), -limit), scales


def quantize(x: tf.Tensor, inverse: tf.Tensor, low: int, high: int) -> tf.Tensor:
    """clip(floor(x * inverse + 0.5), low, high).

    Backward: `inverse` times the gradient where x * inverse is from low to high, 0
    elsewhere; none for `inverse`.

    Args:
      x: any shape, float32.
      inverse: steps in 1, a positive number.
      low: the smallest result.
      high: the largest.

    Returns:
      Whole numbers as float32, of x's shape.
    """

    @tf.custom_gradient
    def straight_through(x: tf.Tensor) -> Any:
        steps = x * inverse
        limited = tf.maximum(tf.minimum(tf.floor(steps + 0.5), float(high)), float(low))

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inside = tf.logical_and(steps >= low, steps <= high)
            return tf.where(inside, upstream * inverse, tf.zeros_like(upstream))

        return limited, gradient

    return straight_through(x)


def _check_exact(layer: tf.keras.layers.Layer, num_inputs: int, largest: int) -> None:
    """Refuses sums that float32 may have to round, and other floats than float32.

    Args:
      layer: the layer.
      num_inputs: products in a sum.
      largest: magnitude of an input.
    """
    if layer.compute_dtype != "float32":
        raise InputError(
            f"Layer {layer.name!r} computes in {layer.compute_dtype}, expected float32 "
            "(dtype='float32'), in which its sums of integers are exact."
        )
    most = (EXACT - 1) // (largest * LARGEST_WEIGHT)
    if num_inputs > most:
        raise InputError(
            f"Layer {layer.name!r} adds up {num_inputs} products of integers, expected "
            f"at most {most}, whose sum is exact in float32: make the network "
            "narrower, or its real_layers 'float'."
        )


def _set_weight_bits(kernel: tf.Variable) -> None:
    """Tells larq's profile how wide a weight is once it is deployed."""
    kernel.precision = _WEIGHT_BITS


class _InputRange:
    """Follows the largest magnitude of a layer's inputs.

    Attributes:
      maximum: moving mean of each batch's largest |x|, 0 before the first one. It is
        moved in training, and used as it stands in inference.
    """

    momentum: float
    maximum: tf.Variable

    def _add_maximum(self) -> None:
        self.maximum = self.add_weight(  # type: ignore[attr-defined]
            name="maximum",
            shape=(),
            initializer="zeros",
            trainable=False,
            # As BatchNorm's statistics: each replica has its own, saved is the mean.
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def update_range(self, inputs: tf.Tensor) -> None:
        """Moves `maximum` by a batch of the layer's inputs."""
        maximum = tf.convert_to_tensor(self.maximum)
        largest = tf.stop_gradient(tf.reduce_max(tf.abs(inputs)))
        # A frozen layer's range stays, once it has one.
        share = (1 - self.momentum) if self.trainable else 0.0  # type: ignore[attr-defined]
        moved = maximum + share * (largest - maximum)
        self.maximum.assign(tf.where(maximum > 0, moved, largest))

    def input_range(self) -> tf.Tensor:
        """The magnitude that becomes 127, `[]`."""
        maximum = tf.convert_to_tensor(self.maximum)
        # Zeros, or a network that has seen no image yet, have any range.
        return tf.where(maximum > 0, maximum, tf.ones_like(maximum))

    def coefficients(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What the layer computes with.

        Returns:
          The weights' integers `[..., C_out]`, and what a sum of their products with
          whole numbers is multiplied by, `[C_out]`.
        """
        integers, scales = quantize_weights(self.kernel)  # type: ignore[attr-defined]
        return integers, scales * (self.input_range() * (1 / LARGEST_ACTIVATION))

    def steps(self) -> tf.Tensor:
        """How many of the whole numbers an input of 1 is, `[]`."""
        return LARGEST_ACTIVATION / self.input_range()

    def quantize(self, inputs: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        """Whole numbers from -127 to 127 of the layer's inputs."""
        return quantize(inputs, steps, -LARGEST_ACTIVATION, LARGEST_ACTIVATION)


@_register
class PictureConv2D(tf.keras.layers.Conv2D):
    """Convolution of a picture's pixels, as integers; the first layer of a network.

    Its input is the normalised picture x = (p / 255 - mean) / std, of which it makes
    the pixels again, p = clip(floor((x * std + mean) * 255 + 0.5), 0, 255), and takes
    z = round(255 * mean) off, so that a padding with zeros is one with pixels z. Of
    pictures the pixels are exact; what augmentation made of them is rounded. The kernel
    is that of a convolution of x; with 1 / std in it, it is quantized. A deployed
    network takes the pixels themselves.

    Deviation: z is 255 * mean but for the rounding, half a pixel at most, which the
    BatchNorm that follows takes in.

    Input shape: `[B, H, W, C]`. Output shape: that of Keras's `Conv2D`.

    Args:
      filters: channels of the output.
      kernel_size: height and width of the window, in pixels.
      mean: see `Normalisation`; from 0 to 1.
      std: see `Normalisation`.
      **kwargs: strides, padding and what every layer takes; there is no bias.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
        **kwargs: Any,
    ) -> None:
        """Validates and stores the normalisation."""
        super().__init__(filters, kernel_size, **_without_bias(kwargs))
        self.normalisation = Normalisation(tuple(mean), tuple(std))
        if not all(0 <= value <= 1 for value in self.normalisation.mean):
            raise InputError(
                f"Layer {self.name!r} got the mean {self.normalisation.mean}, expected "
                "numbers from 0 to 1, a pixel's value / 255."
            )
        self.offsets = [math.floor(255 * x + 0.5) for x in self.normalisation.mean]

    def build(self, input_shape: Any) -> None:
        """Adds the kernel, `[h, w, C, filters]`."""
        channels = input_shape[-1]
        if channels != len(self.offsets):
            raise InputError(
                f"Layer {self.name!r} got pictures of {channels} channels, expected "
                f"{len(self.offsets)}, as its mean {self.normalisation.mean} has."
            )
        num_inputs = math.prod(self.kernel_size) * channels
        _check_exact(self, num_inputs, LARGEST_PIXEL)
        super().build(input_shape)
        _set_weight_bits(self.kernel)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the convolution of the pixels minus z, times a factor per channel."""
        integers, factors = self.coefficients()
        offsets = tf.constant(self.offsets, tf.float32)
        outputs = self.sums(self.pixels(inputs) - offsets, integers) * factors
        return self.activation(outputs)

    def pixels(self, inputs: tf.Tensor) -> tf.Tensor:
        """The pixels of a normalised picture, 0 to 255 as float32."""
        std = tf.constant(self.normalisation.std, tf.float32)
        mean = tf.constant(self.normalisation.mean, tf.float32)
        return quantize(inputs * std + mean, float(LARGEST_PIXEL), 0, LARGEST_PIXEL)

    def coefficients(self) -> tuple[tf.Tensor, tf.Tensor]:
        """What the layer computes with.

        Returns:
          The weights' integers `[h, w, C, filters]`, and what a sum of their products
          with pixels is multiplied by, `[filters]`.
        """
        inverse = [[1 / value] for value in self.normalisation.std]
        integers, scales = quantize_weights(self.kernel * tf.constant(inverse))
        return integers, scales * (1 / LARGEST_PIXEL)

    def sums(self, inputs: tf.Tensor, integers: tf.Tensor) -> tf.Tensor:
        """The convolution, in integers."""
        return self.convolution_op(inputs, integers)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        config = super().get_config()
        del config["use_bias"]
        mean, std = self.normalisation.mean, self.normalisation.std
        return {**config, "mean": list(mean), "std": list(std)}


@_register
class IntegerConv2D(_InputRange, tf.keras.layers.Conv2D):
    """Convolution of activations in integers, without a bias.

    Forward: q = clip(floor(x * 127 / m + 0.5), -127, 127) with m the range of inputs,
    and conv(q, integers) * scale * m / 127; see `quantize_weights`.

    Input shape: `[B, H, W, C]`. Output shape: that of Keras's `Conv2D`.

    Args:
      filters: channels of the output.
      kernel_size: height and width of the window, in pixels.
      momentum: share of the range kept at each step of training.
      **kwargs: strides, padding and what every layer takes; there is no bias.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int],
        momentum: float = 0.9,
        **kwargs: Any,
    ) -> None:
        """Validates and stores the momentum."""
        super().__init__(filters, kernel_size, **_without_bias(kwargs))
        require_fraction_below_1("IntegerConv2D.momentum", momentum)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        """Adds the kernel, `[h, w, C, filters]`, and the range, a number."""
        num_inputs = math.prod(self.kernel_size) * input_shape[-1] // self.groups
        _check_exact(self, num_inputs, LARGEST_ACTIVATION)
        super().build(input_shape)
        _set_weight_bits(self.kernel)
        self._add_maximum()

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the convolution, times a factor per channel."""
        if training:
            self.update_range(inputs)
        integers, factors = self.coefficients()
        outputs = self.sums(self.quantize(inputs, self.steps()), integers) * factors
        return self.activation(outputs)

    def sums(self, inputs: tf.Tensor, integers: tf.Tensor) -> tf.Tensor:
        """The convolution, in integers."""
        return self.convolution_op(inputs, integers)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        config = super().get_config()
        del config["use_bias"]
        return {**config, "momentum": self.momentum}


@_register
class IntegerDense(_InputRange, tf.keras.layers.Dense):
    """Dense layer in integers; its bias is real.

    Forward: as `IntegerConv2D`, q @ integers * scale * m / 127 + bias.

    Input shape: `[B, C]`. Output shape: `[B, units]`.

    Args:
      units: length of the output.
      momentum: share of the range kept at each step of training.
      **kwargs: what Keras's `Dense` takes.
    """

    def __init__(self, units: int, momentum: float = 0.9, **kwargs: Any) -> None:
        """Validates and stores the momentum."""
        super().__init__(units, **kwargs)
        require_fraction_below_1("IntegerDense.momentum", momentum)
        self.momentum = momentum

    def build(self, input_shape: Any) -> None:
        """Adds the kernel, `[C, units]`, the bias and the range, a number."""
        _check_exact(self, input_shape[-1], LARGEST_ACTIVATION)
        super().build(input_shape)
        _set_weight_bits(self.kernel)
        self._add_maximum()

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the product, times a factor per output, plus the bias."""
        if training:
            self.update_range(inputs)
        integers, factors = self.coefficients()
        outputs = self.sums(self.quantize(inputs, self.steps()), integers) * factors
        if self.use_bias:
            outputs += self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def sums(self, inputs: tf.Tensor, integers: tf.Tensor) -> tf.Tensor:
        """The product, in integers."""
        return tf.matmul(inputs, integers)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {**super().get_config(), "momentum": self.momentum}


def _without_bias(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a convolution that has no bias.

    Raises:
      InputError: they ask for one.
    """
    if options.get("use_bias"):
        raise InputError(
            "use_bias is True, and a convolution in integers has no bias: expected it "
            "left out, with a BatchNorm behind the layer."
        )
    return {**options, "use_bias": False}


# All of them, for `isinstance`.
INTEGER_LAYERS = (PictureConv2D, IntegerConv2D, IntegerDense)


def integer_layers(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    """The integer layers of a network, nested ones too."""
    return [layer for layer in model.submodules if isinstance(layer, INTEGER_LAYERS)]


def range_names(model: tf.keras.Model) -> set[str]:
    """The names, as `layer/maximum`, of its layers' ranges; of its own layers only."""
    ranged = (IntegerConv2D, IntegerDense)
    return {f"{x.name}/maximum" for x in model.layers if isinstance(x, ranged)}


def picture_layer(model: tf.keras.Model) -> PictureConv2D | None:
    """The layer of a network that takes pixels; None where it has none."""
    return next((x for x in model.submodules if isinstance(x, PictureConv2D)), None)
