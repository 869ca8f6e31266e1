"""Quantized convolutions: what becomes binary, and the gradients' rules."""

import numpy as np
import numpy_reference as reference
import pytest

from r2b_keras.environment import lq, tf
from r2b_keras.models import binarizers, blocks
from r2b_keras.networks import BINARIZERS, Network

# 0 of either sign, both signs, the clip's edge, and beyond it.
POINTS = np.array([-4.0, -1.5, -1.0, -0.3, -0.0, 0.0, 0.3, 1.0, 1.5, 4.0], "float32")


def ste_rule(x):
    """Straight-through: 1 where |x| <= 1."""
    return np.where(np.abs(x) <= 1, 1.0, 0.0)


def approx_rule(x):
    """Bi-Real Net: 2 - 2|x| where |x| <= 1."""
    return np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0.0)


def swish_rule(x, beta=5.0):
    """Derivative of `2 s(bx) (1 + bx (1 - s(bx))) - 1`, s the sigmoid [BNN+]."""

    def smooth(x):
        s = reference.sigmoid(beta * x)
        return (2 * s * (1 + beta * x * (1 - s)) - 1).sum()

    return reference.numeric_gradient(smooth, np.float64(x))


RULES = {"ste_sign": ste_rule, "approx_sign": approx_rule, "swish_sign": swish_rule}


def convolution(input_shape, filters=4, kernel=3, strides=1, **options):
    """A quantized convolution as the blocks make it, and a model of it alone."""
    binarization = options.pop("binarization", "binary")
    name = "resnet18" if binarization == "real" else "real_to_binary18"
    network = Network(name, binarization, **options)
    image = tf.keras.Input(input_shape)
    x = blocks.quantized_convolution(image, filters, kernel, strides, network, "conv")
    model = tf.keras.Model(image, x)
    return model.get_layer("conv"), model


def quantized(layer):
    """The kernel as the convolution sees it."""
    with lq.context.quantized_scope(True):
        return layer.kernel.numpy()


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def test_every_binarizer_has_a_rule_here():
    assert set(RULES) == set(BINARIZERS)


@pytest.mark.parametrize("name", RULES)
def test_binarizer_values_and_gradient(name):
    layer, _ = convolution((4, 4, 2), activation_binarizer=name)
    x, upstream = tf.constant(POINTS), tf.constant(random(POINTS.shape))
    with tf.GradientTape() as tape:
        tape.watch(x)
        signs = layer.input_quantizer(x)
    np.testing.assert_array_equal(signs, [-1] * 4 + [1] * 6)  # sign(0) = +1
    gradient = tape.gradient(signs, x, upstream)
    np.testing.assert_allclose(gradient, upstream * RULES[name](POINTS), atol=1e-6)


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("pad_value", [0.0, 1.0])
@pytest.mark.parametrize("size", [(5, 4), (1, 1)])
def test_binary_convolution_is_a_convolution_of_signs(strides, pad_value, size):
    layer, model = convolution((*size, 3), strides=strides, pad_value=pad_value)
    x, weights = random((2, *size, 3)), random((3, 3, 3, 4), 1)
    x[0, 0, 0], weights[1, 1, 0] = 0.0, 0.0
    layer.set_weights([weights])
    np.testing.assert_array_equal(quantized(layer), reference.sign(weights))
    expected = reference.convolve(
        reference.sign(x), reference.sign(weights), strides, pad_value
    )
    np.testing.assert_array_equal(model(x), expected)  # sums of +-1: exact


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("name", ["ste_sign", "approx_sign"])
def test_gradients_of_a_binary_convolution(strides, name):
    """The rule of the sign times the gradient of a convolution of signs."""
    options = {"activation_binarizer": name, "weight_binarizer": name}
    layer, model = convolution((5, 4, 3), strides=strides, **options)
    x, weights = random((2, 5, 4, 3)), random((3, 3, 3, 4), 1)
    x[0, 0, 0], weights[1, 1, 0] = 0.0, 0.0
    layer.set_weights([weights])
    upstream = random(model.compute_output_shape(x.shape), 2)
    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(upstream * model(images))
    found = tape.gradient(loss, [images, *model.trainable_weights])

    signs = reference.sign(x), reference.sign(weights)
    by_input, by_weights = reference.convolve_gradients(*signs, upstream, strides)
    rule = RULES[name]
    np.testing.assert_allclose(found[0], by_input * rule(x), atol=1e-4)
    np.testing.assert_allclose(found[1], by_weights * rule(weights), atol=1e-4)


