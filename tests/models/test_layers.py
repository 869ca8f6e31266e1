"""Layers against NumPy: values, gradients, serialisation, errors."""

import numpy as np
import numpy_reference as reference
import pytest

from r2b_keras.environment import tf
from r2b_keras.models.layers import (
    ActivationScale,
    ChannelGating,
    ChannelScale,
    OuterProductScale,
    Tanh,
)

# Odd and even sizes, batch > 1, and a map of one pixel.
SHAPES = [(3, 5, 4, 6), (2, 1, 1, 6), (2, 6, 7, 3)]


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def gradients(layer, x, upstream):
    """Gradients of `sum(upstream * layer(x))` by x and by the layer's weights."""
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(upstream * layer(x))
    found = tape.gradient(loss, [x, *layer.trainable_weights])
    return [gradient.numpy() for gradient in found]


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_scale_multiplies_each_channel(shape):
    layer = ChannelScale(dtype="float64")
    x, scale, upstream = random(shape), random(shape[-1], 1), random(shape, 2)
    scale[:2] = 0.0, -1.5
    np.testing.assert_array_equal(layer(x), x)  # starts at 1
    layer.set_weights([scale])
    np.testing.assert_allclose(layer(x), x * scale, rtol=1e-12)
    by_input, by_scale = gradients(layer, x, upstream)
    np.testing.assert_allclose(by_input, upstream * scale, rtol=1e-12)
    np.testing.assert_allclose(by_scale, (upstream * x).sum((0, 1, 2)), rtol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_outer_product_scale_multiplies_by_three_vectors(shape):
    layer = OuterProductScale(dtype="float64")
    x, upstream = random(shape), random(shape, 2)
    np.testing.assert_array_equal(layer(x), x)
    height, width, channel = (random(n, i) for i, n in enumerate(shape[1:]))
    layer.set_weights([height[:, None, None], width[None, :, None], channel])
    factor = np.einsum("h,w,c->hwc", height, width, channel)
    np.testing.assert_allclose(layer(x), x * factor, rtol=1e-12)

    by_input, by_height, by_width, by_channel = gradients(layer, x, upstream)
    products = (upstream * x).sum(0)
    np.testing.assert_allclose(by_input, upstream * factor, rtol=1e-12)
    expected = np.einsum("hwc,w,c->h", products, width, channel)
    np.testing.assert_allclose(by_height.ravel(), expected, rtol=1e-9)
    expected = np.einsum("hwc,h,c->w", products, height, channel)
    np.testing.assert_allclose(by_width.ravel(), expected, rtol=1e-9)
    expected = np.einsum("hwc,h,w->c", products, height, width)
    np.testing.assert_allclose(by_channel, expected, rtol=1e-9)


def test_outer_product_scale_needs_a_known_size():
    with pytest.raises(ValueError, match=r"known height and width.*'channel_scale'"):
        OuterProductScale()(tf.keras.Input((None, 4, 2)))


@pytest.mark.parametrize("kernel", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 7), (6, 5)])
def test_activation_scale_is_a_box_filter_of_magnitudes(kernel, stride, size):
    x = random((2, *size, 3))
    x[0, 0, 0] = 0.0
    layer = ActivationScale(kernel, stride, dtype="float64")
    expected = reference.activation_scale(x, kernel, stride)
    assert expected.shape == (2, -(-size[0] // stride), -(-size[1] // stride), 1)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)


@pytest.mark.parametrize("stride", [1, 2])
def test_activation_scale_has_the_geometry_of_the_convolution(stride):
    """A box of ones as filter: K is then that convolution of |A|, divided by 9 C."""
    x = random((2, 6, 5, 4)).astype("float32")
    convolution = tf.keras.layers.Conv2D(
        1, 3, strides=stride, padding="same", kernel_initializer="ones"
    )
    expected = convolution(np.abs(x)) / (9 * 4)
    np.testing.assert_allclose(ActivationScale(3, stride)(x), expected, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_activation_scale_gradient_is_the_sign_spread_over_the_window(stride):
    x = random((2, 5, 4, 3))
    x[0, 1, 2, :] = 0.0  # the rule at 0: no gradient
    layer = ActivationScale(3, stride, dtype="float64")
    upstream = random(layer(x).shape, 1)
    (by_input,) = gradients(layer, x, upstream)
    box = np.full((3, 3, 1, 1), 1 / 9)
    spread, _ = reference.convolve_gradients(x[..., :1], box, upstream, stride)
    np.testing.assert_allclose(by_input, np.sign(x) / 3 * spread, atol=1e-14)


@pytest.mark.parametrize(
    ("kernel", "stride", "field"), [(0, 1, "kernel_size"), (3, 0, "strides")]
)
def test_activation_scale_refuses_an_empty_window(kernel, stride, field):
    with pytest.raises(ValueError, match=rf"ActivationScale.{field} is 0.*at least 1"):
        ActivationScale(kernel, stride)


@pytest.mark.parametrize("shape", SHAPES)
def test_channel_gating_against_numpy(shape):
    layer = ChannelGating(units=5, bottleneck=2, dtype="float64")
    x = random(shape)
    gate = layer(x).numpy()
    reduce_kernel, expand_kernel = layer.get_weights()
    assert reduce_kernel.shape == (1, 1, shape[-1], 2)
    assert expand_kernel.shape == (1, 1, 2, 5)
    expected = reference.gate(x, reduce_kernel, expand_kernel)
    assert gate.shape == (shape[0], 1, 1, 5)
    assert layer.compute_output_shape(shape) == gate.shape
    np.testing.assert_allclose(gate, expected, rtol=1e-12)
    assert np.ptp(gate, axis=0).max() > 0.01  # each image has its own


def test_channel_gating_gradients_against_differences():
    layer = ChannelGating(units=3, bottleneck=4, dtype="float64")
    x = random((2, 3, 2, 5))
    upstream = random(layer(x).shape, 1)
    kernels = [random(weight.shape, i) for i, weight in enumerate(layer.weights)]
    layer.set_weights(kernels)
    pooled = x.mean((1, 2)) @ kernels[0][0, 0]
    assert (pooled > 0).any() and (pooled < 0).any()  # both sides of the ReLU

    values = [x, *kernels]
    for i, found in enumerate(gradients(layer, x, upstream)):

        def loss(value, i=i):
            arguments = [*values[:i], value, *values[i + 1 :]]
            return (upstream * reference.gate(*arguments)).sum()

        expected = reference.numeric_gradient(loss, values[i])
        np.testing.assert_allclose(found, expected, atol=1e-8)


def test_channel_gating_of_a_large_map_in_half_precision():
    """112 x 112 times 20 is beyond float16's 65504, their mean is not."""
    policy = tf.keras.mixed_precision.Policy("mixed_float16")
    layer = ChannelGating(units=4, bottleneck=2, dtype=policy)
    x = np.full((1, 112, 112, 3), 20.0)
    gate = layer(x)
    assert gate.dtype == tf.float16
    expected = reference.gate(x, *layer.get_weights())
    np.testing.assert_allclose(gate, expected, atol=2e-3)


def test_channel_gating_errors():
    with pytest.raises(ValueError, match="bottleneck is 0, expected .* at least 1"):
        ChannelGating(units=4, bottleneck=0)
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=2"):
        ChannelGating(units=4, bottleneck=1)(np.zeros((2, 3)))
    # Of a dense layer, which it derives from and is not.
    with pytest.raises(ValueError, match="got activation, kernel_regularizer, exp"):
        ChannelGating(4, 1, activation="relu", kernel_regularizer="l2")


def test_tanh_and_its_gradient():
    x = np.array([-3.0, -0.5, -0.0, 0.0, 0.5, 3.0])
    quantizer = Tanh(dtype="float64")
    np.testing.assert_allclose(quantizer(x), np.tanh(x), rtol=1e-12)
    (gradient,) = gradients(quantizer, x, np.ones_like(x))
    np.testing.assert_allclose(gradient, 1 - np.tanh(x) ** 2, rtol=1e-9)
    assert gradient[2] == gradient[3] == 1.0
    assert quantizer.precision == 32


LAYERS = [
    Tanh(name="squash"),
    ChannelScale(name="alpha"),
    OuterProductScale(name="gamma", trainable=False),
    ActivationScale(3, strides=2, name="k", dtype="float64"),
    ChannelGating(units=6, bottleneck=3, name="gate", trainable=False),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.name)
def test_config_round_trip(layer):
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    assert (twin.name, twin.trainable) == (layer.name, layer.trainable)
    assert twin.compute_dtype == layer.compute_dtype
    registered = tf.keras.layers.deserialize(tf.keras.layers.serialize(layer))
    assert type(registered) is type(layer)
    assert registered.get_config() == layer.get_config()


@pytest.mark.parametrize("use_bias", [False, True])
def test_gate_trains_with_what_it_infers(use_bias):
    generator = np.random.default_rng(4)
    gate = ChannelGating(6, 3, use_bias=use_bias)
    maps = tf.constant(generator.normal(size=(5, 3, 7, 4)), tf.float32)
    gate(maps)
    gate.set_weights([generator.normal(size=w.shape) for w in gate.get_weights()])
    gradients = []
    for training in (True, False):
        with tf.GradientTape() as tape:
            tape.watch(maps)
            values = gate(maps, training=training)
            loss = tf.reduce_sum(values**2)
        assert values.shape == (5, 1, 1, 6)
        gradients.append([values, *tape.gradient(loss, [maps, *gate.weights])])
    # Sums of at most 21 float32 terms in another order.
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
