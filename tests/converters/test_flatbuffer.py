"""Networks, ours and of plain larq layers: converted, or refused by name."""

import collections

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras.converters import converted_checks, engines, verify
from r2b_keras.converters.binary_flow import Flow, Place, Values, trace
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation
from tests.networks import build_model

layers = tf.keras.layers
SHAPE = (13, 12, 3)


def binary_net(head):
    """Courbariaux & Hubara (2016): BatchNorm and a sign after every layer."""
    image = x = tf.keras.Input(SHAPE)
    # Pixels are not binarized, but the first weights are.
    x = nets.binary_convolution(24, input_quantizer=None, name="first")(x)
    x = nets.batch_norm(scale=False)(x)
    for number, filters in enumerate((24, 40)):
        x = nets.binary_convolution(filters, name=f"binary_{number}")(x)
        x = layers.MaxPool2D(2)(x)
        x = nets.batch_norm()(x)
    x = nets.binary_convolution(16, padding="valid", name="binary_2")(x)
    return tf.keras.Model(image, head(layers.Flatten()(nets.batch_norm()(x))))


def real_head(x):
    return layers.Dense(5)(x)


def binary_head(x):
    x = lq.layers.QuantDense(32, **nets.BINARY, use_bias=False)(x)
    return layers.Dense(5)(nets.batch_norm()(x))


def bi_real_net():
    """Liu et al. (2018): a skip around every layer, BatchNorm after it, ones around."""
    image = x = tf.keras.Input(SHAPE)
    x = nets.batch_norm()(layers.Conv2D(8, 3, padding="same", use_bias=False)(x))
    for filters, strides in ((8, 1), (16, 2), (16, 1)):
        skip = x
        if strides == 2:
            skip = layers.AveragePooling2D(2, 2, padding="same")(skip)
            skip = layers.Conv2D(filters, 1, use_bias=False)(skip)
            skip = nets.batch_norm()(skip)
        x = nets.binary_convolution(
            filters,
            strides=strides,
            pad_values=1.0,
            input_quantizer="approx_sign",
            kernel_quantizer="magnitude_aware_sign",
        )(x)
        x = layers.Add()([nets.batch_norm()(x), skip])
    return tf.keras.Model(image, real_head(layers.GlobalAveragePooling2D()(x)))


def dense_net():
    """Bethge et al. (2019): each layer adds an odd number of channels to the map."""
    image = x = tf.keras.Input(SHAPE)
    x = layers.Conv2D(7, 3, padding="same", use_bias=False)(image)
    for group, dilation in ((0, 1), (1, 2)):
        for _ in range(2):
            new = nets.batch_norm()(x)
            new = nets.binary_convolution(5, dilation_rate=dilation)(new)
            x = layers.Concatenate()([x, new])
        if group == 0:
            x = layers.ReLU()(layers.MaxPool2D(2)(nets.batch_norm()(x)))
            x = layers.Conv2D(11, 1, use_bias=False)(x)
    x = layers.ReLU()(nets.batch_norm()(x))
    return tf.keras.Model(image, real_head(layers.GlobalAveragePooling2D()(x)))


def ours():
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
    return build_model("real_to_binary18", "binary", SHAPE, 5, **options)


NETWORKS = {
    # Name: the network, its binary layers, and the engines that lack an operator of it.
    "BinaryNet": (lambda: binary_net(binary_head), 4, ()),
    "Bi-Real net": (bi_real_net, 3, ()),
    "Real-to-Binary": (ours, 4, ()),
    # No zero padding of odd numbers of channels.
    "DenseNet": (dense_net, 4, ("lce_reference",)),
}


