"""No changed file is accepted where its scores move, and no intact one is refused."""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters import convert, engines, verification
from r2b_keras.environment import tf
from tests.converters import mutations
from tests.converters.binary_networks import (
    batch_norm,
    binary_convolution,
    random_images,
    randomize,
)

layers = tf.keras.layers
SHAPE = (8, 8, 3)


def relu_before_sign():
    """Signs of a ReLU are all +1, and every other value is exactly 0."""
    image = tf.keras.Input(SHAPE)
    x = layers.ReLU()(layers.Conv2D(16, 3, padding="same")(image))
    x = layers.Flatten()(binary_convolution(16)(x))
    return tf.keras.Model(image, layers.Dense(5)(x))


def relu_and_normalization():
    """Zeros of a ReLU, moved from the threshold."""
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.ReLU()(layers.Conv2D(16, 3, padding="same")(image)))
    x = batch_norm()(layers.ReLU()(binary_convolution(16)(x)))
    x = batch_norm()(binary_convolution(16)(layers.MaxPool2D(2)(x)))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, layers.Dense(5, activation="softmax")(x))


def packed_between():
    """Without zero padding, one binary convolution gives the next one its bits."""
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.Conv2D(16, 3, padding="same")(image))
    x = batch_norm()(binary_convolution(40, padding="valid")(x))
    x = batch_norm()(binary_convolution(16, padding="valid")(x))
    x = layers.Concatenate()([x, x]) 
    return tf.keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))


def half_blocks():
    """Gates, PReLU, learned factors and skips: ours."""
    options = {"width": 16, "blocks": (1,), "stem": "cifar"}
    return models.build("real_to_binary18", "binary", SHAPE, 5, **options)


NETWORKS = (relu_before_sign, relu_and_normalization, packed_between, half_blocks)


def converted(make, seed):
    tf.keras.utils.set_random_seed(seed)
    model = randomize(make(), seed)
    for layer in model.layers:
        bias = getattr(layer, "bias", None)
        if bias is not None:
            bias.assign(np.random.default_rng(seed).normal(0, 0.2, bias.shape))
    return model, convert(model)


@pytest.mark.parametrize("make", NETWORKS)
def test_no_mutation_is_accepted(make):
    model, flatbuffer = converted(make, 3)
    images = random_images(SHAPE, 24)
    engine = "lce_indirect"
    expected = verification.keras_scores(model, images)
    intact = engines.load(flatbuffer, engine).predict(images)
    num_moved = 0; tot=0
    for name, mutated in mutations.all_of(flatbuffer):
        scores = engines.load(mutated, engine).predict(images)
        found = verification.compare(
            model, mutated, images, expected, scores, engine
        )
        moves = verification.differs(intact, scores).any()
        assert found.accepted == (not moves), (name, found.to_text())
        num_moved += moves; tot+=1
        if not moves: print(name)
    print(make.__name__, num_moved, tot)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_intact_files_are_accepted(seed):
    model, flatbuffer = converted(NETWORKS[seed % len(NETWORKS)], seed)
    images = random_images(SHAPE, 200, seed)
    for engine in engines.names_for(flatbuffer):
        found = verification.verify(model, flatbuffer, images, engine)
        assert found.accepted, found.to_text()
