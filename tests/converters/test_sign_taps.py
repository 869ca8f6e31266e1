"""What signs are taken of, in every engine, beside scores that stay to the bit."""

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras.board.card import ModelCard
from r2b_keras.converters import convert, engines, tflite_file
from r2b_keras.converters.card import attach
from r2b_keras.converters.sign_taps import Tapped
from r2b_keras.environment import tf

layers = tf.keras.layers
SHAPE = (7, 9, 3)


def network():
    """With real maps, pooled ones and one that is never real, and these maps."""
    image = tf.keras.Input(SHAPE)
    first = layers.Conv2D(33, 3)(image)
    x = nets.binary_convolution(40, padding="valid")(first)
    second = nets.batch_norm()(x)
    third = layers.Conv2D(8, 3)(nets.binary_convolution(16)(second))
    pooled = layers.MaxPool2D(2, 1, padding="same")(third)
    x = nets.binary_convolution(5)(pooled)
    fourth = layers.MaxPool2D((1, 2))(layers.MaxPool2D(2, 1, padding="same")(third))
    y = nets.binary_convolution(5)(fourth)
    flat = [layers.Flatten()(each) for each in (x, y)]
    scores = layers.Dense(4)(layers.Concatenate()(flat))
    model = nets.randomize(tf.keras.Model(image, scores))
    return model, tf.keras.Model(image, [first, second, pooled, fourth])


@pytest.fixture(scope="module")
def made():
    tf.keras.utils.set_random_seed(1)
    model, inner = network()
    return convert(model), inner


@pytest.mark.parametrize("engine", nets.binary_engines())
def test_maps_are_what_keras_takes_signs_of(made, engine):
    flatbuffer, inner = made
    counts = tflite_file.count_operators(flatbuffer)
    assert counts["LceBMaxPool2d"] >= 1 and counts["LceBconv2d"] == 4
    images = nets.random_images(SHAPE, 5)
    tapped = Tapped(flatbuffer)
    scores, taps, _ = tapped.run(tapped.load(engine), images)
    expected = engines.load(flatbuffer, engine).predict(images)
    np.testing.assert_array_equal(scores, expected)
    for number, values in enumerate(inner(images)):
        flat = values.numpy().reshape(5, -1, values.shape[-1])
        same = [tap for tap in taps if tap.values.shape == flat.shape]
        # The second one's signs are a convolution's own, by thresholds.
        assert [tap.real for tap in same if matches(tap, flat)] == [number != 1]


def test_files_for_batches(made):
    """As `Input(batch_size=3)` makes them: maps are those of each image."""
    tf.keras.utils.set_random_seed(1)
    model, _ = network()
    outer = tf.keras.Input(SHAPE, batch_size=3)
    images = nets.random_images(SHAPE, 6)
    found = []
    for flatbuffer in (made[0], convert(tf.keras.Model(outer, model(outer)))):
        tapped = Tapped(flatbuffer)
        scores, taps, _ = tapped.run(tapped.load("r2b_runtime"), images)
        found.append([scores, *(tap.values for tap in taps)])
    for alone, of_batch in zip(*found, strict=True):
        np.testing.assert_array_equal(alone, of_batch)


def test_a_file_with_a_card(made):
    """Taps are read without the card, whose checksum is that of the file alone."""
    described = ModelCard(tuple("abcd"), SHAPE, (0.0,) * 3, (1.0,) * 3)
    images = nets.random_images(SHAPE, 2)
    found = []
    for flatbuffer in (made[0], attach(made[0], described)):
        tapped = Tapped(flatbuffer)
        found.append(tapped.run(tapped.load("r2b_runtime"), images)[0])
    np.testing.assert_array_equal(*found)


def matches(tap, values):
    if tap.real:
        return np.allclose(tap.values, values, atol=1e-5)
    np.testing.assert_array_equal(np.abs(tap.values), 1)
    return np.array_equal(tap.values < 0, values < 0)


def test_a_network_without_signs():
    image = tf.keras.Input((4, 4, 1))
    model = tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))
    x = nets.random_images((4, 4, 1), 5)
    tapped = Tapped(convert(model))
    scores, taps, _ = tapped.run(tapped.load("litert"), x)
    np.testing.assert_allclose(scores, model(x), atol=1e-6)
    assert taps == []
