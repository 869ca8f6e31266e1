"""Layers around a binary convolution: gates, scales and more.

Each is a serialisable Keras layer. Larq supplies the quantized convolutions and the
sign functions; what follows is what it does not have.
"""

from typing import Any

from r2b_keras.checks import require_count
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError


def channel_means(inputs: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Means `[B, 1, 1, C]` of maps `[B, H, W, C]`, summed in `dtype`.

    Under mixed precision the sum of a large map overflows float16.
    """
    pooled = tf.reduce_mean(tf.cast(inputs, dtype), axis=[1, 2], keepdims=True)
    return tf.cast(pooled, inputs.dtype)


_register = tf.keras.utils.register_keras_serializable(package="r2b_keras")


@_register
class Tanh(lq.quantizers.Quantizer):
    """Squashes activations to (-1, 1) where the sign will later be (Sec. 4.2, step 1).

    Forward: tanh(x). Backward: 1 - tanh(x)^2. A quantizer, so that a network of real
    weights and one of binary activations have the same layers under the same names.
    """

    precision = 32

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns tanh(inputs), same shape."""
        return tf.math.tanh(inputs)


@_register
class SynchronizedBatchNorm(tf.keras.layers.BatchNormalization):
    """BatchNorm whose statistics in training are those of all replicas' images.

    Deviation: Keras's own takes E[x^2] - E[x]^2, which in float32 loses the variance of
    channels whose mean is much larger. Here each replica has its mean and variance, and
    the whole's are (Chan et al., 1979) mean = E[mean_i] and variance = E[variance_i +
    (mean_i - mean)^2], the expectations over replicas of equally many images. As in
    Keras's, the moving variance is of these, 1 - 1/N of what the layer that is not
    synchronized keeps of N values a channel.

    Input shape: `[B, H, W, C]`. Output shape: the same.

    Args:
      **kwargs: as for Keras's BatchNormalization.
    """

    def __init__(self, **kwargs: Any) -> None:
        """Makes Keras's layer ask for common statistics."""
        super().__init__(**kwargs, synchronized=True)

    def _sync_calculate_mean_and_var(
        self, x: tf.Tensor, reduction_axes: Any, keep_dims: bool, mask: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        own_mean, own_variance = self._no_sync_calculate_mean_and_var(
            x, reduction_axes, keep_dims, mask=mask
        )
        replica = tf.distribute.get_replica_context()
        if not replica or replica.num_replicas_in_sync == 1:
            return own_mean, own_variance
        average = tf.distribute.ReduceOp.MEAN
        mean = replica.all_reduce(average, own_mean)
        spread = own_variance + tf.square(own_mean - mean)
        return mean, replica.all_reduce(average, spread)


@_register
class ChannelScale(tf.keras.layers.Layer):
    """Multiplies each channel by a learned factor: alpha of Eq. 3.

    Also the per-channel Gamma of XNOR-Net++ (Bulat & Tzimiropoulos, 2019). Starts at 1.

    Input shape: `[B, H, W, C]`. Output shape: the same.
    """

    def build(self, input_shape: Any) -> None:
        """Adds the factors, shape `[C]`.

        `handover.absorb_magnitude` finds them by their name, and multiplies them by the
        size of weights that become binary.
        """
        self.factor_per_channel = self.add_weight(
            name="scale", shape=(input_shape[-1],), initializer="ones"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs * scale`."""
        return inputs * self.factor_per_channel


@_register
class OuterProductScale(tf.keras.layers.Layer):
    """Multiplies by the outer product of a height, a width and a channel vector.

    The full learned Gamma of XNOR-Net++ (Bulat & Tzimiropoulos, 2019, case 4). All
    three start at 1. It fixes the size of the feature map.

    Input shape: `[B, H, W, C]`, H and W known. Output shape: the same.
    """

    def build(self, input_shape: Any) -> None:
        """Adds the vectors, shapes `[H, 1, 1]`, `[1, W, 1]` and `[C]`."""
        _, height, width, channels = input_shape
        if height is None or width is None:
            raise InputError(
                f"{self.name} got feature maps of shape {tuple(input_shape)}, expected "
                "a known height and width: give the network a full input_shape, or use "
                "the rescaling 'channel_scale'."
            )
        self.height_scale = self.add_weight(
            name="height_scale", shape=(height, 1, 1), initializer="ones"
        )
        self.width_scale = self.add_weight(
            name="width_scale", shape=(1, width, 1), initializer="ones"
        )
        self.factor_per_channel = self.add_weight(
            name="channel_scale", shape=(channels,), initializer="ones"
        )
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `inputs` times the outer product of the three vectors."""
        map_scale = self.height_scale * self.width_scale
        return inputs * (map_scale * self.factor_per_channel)


@_register
class ActivationScale(tf.keras.layers.Layer):
    """Computes K of XNOR-Net (Eq. 1): the local mean of |A| under each filter window.

    A has its channels averaged, then a box filter of the convolution's size, stride and
    zero padding runs over it. The factor alpha of Eq. 1, the mean of |W| per filter,
    comes with the weights: `MagnitudeAwareSign`.

    Input shape: `[B, H, W, C]`. Output shape: `[B, ceil(H/s), ceil(W/s), 1]`.

    Args:
      kernel_size: height and width of the convolution's window, in pixels.
      strides: the convolution's stride, in pixels.
    """

    def __init__(self, kernel_size: int, strides: int, **kwargs: Any) -> None:
        """Validates and stores the geometry of the convolution."""
        super().__init__(**kwargs)
        require_count("ActivationScale.kernel_size", kernel_size)
        require_count("ActivationScale.strides", strides)
        self.kernel_size = kernel_size
        self.strides = strides

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns K, one value for each position of the convolution's output."""
        magnitude = tf.reduce_mean(tf.abs(inputs), axis=-1, keepdims=True)
        shape = (self.kernel_size, self.kernel_size, 1, 1)
        share = tf.constant(1.0 / self.kernel_size**2, magnitude.dtype)
        box = tf.fill(shape, share)
        return tf.nn.conv2d(magnitude, box, self.strides, padding="SAME")

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
        }


@_register
class ChannelGating(tf.keras.layers.Dense):
    """The data-driven gate G(A; W_G) of Eq. 3 (Sec. 4.3, Fig. 1 right).

    Global average pool -> 1x1 convolution to `bottleneck` channels -> ReLU -> 1x1
    convolution to `units` channels -> sigmoid. The networks here have no biases (the
    authors' later code and larq-zoo have none). The pooled map stays `[B, 1, 1, C]`, so
    that the batch survives conversion. It is a `Dense` layer with a bottleneck, and
    derives from one so that `lq.models.summary` counts its multiply-accumulates.

    Input shape: `[B, H, W, C]`, the output of the half block's BatchNorm. Output shape:
    `[B, 1, 1, units]`, values in (0, 1).

    Args:
      units: channels of the convolution to be gated.
      bottleneck: hidden channels, C / r in the paper.
      use_bias: whether the hidden channels have a bias.
      **kwargs: `name`, `trainable` and `dtype`; of `Dense`'s others it has none.

    Raises:
      InputError: sizes that are none, or another argument.
    """

    def __init__(
        self, units: int, bottleneck: int, use_bias: bool = False, **kwargs: Any
    ) -> None:
        """Validates and stores the sizes."""
        unknown = sorted(kwargs.keys() - {"name", "trainable", "dtype"})
        if unknown:
            raise InputError(
                f"ChannelGating got {', '.join(unknown)}, expected units, bottleneck, "
                "use_bias, name, trainable and dtype only."
            )
        super().__init__(units, use_bias=use_bias, **kwargs)
        require_count("ChannelGating.bottleneck", bottleneck)
        self.bottleneck = bottleneck
        self.input_spec = tf.keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Any) -> None:
        """Adds both kernels, `[1, 1, C, bottleneck]` and `[1, 1, bottleneck, units]`.

        He's initialisation follows larq-zoo; the paper prints none.
        """
        self.reduce_kernel = self.add_weight(
            name="reduce_kernel",
            shape=(1, 1, input_shape[-1], self.bottleneck),
            initializer="he_normal",
        )
        self.expand_kernel = self.add_weight(
            name="expand_kernel",
            shape=(1, 1, self.bottleneck, self.units),
            initializer="he_normal",
        )
        if self.use_bias:
            self.reduce_bias = self.add_weight(
                name="reduce_bias", shape=(self.bottleneck,), initializer="zeros"
            )
        # Not Dense's own, which would add a kernel.
        tf.keras.layers.Layer.build(self, input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the gate's values.

        Training multiplies matrices, a third faster than 1x1 convolutions of one pixel
        and the same but for rounding.
        """
        pooled = channel_means(inputs, self.variable_dtype)
        if training is True:
            return self._multiply(pooled)
        hidden = tf.nn.conv2d(pooled, self.reduce_kernel, 1, "VALID")
        if self.use_bias:
            hidden += self.reduce_bias
        hidden = tf.nn.relu(hidden)
        return tf.sigmoid(tf.nn.conv2d(hidden, self.expand_kernel, 1, "VALID"))

    def _multiply(self, pooled: tf.Tensor) -> tf.Tensor:
        hidden = tf.squeeze(pooled, [1, 2]) @ tf.squeeze(self.reduce_kernel, [0, 1])
        if self.use_bias:
            hidden += self.reduce_bias
        values = tf.nn.relu(hidden) @ tf.squeeze(self.expand_kernel, [0, 1])
        return tf.sigmoid(values)[:, None, None, :]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Returns `[B, 1, 1, units]`."""
        return tf.TensorShape([input_shape[0], 1, 1, self.units])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this layer again."""
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": super().get_config()["dtype"],
            "units": self.units,
            "bottleneck": self.bottleneck,
            "use_bias": self.use_bias,
        }


@_register
class TwoClasses(tf.keras.layers.Layer):
    """Makes two scores of one.

    Input shape: `[B, 1]`. Output shape: `[B, 2]`.

    Args:
      from_logits: whether the score is a logit, or the probability of class 1.
    """

    def __init__(self, from_logits: bool, **kwargs: Any) -> None:
        """Stores what the score is."""
        super().__init__(**kwargs)
        self.from_logits = from_logits

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns `(-z / 2, z / 2)` of a logit, `(1 - p, p)` of a probability."""
        if self.from_logits:
            return inputs * tf.constant([-0.5, 0.5])
        return inputs * tf.constant([-1.0, 1.0]) + tf.constant([1.0, 0.0])

    def get_config(self) -> dict[str, Any]:
        """Configuration to make the layer again."""
        return {**super().get_config(), "from_logits": self.from_logits}
