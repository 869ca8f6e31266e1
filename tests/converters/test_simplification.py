"""The simplified network against the network: thresholds and signs to the bit."""

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters import simplification, tflite_file, verify
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.simplification import ChannelThreshold, simplify, thresholds
from r2b_keras.environment import lq, tf
from r2b_keras.models.layers import ChannelGating

layers = tf.keras.layers
SHAPE = (9, 7, 3)
MAP = (5, 4, 12)


def sign(x):
    """-1 or +1; 0 counts as positive."""
    return np.where(np.asarray(x) >= 0, 1, -1)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def flips(layer):
    """-1 where a BatchNorm falls, +1 elsewhere."""
    return np.where(layer.gamma.numpy() < 0, -1, 1) if layer.scale else 1


# --- Thresholds ----------------------------------------------------------------------


def made_batch_norm(**options):
    """49 channels: a number that no vector unit divides; all kinds of gammas."""
    rng = np.random.default_rng(5)
    layer = nets.batch_norm(**options)
    layer.build((None, 3, 3, 49))
    gamma = rng.normal(size=49)
    gamma[:10] = 0, 0, 0, -0.0, 1e-38, -1e-38, 1e-20, -1e-20, 1e-4, -1e-4
    beta = rng.normal(size=49)
    beta[:4] = 1, -1, 0, -0.0
    mean = rng.normal(size=49) * 10.0 ** rng.integers(-3, 4, 49)
    variance = 10.0 ** rng.uniform(-6, 4, 49)
    mean[10:14], beta[10:14], variance[14:16] = 0, [0, 0, 1, -1], 0
    weights = [gamma] * layer.scale + [beta] * layer.center
    layer.set_weights([*weights, mean, variance])
    return layer


def around(threshold):
    """Floats at, next to and near each threshold, random ones, and the extremes."""
    below = above = threshold
    found = [threshold]
    for _ in range(20):
        below = np.nextafter(below, np.float32(-np.inf))
        above = np.nextafter(above, np.float32(np.inf))
        found += [below, above]
    size = np.random.default_rng(6).normal(size=(20, len(threshold)))
    found += [*(threshold + size * np.abs(threshold) * 1e-5), *size, *(1e3 * size)]
    found += [np.full(len(threshold), value) for value in (0.0, -0.0, 1e38, -1e38)]
    reach = np.nextafter(np.float32(1e30), np.float32(0))
    return np.clip(np.float32(found), -reach, reach)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": False},
        {"center": False},
        {"scale": False, "center": False},
        {"fused": False},
    ],
    ids=str,
)
def test_thresholds_are_exact(options):
    """sign(x - t) is sign(gamma) sign(BatchNorm(x)), whatever x is.

    Whatever the shape of the map, in which TensorFlow may take other instructions.
    """
    layer = made_batch_norm(**options)
    threshold = thresholds(layer)
    assert threshold.dtype == np.float32
    x = around(threshold)
    for shape in [(len(x), 1, 1), (1, 1, len(x)), (1, len(x), 1)]:
        output = layer(x.reshape(*shape, 49), training=False).numpy().reshape(x.shape)
        expected = sign(output) * flips(layer)
        # Float64 tells apart what float32's subtraction may round to 0.
        found = sign(x.astype(np.float64) - threshold)
        np.testing.assert_array_equal(found, expected)


def test_thresholds_are_where_the_formula_says():
    """mean - beta sqrt(variance + epsilon) / gamma, in float64."""
    layer = made_batch_norm()
    gamma, beta, mean, variance = (w.astype(np.float64) for w in layer.get_weights())
    usual = np.abs(gamma) > 1e-5
    distance = (beta * np.sqrt(variance + layer.epsilon))[usual] / gamma[usual]
    expected = mean[usual] - distance
    # Rounding of (x - mean) * s + beta is a part of 10^7 of each of its terms, but for
    # terms below 1e-38, which TensorFlow takes for 0.
    size = np.abs(mean[usual]) + np.abs(distance) + 1e-25
    error = np.abs(thresholds(layer)[usual] - expected) / size
    assert error.max() < 5e-7