def briefly_trained(model):
    """A few steps, which move the statistics; then gammas of both signs, and zeros."""
    model.compile(
        tf.keras.optimizers.Adam(0.01),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        run_eagerly=True,  # four steps take less time than their graph
    )
    images = nets.random_images(SHAPE, num=16)
    for _ in range(4):
        model.train_on_batch(images, np.arange(16) % 5)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization) and layer.scale:
            gamma = layer.gamma.numpy()
            gamma[1::4] *= -1
            gamma[-1] = 0
            layer.gamma.assign(gamma)
    return model


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    make, num_binary, without = NETWORKS[request.param]
    tf.keras.utils.set_random_seed(3)
    model = briefly_trained(make())
    return model, convert(model), num_binary, nets.binary_engines(*without)


def test_every_binary_layer_is_a_binary_operation(network):
    model, flatbuffer, num_binary, _ = network
    assert len({x.layer for x in trace(model).binary}) == num_binary
    # Of a network in a network, too.
    outer = tf.keras.Input(SHAPE, batch_size=2)
    nested = tf.keras.Model(outer, model(outer))
    assert len({x.layer for x in trace(nested).binary}) == num_binary
    assert count_operators(flatbuffer)["LceBconv2d"] == num_binary


def test_all_engines_agree_with_keras(network):
    model, flatbuffer, _, names = network
    images = nets.random_images(SHAPE, num=40, seed=5)
    expected = model.predict_on_batch(images)
    # Scores of different images differ, or agreement would mean little.
    assert expected.std(axis=0).min() > 0.01 * np.abs(expected).max()
    for name in names:
        result = verify(model, flatbuffer, images, engine=name)
        assert result.accepted and result.agreement == 1.0, result.to_text()
        # Rounding only: no sign of these images is turned.
        assert result.largest_difference <= 1e-5 * result.largest_score
        found = nets.run(flatbuffer, images, name, batch_size=3)
        np.testing.assert_allclose(found, expected, atol=1e-5 * result.largest_score)


def test_a_batch_that_the_input_names(capfd):
    """Each image of a batch has its own gate, in the flatbuffer as in Keras."""
    model = briefly_trained(ours())
    outer = tf.keras.Input(SHAPE, batch_size=3)
    flatbuffer = convert(tf.keras.Model(outer, model(outer)))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    counts = count_operators(flatbuffer)
    assert counts["LceBconv2d"] == counts["LceQuantize"] == counts["LOGISTIC"] == 4
    scales = np.float32([0.3, 1.0, 3.0])[:, None, None, None]
    images = nets.random_images(SHAPE, 3) * scales
    expected = model.predict_on_batch(images)
    for name in ("lce", "r2b_runtime"):
        engine = engines.load(flatbuffer, name, batch_size=3)
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(engine.predict(images), expected, atol=atol)


# --- Other ways to write a network ---------------------------------------------------


class Code(tf.keras.Model):
    """A network that is code, with a default for `training` that is not inference."""

    def __init__(self):
        super().__init__()
        self.norm, self.convolution = nets.batch_norm(), nets.binary_convolution(4)
        self.drop, self.head = layers.Dropout(0.5), layers.Dense(5)

    def call(self, inputs, training=True):
        x = self.convolution(self.norm(inputs, training=training))
        return self.head(self.drop(tf.reduce_mean(x, (1, 2)), training=training))


def code():
    model = Code()
    model(tf.zeros((1, *SHAPE)), training=False)
    return model


def several_ways():
    """A sequential model in a network, a layer used twice, a sign as a layer."""
    image = tf.keras.Input(SHAPE)
    inner = tf.keras.Sequential(
        [tf.keras.Input(SHAPE), nets.batch_norm(), nets.binary_convolution(3)]
    )
    twice = nets.binary_convolution(4)
    x = twice(image) + twice(tf.nn.relu(image - 0.5))
    sign = nets.binary_convolution(4, 1, input_quantizer=None)
    y = sign(lq.quantizers.SteSign()(inner(image)))
    scores = real_head(layers.GlobalAveragePooling2D()(layers.Concatenate()([x, y])))
    return tf.keras.Model({"picture": image}, scores)


