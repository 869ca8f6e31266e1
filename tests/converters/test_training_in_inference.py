"""Networks that train while they infer, which no flatbuffer does."""

import functools

import binary_networks as nets
import pytest

from r2b_keras.converters.flatbuffer import convert
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (6, 7, 32)


def training(layer):
    return lambda x: layer(x, training=True)


def inner_in_training(x):
    image = tf.keras.Input(SHAPE)
    inner = tf.keras.Model(image, nets.batch_norm()(image), name="wrong")
    return inner(x, training=True)


def nested_in_training(x):
    image = tf.keras.Input(SHAPE)
    inner = training(nets.batch_norm(name="wrong"))(image)
    return tf.keras.Model(image, inner)(x)


class TrainingCode(tf.keras.Model):
    def __init__(self, layer, run):
        super().__init__()
        self.layer, self.run = layer, run

    def call(self, inputs):
        return self.run(self.layer, layers.Flatten()(inputs))


@pytest.mark.parametrize(
    "run", [lambda layer, x: layer(x, training=True), lambda layer, x: layer(x, True)]
)
@pytest.mark.parametrize(
    "kind", [nets.batch_norm, functools.partial(layers.Dropout, 0.5)]
)
def test_code_that_trains_in_inference_is_refused(kind, run):
    model = TrainingCode(kind(name="wrong"), run)
    model(tf.zeros((1, *SHAPE)))
    with pytest.raises(InputError, match="'wrong' .* is called with training=True"):
        convert(model)


@pytest.mark.parametrize(
    "make",
    [
        training(nets.batch_norm(name="wrong")),
        lambda x: nets.batch_norm(name="wrong")(x, True),
        training(layers.Dropout(0.5, name="wrong")),
        inner_in_training,
        nested_in_training,
    ],
)
def test_a_network_that_trains_in_inference_is_refused(make):
    """Its BatchNorm uses the batch's statistics, which no flatbuffer has."""
    image = tf.keras.Input(SHAPE)
    model = tf.keras.Model(image, nets.binary_convolution(3)(make(image)))
    with pytest.raises(InputError, match="'wrong' .* is called with training=True"):
        convert(model)