def test_thresholds_of_constant_channels_are_out_of_reach():
    """gamma 0: the output is beta, and the sign of 0 is +1."""
    layer = nets.batch_norm()
    layer.build((None, 1, 1, 4))
    beta = np.array([2.0, 0.0, -0.0, -1e-20])
    layer.set_weights([np.zeros(4), beta, np.ones(4), np.ones(4)])
    np.testing.assert_array_equal(thresholds(layer), np.float32([-1, -1, -1, 1]) * 1e30)


# --- Whole networks ------------------------------------------------------------------


def build(**options):
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar", **options}
    model = models.build("real_to_binary18", "binary", SHAPE, 5, **options)
    return nets.randomize(model)


def inputs_of(model, kind):
    """What every layer of a kind takes, and the layers."""
    found = [layer for layer in model.layers if isinstance(layer, kind)]
    return tf.keras.Model(model.inputs, [layer.input for layer in found]), found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"downsample": "binary"},
        {"rescaling": "analytic"},
        {"activation_binarizer": "approx_sign", "weight_binarizer": "swish_sign"},
    ],
    ids=str,
)
def test_networks_keep_outputs_and_binary_activations(options):
    """Outputs up to rounding, signs to the bit, turned where gamma is negative."""
    model = build(**options)
    simplified = simplify(model)
    images = nets.random_images(SHAPE)
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(
        simplified(images, training=False).numpy(),
        expected,
        rtol=1e-5,
        atol=1e-5 * np.abs(expected).max(),
    )
    before, found = inputs_of(model, lq.layers.QuantConv2D)
    after, _ = inputs_of(simplified, lq.layers.QuantConv2D)
    replaced = 0
    for layer, old, new in zip(found, before(images), after(images), strict=True):
        norm = layer.inbound_nodes[0].inbound_layers
        stays = isinstance(simplified.get_layer(norm.name), layers.BatchNormalization)
        replaced += not stays
        turn = 1 if stays else flips(norm)
        np.testing.assert_array_equal(sign(new), sign(old) * turn)
    # XNOR-Net's K reads the BatchNorm as well: nothing to replace.
    assert replaced == (0 if "rescaling" in options else len(found))
    assert len(found) == (5 if "downsample" in options else 4)


def test_real_weights_are_turned_too():
    """Binary activations, real kernels: the products are the same to the bit."""
    options = {"width": 8, "blocks": (1,), "stem": "cifar"}
    model = models.build("strong_baseline18", "binary_activations", SHAPE, 5, **options)
    simplified = simplify(nets.randomize(model))
    assert simplified is not model
    images = nets.random_images(SHAPE)
    np.testing.assert_array_equal(simplified(images), model(images))


def test_the_original_stays_as_it_is():
    model = build()
    images = nets.random_images(SHAPE)
    before = [w.copy() for w in model.get_weights()], model(images).numpy()
    config = model.get_config()
    simplified = simplify(model)
    np.testing.assert_equal(model.get_weights(), before[0])
    np.testing.assert_array_equal(model(images), before[1])
    assert model.get_config() == config
    assert all(len(layer.inbound_nodes) == 1 for layer in model.layers)
    assert not {id(w) for w in model.weights} & {id(w) for w in simplified.weights}
    # Nothing is left to do.
    assert simplify(simplified) is simplified


def test_networks_of_other_binarizations_stay():
    for name, binarization in (("resnet18", "real"), ("real_to_binary18", "soft")):
        model = models.build(name, binarization, SHAPE, 5, width=8, blocks=(1,))
        assert simplify(model) is model


# --- Gates and weights ---------------------------------------------------------------