@pytest.mark.parametrize("make, num_binary", [(code, 1), (several_ways, 4)])
def test_other_ways_to_write_a_network(make, num_binary):
    model = nets.randomize(make())
    flatbuffer = convert(model)
    assert count_operators(flatbuffer)["LceBconv2d"] == num_binary
    images = nets.random_images(SHAPE)
    expected = model(images if make is code else {"picture": images}, training=False)
    found = nets.run(flatbuffer, images, "lce", batch_size=3)
    atol = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=atol)
    assert verify(model, flatbuffer, images).accepted


# --- What cannot be converted --------------------------------------------------------


def after_a_binary_layer(make, channels=8):
    image = tf.keras.Input((*SHAPE[:2], channels))
    x = nets.binary_convolution(channels, name="right")(image)
    return tf.keras.Model(image, make(x), name="mine")


class Unknown(layers.Layer):
    """Computes what TensorFlow Lite has no operator for."""

    def call(self, inputs):
        return tf.math.betainc(tf.sigmoid(inputs), 0.5, 0.5)


class Lookup(layers.Layer):
    """Has state that TensorFlow Lite cannot keep."""

    def build(self, input_shape):
        pairs = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
        self.table = tf.lookup.StaticHashTable(pairs, 0.0)

    def call(self, inputs):
        return inputs + self.table.lookup(tf.cast(inputs, tf.int32))


def used_twice_then_depthwise(x):
    """Three convolutions come of three layers, and still one layer stays real."""
    twice = nets.binary_convolution(8)
    return lq.layers.QuantDepthwiseConv2D(3, **depthwise)(twice(twice(x)))


BINARY = (
    "Layer 'wrong' of model 'mine' is binary, but would not be a binary operator: "
    "expected "
)
depthwise = {
    "input_quantizer": "ste_sign",
    "depthwise_quantizer": "ste_sign",
    "depthwise_constraint": "weight_clip",
    "name": "wrong",
}


def all_positive():
    image = tf.keras.Input((2, 2, 512))
    ones = {"kernel_initializer": "ones", "pad_values": 1.0, "name": "wrong"}
    x = layers.Flatten()(nets.binary_convolution(256, **ones)(image))
    return tf.keras.Model(image, layers.Dense(3)(x), name="mine")


