"""Networks of a few weights and random images for them."""

import functools

import numpy as np

from r2b_keras.environment import tf
from tests.networks import build_model

layers = tf.keras.layers

IMAGE_SHAPE = (5, 7, 2)
NUM_CLASSES = 3


def images(num, seed=0, shape=IMAGE_SHAPE):
    return np.random.default_rng(seed).normal(size=(num, *shape)).astype(np.float32)


def classes(num, seed=1):
    return np.random.default_rng(seed).integers(0, NUM_CLASSES, num)


def one_hot(numbers):
    return np.eye(NUM_CLASSES, dtype=np.float32)[numbers]


def plain(taps=("tap_1", "tap_2"), channels=4, name="student", **options):
    """Two convolutions and a dense layer; the same in training and inference mode."""
    inputs = layers.Input(IMAGE_SHAPE)
    x = layers.Conv2D(channels, 3, padding="same", name=taps[0], **options)(inputs)
    x = layers.PReLU(shared_axes=[1, 2], name=f"{taps[0]}_prelu")(x)
    x = layers.Conv2D(channels + 1, 3, strides=2, padding="same", name=taps[1])(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(NUM_CLASSES, name="dense")(x)
    return tf.keras.Model(inputs, x, name=name)


def real_to_binary(binarization="binary", name="real_to_binary18", **options):
    """One of ours: two blocks of width 4, the second one with a shortcut.

    Built once for all tests, which is most of their time: `randomize` it before use.
    """
    policy = tf.keras.mixed_precision.global_policy().name
    return _built(policy, binarization, name, **options)


@functools.cache
def _built(policy, binarization, name, **options):
    options = {"width": 4, "blocks": (1, 1), "stem": "cifar", **options}
    return build_model(name, binarization, IMAGE_SHAPE, NUM_CLASSES, **options)


def randomize(model, seed=0):
    """Gives every weight a random value of both signs, within a binarizer's reach."""
    generator = np.random.default_rng(seed)
    for weight in model.weights:
        values = generator.uniform(-0.9, 0.9, weight.shape)
        if "variance" in weight.name:
            values = np.abs(values) + 0.1
        weight.assign(values)
    return model


def values(variables):
    return [np.array(variable) for variable in variables]


def assert_all_equal(found, expected):
    """Equal to the bit."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