def test_analytic_kernel_is_alpha_times_sign():
    layer, _ = convolution((4, 4, 3), rescaling="analytic")
    weights = random((3, 3, 3, 4))
    weights[..., 0] *= 10.0  # a filter of its own size
    layer.set_weights([weights])
    alpha = np.abs(np.float64(weights)).mean(axis=(0, 1, 2))
    expected = alpha * reference.sign(weights)
    np.testing.assert_allclose(quantized(layer), expected, rtol=1e-6)
    assert len(np.unique(np.abs(quantized(layer)))) == 4


# Of all re-scalings the analytic one alone has a weight binarizer of its own.
@pytest.mark.parametrize("rescaling", ["channel_scale", "analytic"])
def test_latent_weights_stay_within_one(rescaling):
    """A weight beyond +-1 gets no gradient: it would never come back."""
    layer, model = convolution((4, 4, 3), rescaling=rescaling)
    model.compile(tf.keras.optimizers.SGD(100.0), "mse")
    model.train_on_batch(random((2, 4, 4, 3)), random((2, 4, 4, 4), 1))
    (latent,) = layer.get_weights()
    assert np.abs(latent).max() == 1.0


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_the_magnitude_is_a_mean_in_float32(precision):
    """In float16 a sum over 4,608 weights of 0.04 stops growing."""
    binarizer = binarizers.MagnitudeAwareSign(dtype=f"mixed_{precision}")
    weights = np.random.default_rng(0).normal(0, 0.05, (3, 3, 512, 4))
    rounded = tf.cast(tf.constant(weights, tf.float32), precision)
    found = np.abs(tf.cast(binarizer(rounded), tf.float32).numpy())
    expected = np.abs(tf.cast(rounded, tf.float64).numpy()).mean(axis=(0, 1, 2))
    # The result is rounded to 11 or to 8 bits.
    for each in found.reshape(-1, 4)[[0, -1]]:
        np.testing.assert_allclose(each, expected, rtol=2.0**-8)


def test_binarizations_differ_in_quantizers_only():
    expected = {
        "real": (None, None, None),
        "soft": ("Tanh", None, None),
        "binary_activations": ("ApproxSign", None, None),
        "binary": ("ApproxSign", "SwishSign", "weight_clip"),
    }
    for binarization, names in expected.items():
        layer, _ = convolution(
            (4, 4, 3),
            binarization=binarization,
            activation_binarizer="approx_sign",
            weight_binarizer="swish_sign",
        )
        parts = (
            layer.input_quantizer,
            layer.kernel_quantizer,
            layer.kernel_constraint,
        )
        found = tuple(part if part is None else type(part).__name__ for part in parts)
        assert found == names, binarization
        assert not layer.use_bias
        assert [w.shape for w in layer.weights] == [(3, 3, 3, 4)]


def test_soft_and_half_binary_convolutions():
    """tanh, or sign, of the input; the weights as they are."""
    x, weights = random((2, 5, 4, 3)), random((3, 3, 3, 4), 1)
    for binarization, squash in (
        ("real", lambda x: x),
        ("soft", np.tanh),
        ("binary_activations", reference.sign),
    ):
        layer, model = convolution((5, 4, 3), strides=2, binarization=binarization)
        layer.set_weights([weights])
        expected = reference.convolve(squash(np.float64(x)), weights, 2)
        np.testing.assert_allclose(model(x), expected, atol=1e-5)