REFUSED = {
    "one sign": (all_positive, "Layer '.*wrong.*' has many weights, all of one sign,"),
    "operation": (
        lambda: after_a_binary_layer(lambda x: layers.ReLU()(Unknown(name="wrong")(x))),
        "Layer 'wrong' of model 'mine' cannot be converted: no engine.* Betainc,",
    ),
    "operation at the end": (
        lambda: after_a_binary_layer(Unknown(name="wrong")),
        "Layer 'wrong' of model 'mine' cannot be converted: no engine.* Betainc,",
    ),
    "sequence": (
        lambda: after_a_binary_layer(
            lambda x: layers.LSTM(4, name="wrong")(layers.Reshape((13, 96))(x))
        ),
        "Layer 'wrong' of model 'mine' cannot be converted: 'tf.TensorList",
    ),
    "table": (
        lambda: after_a_binary_layer(Lookup(name="wrong")),
        "odel 'mine' cannot be converted: Tried to export .*resource.$",
    ),
    "depthwise": (
        lambda: after_a_binary_layer(lq.layers.QuantDepthwiseConv2D(3, **depthwise)),
        BINARY
        + "larq's own QuantConv2D or QuantDense, which QuantDepthwiseConv2D is not",
    ),
    "transposed": (
        lambda: after_a_binary_layer(
            lq.layers.QuantConv2DTranspose(3, 3, **nets.BINARY, name="wrong")
        ),
        BINARY
        + "larq's own QuantConv2D or QuantDense, which QuantConv2DTranspose is not",
    ),
    "depthwise beside a layer used twice": (
        lambda: after_a_binary_layer(used_twice_then_depthwise),
        BINARY
        + "larq's own QuantConv2D or QuantDense, which QuantDepthwiseConv2D is not",
    ),
    "groups of 4 channels": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, groups=2, name="wrong")
        ),
        BINARY + ".*in groups of multiples of 32 channels if at all",
    ),
    "a kernel of ones and zeros": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, kernel_quantizer="ste_heaviside", name="wrong")
        ),
        BINARY + r"a kernel of -1 and \+1 or of one magnitude",
    ),
    "ones and zeros": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, input_quantizer="ste_heaviside", name="wrong")
        ),
        BINARY + r"inputs of -1 and \+1, which larq's ste_sign gives.$",
    ),
    "ternary values": (
        lambda: after_a_binary_layer(
            lambda x: nets.binary_convolution(
                8, input_quantizer=lq.quantizers.SteTern(), name="wrong"
            )(nets.batch_norm()(x))
        ),
        BINARY
        + r"inputs of -1 and \+1, but they are -1, 0 and \+1: .* 0 is positive.$",
    ),
    "a sign that has zeros": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, input_quantizer=tf.sign, name="wrong")
        ),
        BINARY
        + r"inputs of -1 and \+1, but they are -1, 0 and \+1: .* 0 is positive.$",
    ),
    "padding with -1": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, pad_values=-1.0, name="wrong")
        ),
        BINARY + ".*a padding with 0 or 1, and an output that the scores rest on.*",
    ),
    "channels first": (
        lambda: after_a_binary_layer(
            nets.binary_convolution(8, data_format="channels_first", name="wrong")
        ),
        BINARY + "data_format='channels_last'.$",
    ),
    "any size": (
        lambda: tf.keras.Sequential(
            [tf.keras.Input((None, None, 3)), nets.binary_convolution(8)], name="mine"
        ),
        r"'mine' takes images of any size, .*\(None, None, None, 3\).*Input\(\(height",
    ),
    "pixels": (
        lambda: tf.keras.Sequential(
            [tf.keras.Input(SHAPE, dtype="uint8"), layers.Rescaling(1 / 255)],
            name="mine",
        ),
        "Model 'mine' takes uint8, expected float32: build it with an `Input` of",
    ),
    "double precision": (
        lambda: tf.keras.Sequential(
            [tf.keras.Input(SHAPE, dtype="float64"), layers.Flatten()], name="mine"
        ),
        "Model 'mine' takes float64, expected float32",
    ),
    "never called": (Code, "'code.*' cannot be converted: .*call it on an image first"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_converted_is_named_in_one_sentence(case, capfd):
    make, message = REFUSED[case]
    model = make()
    with pytest.raises(InputError, match=message) as caught:
        convert(model)
    assert "\n" not in str(caught.value)
    # The converter's own notes stay off the screen.
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_a_network_of_pixels_is_refused_whatever_its_normalisation():
    """Keras would cast what is normalised back to pixels."""
    make, message = REFUSED["pixels"]
    normalisation = Normalisation((0.0,) * SHAPE[-1], (1.0,) * SHAPE[-1])
    with pytest.raises(InputError, match=message):
        convert(make(), normalisation=normalisation)


def test_layers_of_equal_filters_have_an_operator_each():
    layer = lq.layers.QuantDense(4, kernel_quantizer="ste_sign", name="twin")
    kernel = np.float32([[1, -1, 1, 1], [1, 1, -1, 1]])
    place = Place(layer, kernel, Values.SIGNS, True)
    flow = Flow((place, place), (), (), ())
    model, filters = tf.keras.Sequential(), converted_checks._filters_of(kernel)
    check = converted_checks._check_binary_layers
    check(model, flow, collections.Counter({filters: 2}))
    with pytest.raises(InputError, match="'twin' .* would not be a binary operator"):
        check(model, flow, collections.Counter({filters: 1}))
