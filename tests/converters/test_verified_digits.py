"""A trained network and its file: they agree in every engine, and one bit is told."""

import numpy as np
import pytest
from small_flatbuffers import refusal

from r2b_keras.converters import convert, engines, sources, tflite_file, verification
from r2b_keras.environment import tf
from tests.converters import mutations
from tests.converters.small_flatbuffers import shrunk


@pytest.fixture(scope="module")
def digits(finished, converted):
    """A trained network, the flatbuffer that the command made, and all test images."""
    source = sources.from_workdir(finished[0])
    dataset = sources.data.load(sources.recipes.get("digits").data)
    (batch,) = dataset.test(359).as_numpy_iterator()
    return source.model, tflite_file.read_bytes(converted[0]), batch[0]


@pytest.mark.parametrize("engine", [None, *engines.NAMES[:4]])
def test_digits_agree_in_every_engine(digits, engine):
    """All 359 images; a few have an activation that is all but at its threshold."""
    model, flatbuffer, x = digits
    found = verification.verify(model, flatbuffer, x, engine)
    assert found.engine == (engine or "r2b_runtime") and found.num_images == 359
    assert found.accepted and found.agreement >= 0.999
    assert len(found.differences) < 10
    for difference in found.differences:
        assert difference.layer.endswith("_conv") or difference.num_decisions == 0
        assert difference.remaining < 1e-5 * found.largest_score
    same = np.delete(x, [d.image for d in found.differences], axis=0)
    found = verification.verify(model, flatbuffer, same, engine)
    assert found.differences == ()
    # Far within the tolerance: float32's roundings of some 60 operators.
    assert found.largest_difference < 1e-5 * found.largest_score


@pytest.mark.parametrize("number", range(4))
def test_one_wrong_bit_of_a_filter_is_rejected(digits, number):
    """One of thousands: most best classes stay, and a loose tolerance would pass it."""
    model, flatbuffer, x = digits
    mutated = mutations.with_filter_bit(flatbuffer, number, seed=number)
    found = verification.verify(model, mutated, x[:100])
    assert not found.accepted
    assert found.agreement > 0.6
    assert found.largest_difference < 0.5 * found.largest_score


def fewer(num_classes):
    """A file of a network for digits with fewer classes."""
    image = tf.keras.Input((8, 8, 1))
    x = tf.keras.layers.Dense(num_classes)(tf.keras.layers.Flatten()(image))
    return convert(tf.keras.Model(image, x))


def test_files_and_images_that_cannot_be_compared(digits):
    model, flatbuffer, x = digits
    message = refusal(verification.verify, model, flatbuffer, x[:0])
    assert "no images to verify with" in message
    message = refusal(verification.verify, model, flatbuffer, x[:, 1:])
    assert "have the shape (7, 8, 1), expected (8, 8, 1)" in message
    assert "no engine 'gpu'" in refusal(
        verification.verify, model, flatbuffer, x, engine="gpu"
    )
    for count in (1, 3):
        message = refusal(verification.verify, model, fewer(count), x)
        assert f"scores of the shape (359, {count}), the Keras network (359, 10)" in (
            message
        )
    message = refusal(verification.verify, model, shrunk(flatbuffer, "int8"), x)
    assert "has rounded real weights, expected float32" in message
