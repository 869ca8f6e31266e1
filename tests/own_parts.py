"""A part of each kind, as somebody would write it outside the package."""

import numpy as np

from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.sources import Source
from r2b_keras.environment import lq, tf

register = tf.keras.utils.register_keras_serializable(package="own_parts")


@register
class Factor(tf.keras.layers.Layer):
    """A learned factor per channel."""

    def build(self, input_shape):
        self.factor_per_channel = self.add_weight("factor", input_shape[-1:])

    def call(self, inputs):
        return inputs * self.factor_per_channel


def rescale(of):
    return Factor(name=f"{of.name}_factor")(of.output)


@register
class NarrowSign(lq.quantizers.Quantizer):
    """The sign, with a gradient of 1 where |x| < 0.5."""

    precision = 1

    def call(self, inputs):
        @tf.custom_gradient
        def sign(x):
            near = tf.cast(tf.abs(x) < 0.5, x.dtype)
            return tf.where(x >= 0, 1.0, -1.0), lambda upstream: upstream * near

        return sign(inputs)


@register
class SizedSign(NarrowSign):
    """The sign, times the mean size of the filter."""

    def call(self, inputs):
        size = tf.reduce_mean(tf.abs(inputs), axis=[0, 1, 2], keepdims=True)
        return super().call(inputs) * size


@register
class HalfSign(NarrowSign):
    """-1/2 and 1/2."""

    def call(self, inputs):
        return super().call(inputs) / 2


def open_stripes(config, data_dir):
    """Images of stripes, which lie or stand."""
    lying = np.zeros((8, 8, 1), np.uint8)
    lying[::2] = 255
    images = np.stack([lying, lying.swapaxes(0, 1)] * 80)
    labels = np.tile(np.arange(2), 80)
    examples = ArrayExamples(images, labels, config.image_shape, config.framing)
    train, test = examples.split(32)
    return Source(train, test, ("lying", "standing"))


def brighten(images, strength, seed):
    shares = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed)
    return images * (1 + strength * shares)
