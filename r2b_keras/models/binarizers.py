"""Binarizers that larq does not have."""

import math
from typing import Any

from r2b_keras.checks import require_choice, require_positive
from r2b_keras.environment import lq, tf
from r2b_keras.networks import WEIGHT_STANDARDIZATIONS, require_quantile

# Added to the variance of a filter, whose weights are of the order of 0.01 to 1.
EPSILON = 1e-10

_register = tf.keras.utils.register_keras_serializable(package="r2b_keras")


@_register
class ClippedApproxSign(lq.quantizers.Quantizer):
    """Bi-Real Net's sign of activations with a bound of one's own on its gradient.

    Forward: y = sign(x), sign(0) = +1. Backward: 2 - 2 |x| / b where |x| <= b, else 0.
    With b = 1 it is larq's ApproxSign (Bi-Real Net, Liu et al., ECCV 2018); b stretches
    it as PokeBNN (Zhang et al., CVPR 2022) does the straight-through estimator, whose
    gradient is 1 where |x| <= b.

    Input shape: any. Output shape: the same.

    Args:
      clip_value: b, positive.
      **kwargs: as for a Keras layer.

    Raises:
      InputError: a bound that is not positive.
    """

    precision = 1

    def __init__(self, clip_value: float, **kwargs: Any) -> None:
        """Validates and stores the bound."""
        super().__init__(**kwargs)
        require_positive("ClippedApproxSign.clip_value", clip_value)
        self.clip_value = clip_value

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the signs, same shape."""
        clip = self.clip_value

        @tf.custom_gradient
        def sign(x: tf.Tensor) -> Any:
            def gradient(upstream: tf.Tensor) -> tf.Tensor:
                size = tf.abs(x)
                slope = tf.where(size <= clip, 2 - 2 * size / clip, tf.zeros_like(x))
                return slope * upstream

            return lq.math.sign(x), gradient

        return sign(inputs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this quantizer again."""
        return {**super().get_config(), "clip_value": self.clip_value}


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


@_register
class StandardizedSign(lq.quantizers.SteSign):
    """Sign of weights that are re-centred, re-scaled or clamped before, by filter.

    Of a filter's N weights w, with their mean m and variance s^2:

        u = w                          standardization "none"
        u = w - m                      "center"
        u = (w - m) / sqrt(s^2 + eps)  "standardize"
        v = min(max(u, -Q), Q),  Q = -mean(|u|) ln(2 - 2 quantile)
        y = sign(v), sign(0) = +1

    Q is the quantile of a Laplace distribution with the filter's mean magnitude. This
    is ReCU (Xu et al., ICCV 2021); centring alone goes back to IR-Net (Qin et al., CVPR
    2020). Nothing of it is left when a network is deployed: what is stored is y.

    Backward, of the gradient g by y: the sign passes all of it on (no clipping), the
    clamp where |u| <= Q, Q itself counting as a constant. With h = g [|u| <= Q] the
    gradient by w is

        h                                             "none"
        h - mean(h)                                   "center"
        (h - mean(h) - u mean(h u)) / sqrt(s^2 + eps) "standardize"

    Deviation: ReCU always standardizes, multiplies u by 2 sqrt(2), which Adam does not
    see, takes one Q for all filters of a layer, and lets the quantile rise from 0.85 to
    0.99 in training. Here it is constant in a stage. With "none" the clamped weights of
    a filter get no gradient at all, until its mean magnitude has grown; with the others
    they still move by its mean and variance.

    Input shape: `[..., C_out]`, the filters last. Output shape: the same.

    Args:
      standardization: one of `WEIGHT_STANDARDIZATIONS`.
      quantile: above 0.5 and at most 1, which clamps nothing.
      **kwargs: as for larq's quantizers.

    Raises:
      InputError: another standardization, or a quantile out of its range.
    """

    def __init__(
        self, standardization: str = "none", quantile: float = 1.0, **kwargs: Any
    ) -> None:
        """Validates and stores the transform."""
        super().__init__(**{"clip_value": None, **kwargs})
        where = "StandardizedSign"
        require_choice(
            f"{where}.standardization", standardization, WEIGHT_STANDARDIZATIONS
        )
        require_quantile(f"{where}.quantile", quantile)
        self.standardization, self.quantile = standardization, quantile

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the signs of the transformed weights, same shape.

        In float32 under mixed precision, which hands over rounded weights: the signs
        of those close to the mean may be others in the float32 network that is made of
        it for a file.
        """
        outputs = super().call(self.transform(tf.cast(inputs, self.variable_dtype)))
        return tf.cast(outputs, inputs.dtype)

    def transform(self, weights: tf.Tensor) -> tf.Tensor:
        """Returns v of weights `[..., C_out]`."""
        axes = list(range(len(weights.shape) - 1))
        if self.standardization != "none":
            weights = weights - tf.reduce_mean(weights, axes)
        if self.standardization == "standardize":
            variance = tf.reduce_mean(tf.square(weights), axes)
            weights = weights * tf.math.rsqrt(variance + EPSILON)
        if self.quantile < 1:
            factor = -math.log(2 - 2 * self.quantile)
            limit = tf.stop_gradient(factor * tf.reduce_mean(tf.abs(weights), axes))
            weights = tf.clip_by_value(weights, -limit, limit)
        return weights

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this quantizer again."""
        return {
            **super().get_config(),
            "standardization": self.standardization,
            "quantile": self.quantile,
        }
