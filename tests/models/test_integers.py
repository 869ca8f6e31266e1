"""Layers of integers against NumPy: values, gradients, ranges, files, precision."""

import numpy as np
import numpy_reference
import pytest

from r2b_keras import models
from r2b_keras.board import pictures
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import IntegerConv2D, IntegerDense, PictureConv2D, integers
from r2b_keras.normalisation import Normalisation
from tests.networks import build_model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALISATION = Normalisation(MEAN, STD)
OPTIONS = {"width": 8, "blocks": (1, 1), "stem": "small", "real_layers": "integer"}


def build(name="real_to_binary18", binarization="binary", shape=(8, 8, 3), **options):
    options = {**OPTIONS, **options}
    return build_model(name, binarization, shape, 5, NORMALISATION, **options)


def random_pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def reference_weights(kernel):
    """Integers and scales, in float32 as the layer computes them."""
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(0)
    scales = largest * np.float32(1 / 63)
    scales[scales == 0] = 1
    return np.clip(np.floor(kernel / scales + np.float32(0.5)), -63, 63), scales


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (3, 2), (7, 2)])
def test_a_convolution_of_pixels(size, strides):
    """Every level of every channel; borders are padded with z exactly."""
    layer = PictureConv2D(6, size, MEAN, STD, strides=strides, padding="same")
    pixels = random_pixels(3, 11, 9, 3)
    pixels[0].flat[:256] = np.arange(256)
    found = layer(pictures.normalize(pixels, NORMALISATION)).numpy()
    kernel = layer.kernel.numpy() * (1 / np.array(STD)).astype("f4")[:, None]
    whole, scales = reference_weights(kernel)
    assert np.abs(whole).max() == 63
    z = np.array([124, 116, 104])
    np.testing.assert_array_equal(layer.offsets, z)
    sums = numpy_reference.convolve(pixels.astype(int) - z, whole, strides)
    expected = sums.astype(np.float32) * (scales * np.float32(1 / 255))
    np.testing.assert_array_equal(found, expected)
    # What it stands for: a real convolution of the normalised picture.
    real = tf.nn.conv2d(
        pictures.normalize(pixels, NORMALISATION), layer.kernel, strides, "SAME"
    )
    inside = (slice(None), slice(3, -3), slice(3, -3)) if strides == 1 else ...
    assert np.abs(found - real)[inside].mean() < 0.02 * np.abs(real).mean()


def test_a_network_that_pads_with_mean_pixels_sees_no_border():
    layer = PictureConv2D(4, 3, MEAN, STD, padding="same")
    mean = np.broadcast_to(np.array([124, 116, 104], np.uint8), (1, 5, 5, 3))
    found = layer(pictures.normalize(mean, NORMALISATION))
    np.testing.assert_array_equal(found, np.zeros((1, 5, 5, 4)))


def test_augmented_pictures_are_rounded_to_pixels():
    layer = PictureConv2D(4, 1, (0.5,), (0.25,))
    levels = np.array([-3.0, -0.4, 0.4, 0.6, 100.45, 254.6, 300.0], np.float32)
    x = ((levels / 255 - 0.5) / 0.25).reshape(1, 1, -1, 1).astype(np.float32)
    expected = [0, 0, 0, 1, 100, 255, 255]
    np.testing.assert_array_equal(layer.pixels(x).numpy().ravel(), expected)


@pytest.mark.parametrize("training", [False, True])
def test_a_convolution_of_activations(training):
    layer = IntegerConv2D(5, 1, momentum=0.75)
    x = np.random.default_rng(1).normal(size=(4, 3, 3, 7)).astype(np.float32)
    layer.build(x.shape)
    layer.maximum.assign(2.0)
    found = layer(x, training=training).numpy()
    largest = np.float32(2)
    if training:
        largest = largest + np.float32(0.25) * (np.abs(x).max() - largest)
        assert layer.maximum.numpy() == largest
    assert np.abs(x).max() > 2.2
    inverse = np.float32(127) / largest
    q = np.clip(np.floor(x * inverse + np.float32(0.5)), -127, 127)
    assert {q.min(), q.max()} <= {-127, 127} or training
    whole, scales = reference_weights(layer.kernel.numpy())
    sums = numpy_reference.convolve(q, whole, 1).astype(np.float32)
    np.testing.assert_array_equal(
        found, sums * (scales * (largest * np.float32(1 / 127)))
    )


