"""Binary convolutions of maps of every size from one pixel on, in every engine.

Sums of +1 and -1 are whole numbers, so nothing may differ, not in the last bit.
"""

import itertools

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras.converters import binary_flow, converted_checks, tflite_file
from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (6, 7, 34)


def square(kernel_size, size, strides=1, **options):
    return {"size": (size, size), "kernel_size": kernel_size, "strides": strides} | (
        options
    )


def cases():
    """Maps up to one pixel larger than the kernel, and what else a layer can be."""
    for kernel_size, strides in itertools.product((1, 2, 3, 4, 5), (1, 2)):
        # The sizes between are those of kernels nearby, and of the cases below.
        sizes = range(1, kernel_size + 2) if kernel_size % 2 else (kernel_size - 1,)
        for size in sizes:
            if (kernel_size, strides) not in ((1, 2), (4, 2)):
                yield square(kernel_size, size, strides)
    yield {"size": (1, 4), "kernel_size": 3}
    yield {"size": (5, 2), "kernel_size": 3}
    yield {"size": (2, 7), "kernel_size": (1, 3)}
    yield {"size": (2, 2), "kernel_size": (3, 1)}
    yield {"size": (3, 3), "kernel_size": (5, 2), "strides": (2, 2)}
    yield square(3, 2, pad_values=1.0)
    yield square(2, 2, padding="valid")
    for size in (1, 2, 3, 4, 5):
        yield square(3, size, dilation_rate=2)
    yield square(3, 2, use_bias=True, bias_initializer="normal")
    yield square(3, 2, activation="relu")
    yield square(3, 1, use_bias=True, bias_initializer="normal", activation="relu")
    # A whole number: the engine rounds a bias where it merges one, by parts of 10^7.
    yield square(3, 4, use_bias=True, bias_initializer="ones", activation="relu")
    yield square(3, 2, kernel_quantizer="approx_sign", input_quantizer="swish_sign")


CASES = list(cases())


def make(cases, channels=34, groups=1):
    """A network of one convolution for each case, of a corner of the same image."""
    image = tf.keras.Input((*SHAPE[:2], channels))
    sizes = {case["size"] for case in cases}
    corners = {(height, width): image[:, :height, :width] for height, width in sizes}
    outputs = []
    for case in cases:
        options = {name: value for name, value in case.items() if name != "size"}
        layer = nets.binary_convolution(3 * groups, groups=groups, **options)
        outputs.append(layer(corners[case["size"]]))
    return nets.one_output(image, outputs), outputs


def assert_equal(model, outputs, flatbuffer, names, cases):
    images = nets.random_signs(model.input_shape[1:])
    expected = nets.parts(model.predict_on_batch(images), outputs)
    assert all(np.abs(part).max() > 0 for part in expected)
    for name, batch_size in itertools.product(names, (1, 3)):
        found = nets.run(flatbuffer, images, name, batch_size)
        for case, got, wanted in zip(
            cases, nets.parts(found, outputs), expected, strict=True
        ):
            np.testing.assert_array_equal(got, wanted, f"{name}, {case}")


def test_small_maps_are_right_in_all_engines():
    model, outputs = make(CASES)
    flatbuffer = convert(model)
    counts = count_operators(flatbuffer)
    # Where no map is smaller than its kernel nothing changes.
    affected = [case for case in CASES if is_affected(**case)]
    assert 25 < len(affected) < len(CASES) - 10
    assert counts["LceBconv2d"] == len(CASES)
    assert counts["SUB"] == len(affected)
    assert_equal(model, outputs, flatbuffer, nets.lce_engines(), CASES)


def is_affected(
    size, kernel_size, dilation_rate=1, padding="same", pad_values=0.0, **_
):
    kernel = np.multiply(kernel_size, 1) + np.zeros(2, int)
    reach = (kernel - 1) * dilation_rate + 1
    return padding == "same" and pad_values == 0.0 and (np.array(size) < reach).any()


def test_groups():
    """Which the engine's default kernel does not have."""
    cases = [square(3, size) for size in (1, 2, 3)]
    model, outputs = make(cases, channels=64, groups=2)
    flatbuffer = convert(model)
    assert count_operators(flatbuffer)["SUB"] == 2
    assert_equal(model, outputs, flatbuffer, nets.lce_engines("lce"), cases)


# --- What follows --------------------------------------------------------------------


def chain(*between, size=2):
    """Convolution, BatchNorm, what is `between`, and a convolution."""
    image = tf.keras.Input((size, size, 32))
    x = nets.batch_norm()(nets.binary_convolution(16)(image))
    for layer in between:
        x = layer(x)
    return nets.one_output(image, [nets.binary_convolution(6)(x)])


def test_a_sign_after_a_small_map():
    """Each pixel has a threshold of its own, which a packed output does not have.

    Of a map that is added, the converter would merge the first pixel into the
    thresholds of all, see `test_a_map_that_is_added_spoils_packed_outputs`.
    """
    image = tf.keras.Input((2, 3, 32))
    model = nets.randomize(chain())
    pooled = nets.randomize(chain(layers.MaxPool2D(2)), seed=3)
    padded = tf.keras.Sequential([image, layers.Cropping2D(((0, 0), (0, 1)))])
    outputs = [model(padded(image)), pooled(padded(image))]
    direct = nets.binary_convolution(7)(nets.binary_convolution(9)(image))
    network = nets.one_output(image, [*outputs, direct])
    flatbuffer = convert(network)
    assert count_operators(flatbuffer)["SUB"] == 6
    images = nets.random_signs((2, 3, 32), num=8)
    expected = network.predict_on_batch(images)
    for name in nets.lce_engines():
        np.testing.assert_array_equal(nets.run(flatbuffer, images, name, 3), expected)


