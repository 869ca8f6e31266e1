"""Binarizers that larq does not have."""

from r2b_keras.environment import lq, tf

_register = tf.keras.utils.register_keras_serializable(package="r2b_keras")


@_register
class MagnitudeAwareSign(lq.quantizers.MagnitudeAwareSign):
    """Larq's: the signs of a filter's weights times their mean magnitude.

    XNOR-Net's (Eq. 1): y = alpha sign(w), alpha = mean(|w|), sign(0) = +1. Backward, of
    the gradient g by y: alpha g where |w| <= 1, else 0; alpha counts as a constant.

    Deviation: the mean is taken in float32 under mixed precision: in float16 the sum
    over a large filter lacks a tenth of it.

    Input shape: `[..., C_out]`, the filters last. Output shape: the same.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the scaled signs, same shape."""
        outputs = super().call(tf.cast(inputs, self.variable_dtype))
        return tf.cast(outputs, inputs.dtype)
