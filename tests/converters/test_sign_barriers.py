"""Numbers that differ from pixel to pixel between a binary convolution and a sign."""

import binary_networks as nets
import numpy as np
import pytest
import random_networks
from random_networks import where

from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.converters import lce_process, sign_barriers
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (6, 7, 32)
PADDINGS = {
    "none": {"padding": "valid"},
    "ones": {"pad_values": 1.0},
    "zeros": {"pad_values": 0.0},
}


def between(*parts, padding="none", last="ste_sign"):
    """What a convolution gives, through `parts`, to a second one."""

    def make(x):
        x = nets.binary_convolution(32, **PADDINGS[padding])(x)
        for part in parts:
            x = part(x)
        return nets.binary_convolution(5, input_quantizer=last)(x)

    return make


def offset(x):
    return random_networks.Offset()(x)


def factor(x):
    return random_networks.Factor()(x)


def norm(x):
    return nets.batch_norm()(x)


def pool(x):
    return layers.MaxPool2D(2)(x)


CASES = {
    "offset": between(offset),
    "offset, ones": between(offset, padding="ones"),
    "offset, zeros": between(offset, padding="zeros"),
    "factor": between(factor),
    "factor, ones": between(factor, padding="ones"),
    "factor, zeros": between(factor, padding="zeros"),
    "both and BatchNorm": between(factor, norm, offset),
    "pooled": between(offset, pool),
    "Lambda": between(factor, layers.Lambda(where), last=None),
    "layer of signs": between(offset, lq.quantizers.ApproxSign(), pool, last=None),
    "nothing": between(norm, padding="ones"),
}


@pytest.fixture(scope="module")
def network():
    tf.keras.utils.set_random_seed(7)
    image = tf.keras.Input(SHAPE)
    outputs = [make(image) for make in CASES.values()]
    return nets.randomize(nets.one_output(image, outputs)), outputs


def test_signs_are_right_behind_numbers_of_each_pixel(network):
    model, outputs = network
    flatbuffer = convert(model)
    counts = count_operators(flatbuffer)
    assert counts["LceBconv2d"] == 2 * len(CASES)
    assert counts["MAXIMUM"] == 0
    images = nets.random_images(SHAPE)
    expected = nets.parts(model.predict_on_batch(images), outputs)
    for name in random_networks.ENGINES:
        found = nets.parts(nets.run(flatbuffer, images, name, 3), outputs)
        for case, got, wanted in zip(CASES, found, expected, strict=True):
            # Sums of signs, exact where no sign is next to its threshold.
            np.testing.assert_array_equal(got, wanted, f"{name}, {case}")


@pytest.mark.parametrize("case", ["factor", "factor, ones"])
def test_the_converter_still_crashes(case):
    """If this fails, it has been mended: barriers are needed for offsets alone."""
    image = tf.keras.Input(SHAPE)
    model = nets.one_output(image, [CASES[case](image)])
    with pytest.raises(lce_process.ConverterDiedError, match="SIGSEGV"):
        flatbuffers._convert_as_it_is(model)


def test_signs_are_merged_where_that_is_right():
    """The convolution compares by itself, and no map of numbers is needed."""
    image = tf.keras.Input(SHAPE)
    x = between(norm, pool, padding="ones")(image)
    flatbuffer = convert(nets.randomize(nets.one_output(image, [x])))
    assert sign_barriers.has_merged_signs(flatbuffer)
    assert count_operators(flatbuffer)["LceQuantize"] == 1


def test_a_relu_between_a_pooling_and_a_sign_is_kept():
    """Which makes all signs positive; the converter alone forgets it."""
    image = tf.keras.Input(SHAPE)
    x = nets.binary_convolution(5)(layers.ReLU()(pool(image)))
    model = nets.one_output(image, [x])
    flatbuffer, images = convert(model), nets.random_images(SHAPE)
    assert count_operators(flatbuffer)["LceBconv2d"] == 1
    expected = model.predict_on_batch(images)
    for name in random_networks.ENGINES:
        np.testing.assert_array_equal(nets.run(flatbuffer, images, name), expected)


class Code(tf.keras.Model):
    """Takes signs of a binary convolution where no layer does."""

    def __init__(self):
        super().__init__()
        self.first = nets.binary_convolution(32, padding="valid")
        self.kernel = tf.Variable(nets.random_signs((3, 32, 5)))

    def call(self, inputs):
        x = lq.math.sign(self.first(inputs) + 0.5)
        return layers.Flatten()(tf.nn.conv2d(x, self.kernel, 1, "VALID"))


def test_signs_in_code_are_refused():
    """What comes before them could differ from pixel to pixel; nothing tells."""
    model = Code()
    model(tf.zeros((1, *SHAPE)))
    with pytest.raises(InputError, match="signs .* in code of its own.*ste_sign"):
        convert(model)


def test_a_crash_that_barriers_do_not_mend_is_a_sentence(network, monkeypatch):
    def crash(folder):
        raise lce_process.ConverterDiedError("SIGSEGV")

    monkeypatch.setattr(lce_process, "convert", crash)
    with pytest.raises(
        InputError, match=r"converter died \(SIGSEGV\); expected"
    ) as got:
        convert(network[0])
    assert "\n" not in str(got.value)