# --- Where the convolution is --------------------------------------------------------


def nested():
    image, (inner, _) = tf.keras.Input((*SHAPE[:2], 8)), make([square(3, 2)], 8)
    return tf.keras.Model(image, inner(layers.PReLU()(image)))


def after_a_layer_of_signs():
    image = tf.keras.Input((2, 2, 8))
    x = lq.quantizers.SteSign()(image)
    return nets.one_output(image, [nets.binary_convolution(3, input_quantizer=None)(x)])


def in_two_networks():
    other, _ = make([square(3, 2)], 8)
    image = tf.keras.Input((4, 4, 8))
    convolution = [x for x in other.layers if isinstance(x, lq.layers.QuantConv2D)][0]
    return nets.one_output(image, [convolution(layers.MaxPool2D(2)(image))])


class Code(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.convolution = nets.binary_convolution(3)

    def call(self, inputs):
        return tf.reshape(self.convolution(inputs), (-1, 12))


def code():
    model = Code()
    model.predict(np.zeros((1, 2, 2, 8), np.float32), verbose=0)
    return model


class Subclass(lq.layers.QuantConv2D):
    """Adds nothing to larq's."""


def subclass():
    image = tf.keras.Input((2, 2, 8))
    options = {**nets.BINARY, "padding": "same", "pad_values": 0.0}
    return nets.one_output(image, [Subclass(3, 3, **options)(image)])


def used_twice():
    """On a map that is smaller than the kernel, and on one that is not."""
    image = tf.keras.Input((4, 4, 8))
    convolution = nets.binary_convolution(3)
    outputs = [convolution(layers.MaxPool2D(2)(image)), convolution(image)]
    return nets.one_output(image, outputs)


def used_for_each_time():
    image = tf.keras.Input((2, 2, 8))
    x = layers.TimeDistributed(nets.binary_convolution(3))(image[:, None])
    return nets.one_output(image, [x])


@pytest.mark.parametrize(
    "make_model, num_convolutions",
    [
        (nested, 1),
        (after_a_layer_of_signs, 1),
        (in_two_networks, 1),
        (code, 1),
        (subclass, 1),
        (used_twice, 2),
        (used_for_each_time, 1),
    ],
)
def test_wherever_the_convolution_is(make_model, num_convolutions):
    model = make_model()
    flatbuffer = convert(model)
    counts = count_operators(flatbuffer)
    assert (counts["LceBconv2d"], counts["SUB"]) == (num_convolutions, 1)
    shape = tflite_file.shape(tflite_file.parse(flatbuffer).subgraphs[0].tensors[0])
    images = nets.random_signs(shape[1:])
    expected = model(images, training=False)
    for name in nets.binary_engines("lce_reference"):
        np.testing.assert_array_equal(nets.run(flatbuffer, images, name), expected)


def test_what_cannot_be_corrected_is_refused():
    """Rather than wrong: a layer that does more than larq's."""

    class More(lq.layers.QuantConv2D):
        def call(self, inputs):
            return super().call(inputs) + 1.0

    image = tf.keras.Input((2, 2, 8))
    layer = More(3, 3, **nets.BINARY, padding="same", pad_values=0.0, name="more")
    with pytest.raises(InputError, match=r"'more' convolves maps of \(2, 2\).*\(3, 3"):
        convert(nets.one_output(image, [layer(image)]))


# --- Why all this --------------------------------------------------------------------


def convert_uncorrected(model):
    """What Larq Compute Engine's converter makes of a network by itself."""
    return tflite_file.serialize(flatbuffers._convert_as_it_is(model, None))


def test_the_engine_still_gets_small_maps_wrong():
    """If this fails, the engine has been mended: that of `lce_forms` can go."""
    model, _ = make([square(3, 2)])
    flatbuffer = convert_uncorrected(model)
    images = nets.random_signs(SHAPE)
    expected = model.predict_on_batch(images)
    for name in nets.lce_engines("lce_reference"):
        found = nets.run(flatbuffer, images, name)
        assert np.abs(found - expected).max() >= 2, f"{name} is right now"
    np.testing.assert_array_equal(
        nets.run(flatbuffer, images, "lce_reference"), expected
    )
    tables = tflite_file.parse(flatbuffer)
    with pytest.raises(InputError, match="Larq Compute Engine gets wrong"):
        converted_checks.check(model, binary_flow.trace(model), tables)


class AddedMap(layers.Layer):
    """Adds a number to each pixel and channel."""

    def build(self, input_shape):
        self.map = self.add_weight(name="map", shape=input_shape[1:])

    def call(self, inputs):
        return inputs + self.map


def test_a_map_that_is_added_spoils_packed_outputs():
    """If this fails, `lce_forms` may add its map, for one pass less."""
    image = tf.keras.Input((4, 4, 32))
    added = AddedMap()
    x = added(nets.binary_convolution(32, pad_values=1.0)(image))
    x = nets.binary_convolution(9)(x)
    added.map.assign(np.random.default_rng(0).normal(0, 50, added.map.shape))
    model = nets.one_output(image, [x])
    flatbuffer = convert_uncorrected(model)
    assert count_operators(flatbuffer)["LceQuantize"] == 1
    images = nets.random_signs((4, 4, 32))
    found = nets.run(flatbuffer, images, "lce_reference")
    assert np.abs(found - model.predict_on_batch(images)).max() >= 2
