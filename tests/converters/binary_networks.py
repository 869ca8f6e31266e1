"""Pieces of binary networks for the tests of the converter."""

import numpy as np

from r2b_keras.converters import engines
from r2b_keras.environment import lq, tf

layers = tf.keras.layers

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "kernel_initializer": "glorot_normal",
}


def binary_convolution(filters, kernel_size=3, padding="same", **options):
    """A layer of larq with binary inputs and weights, without a bias."""
    options = {**BINARY, "use_bias": False, "pad_values": 0.0, **options}
    return lq.layers.QuantConv2D(filters, kernel_size, padding=padding, **options)


def batch_norm(**options):
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, **options)


def one_output(image, tensors):
    """A network whose scores `[B, K]` are all of `tensors`, one after the other."""
    # One layer for all, and fewer to be traced.
    flatten = layers.Flatten()
    flat = [flatten(tensor) for tensor in tensors]
    return tf.keras.Model(image, layers.Concatenate()(flat) if flat[1:] else flat[0])


def parts(scores, tensors):
    """What `one_output` put together, `[B, H, W, C]` each."""
    shapes = [tuple(tensor.shape[1:]) for tensor in tensors]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    flat = np.split(scores, ends[:-1], axis=1)
    assert ends[-1] == scores.shape[1]
    return [x.reshape(-1, *shape) for x, shape in zip(flat, shapes, strict=True)]


def randomize(model, seed=0):
    """Weights as training leaves them, and the rare ones that it may leave.

    Of the gammas of each BatchNorm, a quarter is negative, and from 8 channels on the
    first ones are 0 with both signs of beta, and next to 0.
    """
    rng = np.random.default_rng(seed)
    for layer in model.submodules:
        if isinstance(layer, layers.BatchNormalization):
            _randomize_batch_norm(layer, rng)
        elif isinstance(layer, layers.PReLU):
            layer.alpha.assign(rng.uniform(0.1, 0.5, layer.alpha.shape))
        elif type(layer).__name__ in ("ChannelScale", "OuterProductScale"):
            layer.set_weights([rng.uniform(0.2, 1, w.shape) for w in layer.weights])
    return model


def _randomize_batch_norm(layer, rng):
    channels = layer.moving_mean.shape[0]
    gamma = rng.uniform(0.3, 1.5, channels) * rng.choice([1, 1, 1, -1], channels)
    beta = rng.normal(0, 0.4, channels)
    if channels >= 8:
        gamma[:4] = 0.0, 0.0, 1e-6, -1e-3
        beta[:2] = 0.5, -0.5
    layer.moving_mean.assign(rng.normal(0, 0.5, channels))
    layer.moving_variance.assign(rng.uniform(0.3, 2, channels))
    if layer.scale:
        layer.gamma.assign(gamma)
    if layer.center:
        layer.beta.assign(beta)


def random_images(shape, num=6, seed=1):
    return np.random.default_rng(seed).normal(size=(num, *shape)).astype(np.float32)


def random_signs(shape, num=3, seed=1):
    return np.random.default_rng(seed).choice(np.float32([-1, 1]), (num, *shape))


def run(flatbuffer, images, name, batch_size=1):
    return engines.load(flatbuffer, name, batch_size=batch_size).predict(images)


def binary_engines(*without):
    """The engines that run binary operators; none is missing where these tests run."""
    return [name for name in engines.NAMES if name not in ("litert", *without)]


def lce_engines(*without):
    """Those of Larq Compute Engine itself."""
    return [name for name in binary_engines(*without) if name.startswith("lce")]
