"""Signs of re-centred, re-scaled and clamped weights, against NumPy."""

import itertools

import numpy as np
import numpy_reference as reference
import pytest

from r2b_keras.environment import lq, tf
from r2b_keras.models import blocks
from r2b_keras.models.binarizers import EPSILON, StandardizedSign
from r2b_keras.networks import WEIGHT_STANDARDIZATIONS, Network
from tests.networks import build_model

CASES = list(itertools.product(WEIGHT_STANDARDIZATIONS, (1.0, 0.9, 0.6)))
SHAPE = (3, 3, 5, 4)


def random(shape=SHAPE, seed=0):
    """Filters off their middle, of sizes of their own."""
    values = np.random.default_rng(seed).normal(0.3, 1.0, shape)
    return values * np.array([0.03, 0.5, 1.0, 4.0])


def transformed(weights, standardization, quantile):
    """u and the limit Q of each filter, in the words of the docstring."""
    u = np.float64(weights)
    if standardization != "none":
        u = u - u.mean((0, 1, 2))
    if standardization == "standardize":
        u = u / np.sqrt((u**2).mean((0, 1, 2)) + EPSILON)
    if quantile == 1:
        return u, np.full(u.shape[-1], np.inf)
    return u, -np.abs(u).mean((0, 1, 2)) * np.log(2 - 2 * quantile)


@pytest.mark.parametrize(("standardization", "quantile"), CASES)
def test_signs_and_gradient(standardization, quantile):
    weights, upstream = random(), random(seed=1)
    quantizer = StandardizedSign(standardization, quantile, dtype="float64")
    latent = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(latent)
        signs = quantizer(latent)
    u, limit = transformed(weights, standardization, quantile)
    np.testing.assert_array_equal(signs, reference.sign(u))
    found = tape.gradient(signs, latent, tf.constant(upstream))

    h = upstream * (np.abs(u) <= limit)
    assert (h == 0).any() == (quantile < 1)
    if standardization == "center":
        h = h - h.mean((0, 1, 2))
    if standardization == "standardize":
        root = np.sqrt(np.float64(weights).var((0, 1, 2)) + EPSILON)
        h = (h - h.mean((0, 1, 2)) - u * (h * u).mean((0, 1, 2))) / root
    np.testing.assert_allclose(found, h, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("standardization", "quantile"), CASES)
def test_gradient_is_that_of_what_the_sign_is_taken_of(standardization, quantile):
    """The rule written above against differences, the limits held where they are."""
    weights, upstream = random((2, 1, 3, 4)), random((2, 1, 3, 4), seed=1)
    quantizer = StandardizedSign(standardization, quantile, dtype="float64")
    latent = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(latent)
        signs = quantizer(latent)
    found = tape.gradient(signs, latent, tf.constant(upstream))
    _, limit = transformed(weights, standardization, quantile)

    def clamped(values):
        u, _ = transformed(values, standardization, quantile)
        return (upstream * np.clip(u, -limit, limit)).sum()

    expected = reference.numeric_gradient(clamped, weights.copy())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_clamp_is_at_the_quantile_of_a_laplace_distribution():
    """As many lie beyond it on each side as the quantile says."""
    weights = np.random.default_rng(2).laplace(0, 0.3, (50, 50, 8, 4))
    quantizer = StandardizedSign("none", 0.9, dtype="float64")
    clamped = np.array(quantizer.transform(tf.constant(weights)))
    for side in (clamped.max((0, 1, 2)), clamped.min((0, 1, 2))):
        beyond = np.mean(np.abs(weights) * np.sign(weights * side) >= np.abs(side))
        # Of 80,000: a standard deviation of 0.1 %.
        assert abs(beyond - 0.1) < 0.005


def test_a_filter_without_spread():
    """Zeros are positive; of equal weights nothing is left, and nothing is infinite."""
    weights = np.zeros((3, 3, 5, 4), np.float32)
    weights[..., 1] = 0.5
    quantizer = StandardizedSign("standardize", 0.9)
    latent = tf.constant(weights)
    with tf.GradientTape() as tape:
        tape.watch(latent)
        signs = quantizer(latent)
    np.testing.assert_array_equal(signs, 1.0)
    assert np.isfinite(tape.gradient(signs, latent)).all()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_in_a_network(policy):
    """The convolution sees the signs; the mean is that of float32 in any case."""
    tf.keras.mixed_precision.set_global_policy(policy)
    options = {"weight_standardization": "center", "weight_quantile": 0.9}
    network = Network("real_to_binary18", "binary", **options)
    image = tf.keras.Input((6, 5, 64))
    model = tf.keras.Model(
        image, blocks.quantized_convolution(image, 8, 3, 1, network, "conv")
    )
    layer = model.get_layer("conv")
    weights = np.random.default_rng(0).normal(0.02, 0.05, (3, 3, 64, 8))
    layer.set_weights([weights])
    x = np.random.default_rng(1).normal(size=(2, 6, 5, 64)).astype(np.float32)
    with lq.context.quantized_scope(True):
        kernel = tf.convert_to_tensor(layer.kernel)
    assert kernel.dtype == layer.compute_dtype
    given = tf.cast(tf.constant(weights, tf.float32), layer.compute_dtype)
    given = np.float32(given)
    signs = reference.sign(np.float64(given) - np.float64(given).mean((0, 1, 2)))
    np.testing.assert_array_equal(np.float32(kernel), signs)
    expected = reference.convolve(reference.sign(x), signs, 1)
    # Sums of 576 are rounded in 16 bits.
    np.testing.assert_allclose(np.float32(model(x)), expected, rtol=2**-8)
    assert not np.array_equal(signs, reference.sign(weights))


def test_chosen_by_the_network_where_weights_are_binary():
    for options, kind in (
        ({}, "SteSign"),
        ({"weight_standardization": "center"}, "StandardizedSign"),
        ({"weight_quantile": 0.9}, "StandardizedSign"),
    ):
        network = Network("real_to_binary18", "binary", **options)
        found = blocks.quantizers(network)
        assert type(found["kernel_quantizer"]).__name__ == kind
        assert type(found["input_quantizer"]).__name__ == "SteSign"
        real = Network("real_to_binary18", "binary_activations", **options)
        assert blocks.quantizers(real)["kernel_quantizer"] is None


@pytest.mark.parametrize("binarizer", ["ste_sign", "approx_sign"])
def test_saved_and_loaded(tmp_path, binarizer):
    from r2b_keras import models

    options = {"weight_standardization": "standardize", "weight_quantile": 0.85}
    model = build_model(
        *("real_to_binary18", "binary", (5, 5, 1), 3),
        **{"width": 4, "blocks": (1,), "stem": "cifar", "activation_clip": 1.5},
        activation_binarizer=binarizer,
        **options,
    )
    model.save(tmp_path / "model.keras")
    loaded = models.load(tmp_path / "model.keras").get_layer("block_1a_conv")
    quantizer = loaded.kernel_quantizer
    assert isinstance(quantizer, StandardizedSign)
    assert (quantizer.standardization, quantizer.quantile) == ("standardize", 0.85)
    assert quantizer.clip_value is None and loaded.input_quantizer.clip_value == 1.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("whiten", 1.0), r"standardization is 'whiten', expected one of none, center"),
        (("center", 0.5), r"quantile is 0.5, expected a number above 0.5 and at most"),
        (("center", 1.1), r"quantile is 1.1, expected a number above 0.5 and at most"),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        StandardizedSign(*arguments)