def test_a_dense_layer():
    layer = IntegerDense(4, bias_initializer="random_normal")
    x = np.random.default_rng(2).normal(size=(6, 9)).astype(np.float32)
    layer.build(x.shape)
    layer.maximum.assign(1.5)
    q = np.clip(np.floor(x * (np.float32(127) / np.float32(1.5)) + 0.5), -127, 127)
    whole, scales = reference_weights(layer.kernel.numpy())
    sums = (q.astype(int) @ whole.astype(int)).astype(np.float32)
    factor = scales * (np.float32(1.5) * np.float32(1 / 127))
    np.testing.assert_array_equal(layer(x), sums * factor + layer.bias.numpy())


def test_the_first_batch_sets_the_range():
    layer = IntegerDense(3, momentum=0.9)
    x = np.array([[0.5, -4.0], [1.0, 2.0]], np.float32)
    layer(x)
    assert layer.maximum.numpy() == 0
    layer(x, training=True)
    assert layer.maximum.numpy() == 4
    layer(2 * x, training=True)
    np.testing.assert_allclose(layer.maximum.numpy(), 4.4, rtol=1e-6)
    layer.trainable = False
    layer(4 * x, training=True)
    np.testing.assert_allclose(layer.maximum.numpy(), 4.4, rtol=1e-6)
    frozen = IntegerDense(3, trainable=False)
    frozen(x, training=True)
    assert frozen.maximum.numpy() == 4
    layer(np.zeros_like(x))
    assert np.isfinite(layer(np.zeros_like(x), training=True)).all()


def test_quantized_weights_with_zeros_and_ties():
    kernel = np.array(
        [[63, 0, -31.5], [0.5, 0, 0.25], [-0.5, 0, -0.25], [-62.5, 0, 31.25]]
    )
    whole, scales = integers.quantize_weights(tf.constant(kernel, tf.float32))
    np.testing.assert_array_equal(scales, [1, 1, 0.5])
    expected = [[63, 0, -63], [1, 0, 1], [0, 0, 0], [-62, 0, 63]]
    np.testing.assert_array_equal(whole, expected)


