"""Integer layers in files: equal to Keras's to the bit, in every engine."""

import dataclasses
import functools

import numpy as np
import pytest

from r2b_keras.board import pictures
from r2b_keras.converters import (
    convert,
    engines,
    integer_sites,
    real_weights,
    sign_taps,
    tflite_file,
    verify,
)
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import IntegerConv2D, IntegerDense, PictureConv2D
from r2b_keras.normalisation import Normalisation
from tests.converters.binary_networks import randomize
from tests.converters.small_flatbuffers import shrunk
from tests.networks import build_model

layers = tf.keras.layers
SHAPE = (9, 10, 3)
NORMALISATION = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
ENGINES = engines.FOR_REAL_NETWORKS


def random_pixels(number, shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (number, *shape), np.uint8)


@functools.cache
def picture_network(padding="same", strides=2, size=7, **options):
    """A stem alone, and its file."""
    tf.keras.utils.set_random_seed(1)
    image = tf.keras.Input(SHAPE)
    mean, std = NORMALISATION.mean, NORMALISATION.std
    options = {"strides": strides, "padding": padding, **options}
    x = PictureConv2D(8, size, mean, std, **options)(image)
    model = tf.keras.Model(image, layers.Flatten()(x))
    return model, convert(model)


@functools.cache
def activation_network():
    """A convolution and a dense layer, one after the other, and their file."""
    tf.keras.utils.set_random_seed(1)
    image = tf.keras.Input(SHAPE)
    x = IntegerConv2D(40, 1)(image)
    x = IntegerDense(6, bias_initializer="random_normal")(
        layers.Flatten()(x[:, 2:4, :2])
    )
    model = tf.keras.Model(image, x)
    for layer, largest in zip((1, -1), (2.1, 3.3), strict=True):
        model.layers[layer].maximum.assign(largest)
    return model, convert(model)


@functools.cache
def half_blocks(real_layers="integer"):
    """Our network; its ranges and BatchNorm's statistics are those of some images."""
    tf.keras.utils.set_random_seed(0)
    options = {"width": 16, "blocks": (1, 1), "stem": "imagenet"}
    model = build_model(
        *("real_to_binary18", "binary", (32, 32, 3), 5),
        normalisation=NORMALISATION,
        real_layers=real_layers,
        **options,
    )
    randomize(model, 0)
    model(pictures.normalize(random_pixels(8, (32, 32, 3), 9), NORMALISATION), True)
    return model


@functools.cache
def file_of(real_layers, normalisation=None):
    """The same, converted."""
    return convert(half_blocks(real_layers), normalisation=normalisation)


def test_a_last_layer_whose_factors_are_1():
    """The multiplication behind it folds away, and its output is the file's."""
    image = tf.keras.Input((2, 2, 3))
    last = IntegerDense(4, use_bias=False)
    model = tf.keras.Model(image, last(layers.Flatten()(image)))
    kernel = np.random.default_rng(4).integers(-63, 64, (12, 4)).astype("f4")
    kernel[0] = 63
    last.set_weights([kernel, np.float32(127)])
    images = np.random.default_rng(5).integers(-90, 90, (6, 2, 2, 3)).astype("f4")
    expected = model.predict_on_batch(images)
    content = convert(model)
    for engine in ("litert", "r2b_runtime"):
        np.testing.assert_array_equal(run(content, images, engine), expected)


def test_rounding_behind_a_real_layer_stays_apart():
    """Merged into that layer, it would round other numbers, and not be found."""
    tf.keras.utils.set_random_seed(2)
    image = tf.keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(16, 3)(image))
    x = IntegerConv2D(8, 1)(x)
    model = randomize(tf.keras.Model(image, IntegerDense(4)(layers.Flatten()(x))))
    images = np.random.default_rng(3).normal(size=(400, 8, 8, 3)).astype("f4")
    model(images, training=True)
    flatbuffer = convert(model)
    sites = integer_sites.sites(tflite_file.parse(flatbuffer))
    assert [site.steps is None for site in sites] == [False, False]
    found = verify(model, flatbuffer, images, "litert")
    assert found.accepted, found.to_text()


def rounded_up(tables):
    for _, operator in tflite_file.operators(tables, "FLOOR"):
        tables.operatorCodes[
            operator.opcodeIndex
        ].builtinCode = tflite_file.schema.BuiltinOperator.CEIL


def not_rounded(tables):
    for graph, operator in tflite_file.operators(tables, "FLOOR"):
        for each in graph.operators:
            each.inputs = np.where(
                each.inputs == operator.outputs[0], operator.inputs[0], each.inputs
            )


@pytest.mark.parametrize("change", [rounded_up, not_rounded])
def test_an_integer_layer_that_takes_what_is_not_rounded(change):
    tables = tflite_file.parse(activation_network()[1])
    integer_sites.sites(tables)
    change(tables)
    with pytest.raises(InputError, match="are rounded in another way than r2b_keras"):
        integer_sites.sites(tables)