@pytest.mark.parametrize("use_bias", [False, True])
def test_the_gate_takes_what_batch_norm_did(use_bias):
    """sigmoid(E relu(R mean(BatchNorm(x)))), in float64, from the network's weights."""
    image = tf.keras.Input(MAP)
    norm, gate = nets.batch_norm(), ChannelGating(7, 5, use_bias=use_bias)
    x = norm(image)
    x = layers.Multiply()([nets.binary_convolution(7)(x), gate(x)])
    model = nets.randomize(tf.keras.Model(image, x))
    reduce, expand = (w.numpy()[0, 0] for w in gate.weights[:2])
    bias = np.linspace(-1, 1, 5) if use_bias else np.zeros(5)
    if use_bias:
        gate.reduce_bias.assign(bias)
    images = 3 * nets.random_images(MAP) + 1
    gamma, beta, mean, variance = (np.float64(w) for w in norm.get_weights())
    assert (gamma < 0).any() and (gamma == 0).sum() == 2
    normalized = (images - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    hidden = np.maximum(normalized.mean((1, 2)) @ reduce + bias, 0)
    expected = sigmoid(hidden @ expand)
    simplified = simplify(model)
    after = simplified.get_layer(gate.name)
    assert after.use_bias
    found = tf.keras.Model(simplified.inputs, after.output)(images)
    assert found.shape == (6, 1, 1, 7)
    # A mean of 20 values and two products of matrices, in float32.
    np.testing.assert_allclose(found[:, 0, 0], expected, rtol=2e-6)


# The last one is 0 to TensorFlow, whose sign is +1.
RARE_WEIGHTS = np.float32([0.0, -0.0, 1e-35, -1e-35, 1e-30, -0.2, -1e-40])


@pytest.mark.parametrize("quantizer", ["ste_sign", "magnitude_aware_sign"])
def test_latent_weights_of_zero_are_turned(quantizer):
    image = tf.keras.Input(MAP)
    norm = nets.batch_norm()
    convolution = nets.binary_convolution(6, kernel_quantizer=quantizer)
    model = nets.randomize(tf.keras.Model(image, convolution(norm(image))))
    gamma = np.where(np.arange(12) % 2, -1.5, 0.5)
    norm.gamma.assign(gamma)
    kernel = np.random.default_rng(3).normal(size=(3, 3, 12, 6)).astype(np.float32)
    kernel.ravel()[: 3 * 12 * 6] = np.resize(RARE_WEIGHTS, 3 * 12 * 6)
    convolution.kernel.assign(kernel)
    simplified = simplify(model)
    turned = simplified.get_layer(convolution.name).get_weights()[0]
    signs = np.where(kernel > -1e-38, 1, -1)
    assert ((kernel == 0) & (gamma < 0)[:, None]).sum() > 20
    np.testing.assert_array_equal(sign(turned), signs * sign(gamma)[:, None])
    images = nets.random_images(MAP)
    # Sums of +1 and -1 are exact; the mean magnitude is one of 108 numbers.
    np.testing.assert_allclose(
        simplified(images),
        model(images),
        rtol=0 if quantizer == "ste_sign" else 1e-6,
    )


# --- What stays ----------------------------------------------------------------------


def positive(model):
    for layer in model.submodules:
        if isinstance(layer, layers.BatchNormalization):
            layer.gamma.assign(np.abs(layer.gamma))
    return model


def after_batch_norm(make):
    """A network `make(BatchNorm(image))`."""
    image = tf.keras.Input(MAP)
    return tf.keras.Model(image, make(nets.batch_norm(name="norm")(image)))


def read_twice(x):
    return layers.Concatenate()([nets.binary_convolution(3)(x), layers.ReLU()(x)])


def read_by_a_convolution_used_twice():
    image, convolution = tf.keras.Input(MAP), nets.binary_convolution(3)
    found = [nets.batch_norm(name="norm")(image), layers.PReLU()(image)]
    return tf.keras.Model(image, layers.Add()([convolution(x) for x in found]))


def used_twice():
    image = tf.keras.Input(MAP)
    norm, convolution = nets.batch_norm(name="norm"), nets.binary_convolution
    outputs = [convolution(3)(norm(x)) for x in (image, layers.ReLU()(image))]
    return tf.keras.Model(image, layers.Add()(outputs))


def also_an_output():
    image = tf.keras.Input(MAP)
    x = nets.batch_norm(name="norm")(image)
    return tf.keras.Model(image, [nets.binary_convolution(3)(x), x])


def after_a_convolution():
    image = tf.keras.Input(MAP)
    x = nets.batch_norm(name="norm")(layers.Conv2D(6, 1, use_bias=False)(image))
    return tf.keras.Model(image, nets.binary_convolution(3)(x))


class Code(tf.keras.Model):
    """A network that is code, and no graph."""

    def __init__(self):
        super().__init__()
        self.norm, self.convolution = nets.batch_norm(), nets.binary_convolution(3)

    def call(self, inputs, training=None):
        return self.convolution(self.norm(inputs, training=training))


def code():
    model = Code()
    model(tf.zeros((1, *MAP)))
    return model


KEPT = {
    "read by another layer": lambda: after_batch_norm(read_twice),
    "an output": also_an_output,
    "only an output": lambda: after_batch_norm(layers.ReLU()),
    "after a convolution": after_a_convolution,
    "used twice": used_twice,
    "read by a convolution that is used twice": read_by_a_convolution_used_twice,
    "padding with ones": lambda: after_batch_norm(
        nets.binary_convolution(3, pad_values=1.0)
    ),
    "a real convolution": lambda: after_batch_norm(layers.Conv2D(3, 3)),
    "only a gate": lambda: after_batch_norm(ChannelGating(3, 2)),
    "not the sign of the input": lambda: after_batch_norm(
        nets.binary_convolution(3, input_quantizer="magnitude_aware_sign")
    ),
    "not the sign of the weights": lambda: after_batch_norm(
        nets.binary_convolution(3, kernel_quantizer=lq.quantizers.DoReFa(2))
    ),
    "groups": lambda: after_batch_norm(nets.binary_convolution(4, groups=2)),
    "other axis": lambda: tf.keras.Sequential(
        [tf.keras.Input(MAP), nets.batch_norm(axis=1), nets.binary_convolution(3)]
    ),
    "code": code,
}


@pytest.mark.parametrize("case", KEPT)
def test_what_cannot_be_replaced_stays(case):
    model = nets.randomize(KEPT[case]())
    assert simplify(model) is model


def nested():
    image, inner = tf.keras.Input(MAP), after_batch_norm(nets.binary_convolution(3))
    return tf.keras.Model(image, layers.ReLU()(inner(layers.PReLU()(image))))


def nested_twice():
    image, inner = tf.keras.Input(MAP), nested()
    return tf.keras.Model(image, layers.Add()([inner(image), inner(image + 1.0)]))


def in_two_networks():
    """Layers that are part of another network as well, after another layer."""
    model = after_batch_norm(nets.binary_convolution(3))
    image = tf.keras.Input(MAP)
    x = layers.ReLU()(image)
    for layer in model.layers[1:]:
        x = layer(x)
    return tf.keras.Model(image, x)


class Doubled(layers.Layer):
    """A layer without a configuration that says so; Keras guesses one."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs


def beside_other_layers():
    image = tf.keras.Input(MAP)
    x = layers.Lambda(lambda x: x - 0.25)(image)
    x = nets.batch_norm(name="norm")(tf.nn.relu(Doubled(2.0)(x) + 1.0) - image)
    return tf.keras.Model(image, nets.binary_convolution(3)(x))


REPLACED = {
    "padding with ones": lambda: positive(
        after_batch_norm(nets.binary_convolution(3, pad_values=1.0))
    ),
    "padding with ones and none": lambda: after_batch_norm(
        nets.binary_convolution(3, padding="valid", pad_values=1.0)
    ),
    "sequential": lambda: tf.keras.Sequential(
        [tf.keras.Input(MAP), nets.batch_norm(), nets.binary_convolution(3)]
    ),
    "two convolutions": lambda: after_batch_norm(
        lambda x: layers.Add()(
            [nets.binary_convolution(3)(x), nets.binary_convolution(3, 1)(x)]
        )
    ),
    "functions of one's own": lambda: after_batch_norm(
        nets.binary_convolution(
            3,
            input_quantizer=lambda x: tf.where(x >= 0, 1.0, -1.0),
            activation=lambda x: 0.5 * x,
        )
    ),
    "nested": nested,
    "nested and used twice": nested_twice,
    "in two networks": in_two_networks,
    "beside other layers": beside_other_layers,
}


@pytest.mark.parametrize("case", REPLACED)
def test_what_can_be_replaced_is(case):
    model = nets.randomize(REPLACED[case]())
    if case == "padding with ones":
        positive(model)
    simplified = simplify(model)
    kinds = [type(layer) for layer in simplified.submodules]
    assert layers.BatchNormalization not in kinds
    assert kinds.count(ChannelThreshold) == 1
    images = nets.random_images(MAP)
    # Sums of +1 and -1, exact but for what follows them.
    np.testing.assert_allclose(simplified(images), model(images), rtol=1e-6)
    # As it was: the layers of the original are still its own.
    assert layers.BatchNormalization in [type(layer) for layer in model.submodules]


def test_convolutions_with_biases_and_activations_keep_them():
    options = {"use_bias": True, "bias_initializer": "normal", "activation": "relu"}
    model = after_batch_norm(nets.binary_convolution(3, **options))
    simplified = simplify(nets.randomize(model))
    images = nets.random_images(MAP)
    assert simplified is not model
    np.testing.assert_array_equal(simplified(images), model(images))


def test_threshold_layer_is_saved_and_loaded(tmp_path):
    model = simplify(after_batch_norm(nets.binary_convolution(3)))
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("norm"), simplification.ChannelThreshold)
    images = nets.random_images(MAP)
    np.testing.assert_array_equal(loaded(images), model(images))


# --- On the converted graph ----------------------------------------------------------


@pytest.fixture(scope="module")
def converted():
    """A network, and its flatbuffers without and with simplification."""
    model = build(blocks=(1,))
    return model, convert(model, simplify=False), convert(model)


def test_each_half_block_loses_one_multiplication(converted):
    """And nothing else: BatchNorm is MUL and ADD, what stays is the ADD."""
    _, *flatbuffers = converted
    before, after = (tflite_file.count_operators(fb) for fb in flatbuffers)
    assert after["LceBconv2d"] == after["LceQuantize"] == 2
    # One MUL is left for each gate.
    assert (before["MUL"], after["MUL"]) == (4, 2)
    assert before["ADD"] == after["ADD"]
    before.subtract({"MUL": 2})
    assert before == after


def test_alpha_is_the_multiplier_of_the_binary_convolution(converted):
    model, *flatbuffers = converted
    alphas = [model.get_layer(f"block_1{x}_scale").scale.numpy() for x in "ab"]
    for flatbuffer in flatbuffers:
        content = tflite_file.parse(flatbuffer)
        graph = content.subgraphs[0]
        convolutions = [
            operator
            for operator in graph.operators
            if tflite_file.operator_name(content, operator) == "LceBconv2d"
        ]
        for operator, alpha in zip(convolutions, alphas, strict=True):
            multiplier, bias = (
                np.frombuffer(tflite_file.constant(content, graph.tensors[i]), "<f4")
                for i in operator.inputs[2:4]
            )
            np.testing.assert_array_equal(multiplier, alpha)
            np.testing.assert_array_equal(bias, 0)


@pytest.mark.parametrize("number", [1, 2], ids=["as it is", "simplified"])
def test_flatbuffers_agree_with_the_network(converted, number):
    model = converted[0]
    result = verify(model, converted[number], nets.random_images(SHAPE, num=50))
    assert result.accepted and result.agreement == 1.0, result.to_text()
    assert result.largest_difference <= 1e-5 * result.largest_score