def test_gradients_go_through_both_roundings():
    """As if weights and inputs were not rounded, but for inputs beyond the range."""
    layer = IntegerDense(3)
    x = np.array([[0.0, 0.3, -0.6, 1.99], [2.5, -2.5, 2.0, -2.0]], np.float32)
    layer.build(x.shape)
    layer.maximum.assign(2.0)
    upstream = np.random.default_rng(3).normal(size=(2, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        loss = tf.reduce_sum(layer(inputs) * upstream)
    of_x, of_kernel, of_bias = tape.gradient(loss, [inputs, layer.kernel, layer.bias])
    whole, scales = reference_weights(layer.kernel.numpy())
    inside = np.array([[1, 1, 1, 1], [0, 0, 1, 1]])
    np.testing.assert_allclose(of_x, (upstream @ (whole * scales).T) * inside, 1e-5)
    q = np.clip(np.floor(x * np.float32(63.5) + 0.5), -127, 127) / 63.5
    np.testing.assert_allclose(of_kernel, q.T @ upstream, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_bias, upstream.sum(0), rtol=1e-6)


def test_the_gradient_of_a_picture_layer():
    """1 / std is in the kernel, z in the picture; both by hand."""
    layer = PictureConv2D(2, 1, MEAN, STD)
    pixels = random_pixels(2, 3, 3, 3)
    x = pictures.normalize(pixels, NORMALISATION)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(x)[..., 1])
    gradient = tape.gradient(loss, layer.kernel)
    sums = (pixels.astype(float) - layer.offsets).sum((0, 1, 2))
    expected = np.stack([np.zeros(3), sums / 255 / np.array(STD)], axis=-1)
    np.testing.assert_allclose(gradient[0, 0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "binarization", "num_layers"),
    [
        ("resnet18", "real", 3),
        # They differ from the last one in no integer layer.
        pytest.param("real_to_binary18", "soft", 3, marks=pytest.mark.slow),
        pytest.param(
            *("real_to_binary18", "binary_activations", 3), marks=pytest.mark.slow
        ),
        ("strong_baseline18", "binary", 3),
    ],
)
def test_networks_of_every_binarization(name, binarization, num_layers, tmp_path):
    model = build(name, binarization)
    x = pictures.normalize(random_pixels(4, 8, 8, 3), NORMALISATION)
    model(x, training=True)
    found = integers.integer_layers(model)
    assert len(found) == num_layers
    assert [layer.name for layer in model.layers if layer in found] == [
        "stem_conv",
        "block_2_shortcut_conv" if name == "resnet18" else "block_2a_shortcut_conv",
        "logits",
    ]
    assert all(x.maximum.numpy() > 0 for x in found if x.name != "stem_conv")
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = models.load(path)
    np.testing.assert_array_equal(loaded(x), model(x))
    assert integers.picture_layer(loaded).normalisation == NORMALISATION


def test_a_float_network_is_as_before():
    options = {**OPTIONS, "real_layers": "float"}
    tf.keras.utils.set_random_seed(3)
    plain = build_model("real_to_binary18", "binary", (8, 8, 3), 5, **options)
    assert not integers.integer_layers(plain)
    tf.keras.utils.set_random_seed(3)
    whole = build()
    names = [weight.name for weight in plain.weights]
    others = [w.name for w in whole.weights if not w.name.endswith("maximum:0")]
    assert others == names
    for mine, theirs in zip(
        plain.weights,
        [w for w in whole.weights if not w.name.endswith("maximum:0")],
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_integers_stay_exact_under_mixed_precision(policy):
    pixels = random_pixels(2, 9, 9, 3)
    x = pictures.normalize(pixels, NORMALISATION)
    plain = build()
    tf.keras.mixed_precision.set_global_policy(policy)
    mixed = build()
    mixed.set_weights(plain.get_weights())
    stems = [
        tf.keras.Model(model.input, model.get_layer("stem_conv").output)
        for model in (plain, mixed)
    ]
    np.testing.assert_array_equal(stems[0](x[:, :8, :8]), stems[1](x[:, :8, :8]))
    assert mixed(x[:, :8, :8], training=True).dtype == tf.float32
    for name in ("block_2a_shortcut_conv", "logits"):
        assert mixed.get_layer(name).compute_dtype == "float32"
    with pytest.raises(InputError, match="computes in .*float16, expected float32"):
        IntegerDense(2)(np.zeros((1, 4)))


@pytest.mark.parametrize(
    "make",
    [
        lambda **options: PictureConv2D(5, 3, (0.5,), (0.25,), **options),
        lambda **options: IntegerConv2D(5, 3, **options),
    ],
)
def test_convolutions_have_an_activation_and_no_bias(make):
    x = np.random.default_rng(4).normal(size=(2, 6, 6, 1)).astype(np.float32)
    plain, activated = make(), make(activation="relu")
    expected = plain(x).numpy()
    activated(x)
    activated.set_weights(plain.get_weights())
    assert expected.min() < 0
    np.testing.assert_array_equal(activated(x), np.maximum(expected, 0))
    with pytest.raises(InputError, match="a convolution in integers has no bias"):
        make(use_bias=True)
    again = type(activated).from_config(activated.get_config())
    assert again.get_config() == activated.get_config()


def test_what_is_refused():
    with pytest.raises(InputError, match="'integer', and such a network needs to kn"):
        build_model("resnet18", "real", (8, 8, 3), 5, **OPTIONS)
    with pytest.raises(InputError, match="of 3 channels, expected 1, as its mean"):
        build_model(
            "resnet18", "real", (8, 8, 3), 5, Normalisation((0,), (1,)), **OPTIONS
        )
    with pytest.raises(
        InputError, match="adds up 2112 products of integers, expected at most 2096"
    ):
        IntegerDense(2).build((None, 2112))
    IntegerDense(2).build((None, 2096))
    with pytest.raises(
        InputError, match="adds up 1089 products .* at most 1044, whose"
    ):
        PictureConv2D(2, 33, (0.5,), (1.0,)).build((None, 40, 40, 1))
    with pytest.raises(InputError, match="numbers from 0 to 1, a pixel's value / 255"):
        PictureConv2D(2, 3, (120.0,), (60.0,))
    with pytest.raises(InputError, match="momentum is 1, expected"):
        IntegerConv2D(2, 1, momentum=1)
    assert 2096 * 127 * 63 < 2**24 <= 2097 * 127 * 63
    assert 1044 * 255 * 63 < 2**24 <= 1045 * 255 * 63


def test_sizes_and_multiplications():
    """Kernels of 8 bits; the range of inputs multiplies nothing."""
    plain, whole = (
        models.model_size(build(real_layers=kind)) for kind in ("float", "integer")
    )
    assert whole.macs == plain.macs and whole.binary_macs == plain.binary_macs
    assert whole.parameters == plain.parameters + 2
    kernels = 27 * 8 + 8 * 16 + 16 * 5
    assert plain.bytes - whole.bytes == 3 * kernels - 2 * 4