def run(flatbuffer, images, engine):
    return engines.load(flatbuffer, engine).predict(images)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "options",
    [{}, {"padding": "valid", "strides": 1, "size": 3}, {"strides": 1, "size": 3}],
)
def test_a_picture_layer_to_the_bit(engine, options):
    model, flatbuffer = picture_network(**options)
    images = random_pixels(5)
    images[0], images[1] = 0, 255
    expected = model(pictures.normalize(images, NORMALISATION)).numpy()
    np.testing.assert_array_equal(run(flatbuffer, images, engine), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_activations_to_the_bit(engine):
    """Inputs beyond the range, and at thresholds of the rounding."""
    model, flatbuffer = activation_network()
    images = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype(np.float32)
    step = np.float32(2.1) / np.float32(127)
    images[0] = step * (np.arange(images[0].size).reshape(SHAPE) % 301 - 150.5)
    expected = model(images).numpy()
    np.testing.assert_array_equal(run(flatbuffer, images, engine), expected)
    sites = integer_sites.sites(tflite_file.parse(flatbuffer))
    assert [site.steps is None for site in sites] == [False, False]


def test_factors_behind_an_integer_layer_are_one():
    """No product with a constant is multiplied by another one."""
    content = tflite_file.parse(file_of("integer"))
    products = [
        operator
        for graph, operator in tflite_file.operators(content, "MUL")
        if any(
            tflite_file.constant(content, graph.tensors[index])
            for index in operator.inputs
        )
    ]
    given = {int(operator.outputs[0]) for operator in products}
    assert products and not any(int(each.inputs[0]) in given for each in products)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_what_is_in_the_file(kind):
    """Integers behind a DEQUANTIZE of scale 1, and no float constant of weights."""
    model = half_blocks()
    flatbuffer = shrunk(file_of("integer"), kind)
    content = tflite_file.parse(flatbuffer)
    graph = content.subgraphs[0]
    assert engines.load(flatbuffer).input_type == np.uint8
    whole = [
        graph.tensors[each.inputs[0]]
        for each in graph.operators
        if real_weights.is_whole(content, content.subgraphs[0], each)
    ]
    found = {
        tflite_file.shape(tensor): tflite_file.constant(content, tensor)
        for tensor in whole
    }
    names = ("stem_conv", "block_2a_shortcut_conv", "logits")
    for name, shape in zip(
        names, ((16, 7, 7, 3), (32, 1, 1, 16), (5, 32)), strict=True
    ):
        integers = model.get_layer(name).coefficients()[0].numpy()
        expected = np.moveaxis(integers, -1, 0).astype(np.int8)
        assert found.pop(shape) == expected.tobytes()
    assert not found
    sites = integer_sites.sites(content)
    assert [site.steps is None for site in sites] == [True, False, False]
    counts = tflite_file.count_operators(flatbuffer)
    assert (counts["CAST"], counts["SUB"], counts["FLOOR"]) == (1, 1, 2)
    assert real_weights.are_rounded(content) == (kind == "int8")


@pytest.mark.parametrize("engine", ["lce_indirect", "r2b_runtime"])
def test_a_whole_network(engine):
    images = pictures.normalize(random_pixels(60, (32, 32, 3)), NORMALISATION)
    found = verify(half_blocks(), file_of("integer"), images, engine)
    assert found.accepted, found.to_text()


@pytest.mark.parametrize("engine", ["lce_indirect", "r2b_runtime"])
def test_a_float_network_that_takes_pixels(engine):
    model = half_blocks("float")
    pixels = random_pixels(30, (32, 32, 3))
    images = pictures.normalize(pixels, NORMALISATION)
    flatbuffer = file_of("float", NORMALISATION)
    loaded = engines.load(flatbuffer, engine)
    assert loaded.takes_pixels
    found = verify(model, flatbuffer, images, engine, NORMALISATION)
    assert found.accepted, found.to_text()
    other = dataclasses.replace(NORMALISATION, std=(0.3, 0.3, 0.3))
    wrong = file_of("float", other)
    assert not verify(model, wrong, images, engine, NORMALISATION).accepted
    with pytest.raises(InputError, match="how the images were made of pixels is not"):
        verify(model, flatbuffer, images, engine)
    with pytest.raises(InputError, match="the images are not made of whole ones"):
        verify(model, flatbuffer, images + 0.001, engine, NORMALISATION)
    with pytest.raises(InputError, match="of float32, the network takes them pixels"):
        loaded.predict(images)
    with pytest.raises(InputError, match="are of uint8, the network takes them norm"):
        run(file_of("float"), pixels, engine)


def test_another_normalisation_is_refused():
    with pytest.raises(InputError, match=r"mean \(0.485, .* and .* came: give its own"):
        convert(half_blocks(), normalisation=Normalisation((0.5,) * 3, (0.5,) * 3))


def test_what_reads_the_input_beside_the_picture_layer_gets_it_normalised():
    image = tf.keras.Input(SHAPE)
    mean, std = NORMALISATION.mean, NORMALISATION.std
    x = PictureConv2D(3, 3, mean, std, padding="same")(image)
    model = tf.keras.Model(image, layers.Flatten()(layers.Add()([x, image])))
    images = random_pixels(3)
    expected = model(pictures.normalize(images, NORMALISATION)).numpy()
    content = convert(model)
    found = run(content, images, "litert")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # What a turned sign elsewhere in such a network is followed by.
    tapped = sign_taps.Tapped(content)
    scores, _, _ = tapped.run(tapped.load("litert"), images)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
