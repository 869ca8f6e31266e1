"""What is binary: one answer, whatever lies between a sign and a convolution."""

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras.converters import binary_flow, graph, verify
from r2b_keras.converters.binary_flow import Values
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (6, 7, 32)


def sign(x):
    return lq.quantizers.SteSign()(x)


def plain(x, **options):
    """A layer with binary weights that takes its input as it is."""
    options = {"input_quantizer": None, **options}
    return nets.binary_convolution(5, **options)(x)


def dense(x, **options):
    options = {**nets.BINARY, "input_quantizer": None, **options}
    return lq.layers.QuantDense(5, **options)(x)


def where(x):
    return tf.where(x >= 0, 1.0, -1.0)


def where_above(x):
    """-1 at 0: signs, but not larq's."""
    return tf.where(x > 0, 1.0, -1.0)


class Pieces(layers.Layer):
    """A layer that is code, with a layer inside that no graph shows."""

    def __init__(self):
        super().__init__()
        self.convolution = nets.binary_convolution(5, name="last", input_quantizer=None)

    @tf.function
    def call(self, inputs):
        return self.convolution(tf.concat([sign_of(inputs), sign_of(-inputs)], -1))


class More(lq.layers.QuantDense):
    def call(self, inputs):
        return 2 * super().call(inputs)


def sign_of(x):
    return lq.math.sign(x)


class Code(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.pieces = Pieces()

    def call(self, inputs):
        return layers.Flatten()(self.pieces(inputs))


def nested(x):
    pooled = layers.MaxPool2D(2)(sign(x))
    image = tf.keras.Input(pooled.shape[1:])
    return tf.keras.Model(image, plain(image))(pooled)


def joined(*parts):
    return layers.Concatenate()(list(parts))


# How signs reach the last layer, which is binary each time.
SIGNS = {
    "directly": lambda x: plain(x, input_quantizer="approx_sign"),
    "from a layer": lambda x: plain(sign(x)),
    "concatenation": lambda x: plain(joined(sign(x), sign(x - 0.3))),
    "max pooling": lambda x: plain(layers.MaxPool2D(2)(sign(x))),
    "reshape": lambda x: plain(layers.Reshape((6, 14, 16))(sign(x))),
    "crop": lambda x: plain(layers.Cropping2D(1)(sign(x))),
    "slice": lambda x: plain(sign(x)[:, 1:, ::2]),
    "enlargement": lambda x: plain(layers.UpSampling2D(2)(sign(x))),
    "product": lambda x: plain(layers.Multiply()([sign(x), sign(x - 0.3)])),
    "dropout": lambda x: plain(layers.Dropout(0.5)(sign(x))),
    "nested network": nested,
    "code": Pieces(),
    "Lambda": lambda x: plain(layers.Lambda(where)(layers.ReLU()(x - 1.0))),
    "function": lambda x: plain(layers.ReLU()(x - 1.0), input_quantizer=where),
    "other function": lambda x: plain(
        layers.Lambda(where_above)(layers.ReLU()(x - 1.0))
    ),
    "function for the kernel": lambda x: plain(
        x, input_quantizer="ste_sign", kernel_quantizer=where
    ),
    "activation": lambda x: plain(plainly(x, activation=where)),
    "activation that is a layer": lambda x: plain(
        layers.Activation(lq.quantizers.SteSign())(plainly(x))
    ),
    "inline": lambda x: plain(lq.math.sign(x)),
    "padding before the sign": lambda x: plain(
        layers.ZeroPadding2D()(x), input_quantizer="ste_sign", padding="valid"
    ),
    "padding with ones": lambda x: plain(
        tf.pad(sign(x), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1.0)
    ),
    "dense": lambda x: dense(layers.Flatten()(sign(x))),
    "dense by itself": lambda x: dense(
        layers.Flatten()(x), input_quantizer="ste_sign", use_bias=False
    ),
    "dense of pixels": lambda x: dense(sign(x)),
    "dense of columns": lambda x: dense(
        layers.Reshape((42, 32))(x), input_quantizer="swish_sign"
    ),
    "dense of a binary layer": lambda x: dense(
        layers.GlobalMaxPool2D()(plainly(x)),
        input_quantizer="ste_sign",
        kernel_quantizer="magnitude_aware_sign",
        activation="relu",
    ),
}
# Signs padded with zeros: what that takes off is constant.
PADDED = {
    "padding": lambda x: plain(layers.ZeroPadding2D()(sign(x)), padding="valid"),
    "padding to one side": lambda x: plain(
        layers.ZeroPadding2D(((0, 1), (2, 0)))(sign(x)),
        padding="valid",
        strides=2,
        use_bias=True,
        bias_initializer="normal",
        activation="relu",
    ),
    "padding twice": lambda x: plain(layers.ZeroPadding2D()(sign(x))),
    "padding and ones": lambda x: plain(
        layers.ZeroPadding2D()(sign(x)), pad_values=1.0
    ),
    "padding and pooling": lambda x: plain(
        layers.MaxPool2D(2)(layers.ZeroPadding2D((2, 0))(sign(x)))
    ),
}


def plainly(x, **options):
    return nets.binary_convolution(33, padding="valid", **options)(x)


# Cases with another binary layer before the last one.
TWO = ("activation", "activation that is a layer", "dense of a binary layer")


def network(*makes):
    tf.keras.utils.set_random_seed(4)
    image = tf.keras.Input(SHAPE)
    outputs = [make(image) for make in makes]
    return nets.one_output(image, outputs), outputs


def assert_right(model, outputs, cases, num_binary):
    flatbuffer = convert(model)
    assert count_operators(flatbuffer)["LceBconv2d"] == num_binary
    images = nets.random_images(SHAPE)
    images[:, :3] = np.maximum(images[:, :3], 0)
    expected = nets.parts(model(images, training=False), outputs)
    for name in ("lce_indirect_xnnpack", "r2b_runtime"):
        found = nets.parts(nets.run(flatbuffer, images, name), outputs)
        for case, got, wanted in zip(cases, found, expected, strict=True):
            # Sums of signs are whole numbers; those of magnitudes are rounded.
            rtol = 1e-6 if case == "dense of a binary layer" else 0.0
            np.testing.assert_allclose(got, wanted, rtol, err_msg=f"{name}, {case}")


def test_signs_are_seen_wherever_they_come_from():
    model, outputs = network(*SIGNS.values())
    places = binary_flow.trace(model).places
    assert {place.values for place in places} == {Values.SIGNS}
    assert len(places) == len(SIGNS) + len(TWO)
    assert_right(model, outputs, SIGNS, len(places))


def test_a_network_that_is_code():
    model = Code()
    outputs = [model(tf.zeros((1, *SHAPE)))]
    assert [x.layer.name for x in binary_flow.trace(model).binary] == ["last"]
    assert_right(model, outputs, ["code"], 1)


def test_zeros_around_signs():
    model, outputs = network(*PADDED.values())
    places = binary_flow.trace(model).places
    assert {place.values for place in places} == {Values.SIGNS_AND_ZEROS}
    assert len(places) == len(PADDED) and all(x.padding.any() for x in places)
    assert_right(model, outputs, PADDED, len(places))


def steep(x):
    """A sign, but for the smallest numbers."""
    size = tf.where((x != 0) & (tf.abs(x) < 5e-5), 0.5, 1.0)
    return where(x) * size


def bent(x):
    """A sign, but for the largest numbers."""
    return where(x) * tf.maximum(1.0, tf.abs(x) - 4.0)


# What is not binary: the values, and why a conversion is refused, if it is.
OTHERS = {
    "real": (lambda x: plain(x), Values.REAL, None),
    "mean of signs": (
        lambda x: plain(layers.AveragePooling2D(2)(sign(x))),
        Values.REAL,
        None,
    ),
    "signs and real": (lambda x: plain(joined(sign(x), x)), Values.REAL, None),
    "tanh": (lambda x: plain(layers.Activation("tanh")(x)), Values.REAL, None),
    "signs of large images alone": (
        lambda x: plain(layers.Lambda(steep)(x)),
        Values.REAL,
        None,
    ),
    "signs of small images alone": (
        lambda x: plain(layers.Lambda(bent)(x)),
        Values.REAL,
        None,
    ),
    "ReLU of signs": (
        lambda x: plain(layers.ReLU()(sign(x))),
        Values.OTHER,
        "expected inputs of -1 and",
    ),
    "signs with zeros": (
        lambda x: plain(layers.Lambda(tf.sign)(x)),
        Values.SIGNS_AND_ZEROS,
        "they are -1, 0 and",
    ),
    # In one of the runs, whose images are small, they are all 0.
    "a threshold": (
        lambda x: plain(layers.Lambda(lambda y: tf.where(y >= 0.3, 1.0, 0.0))(x)),
        Values.OTHER,
        "expected inputs of -1 and",
    ),
    "another threshold": (
        lambda x: plain(layers.Lambda(lambda y: tf.where(y >= 0.3, 0.5, -0.5))(x)),
        Values.OTHER,
        "expected inputs of -1 and",
    ),
    "a ternary quantizer": (
        lambda x: nets.binary_convolution(
            4, input_quantizer=lq.quantizers.SteTern(threshold_value=0.5)
        )(x),
        Values.SIGNS_AND_ZEROS,
        "they are -1, 0 and",
    ),
    "nothing": (
        lambda x: plain(layers.Lambda(tf.zeros_like)(x)),
        Values.REAL,
        None,
    ),
    "a dense layer that does more": (
        lambda x: More(5, **nets.BINARY)(layers.Flatten()(x)),
        Values.SIGNS,
        "expected larq's own QuantConv2D or QuantDense",
    ),
    "padding of a dense layer": (
        lambda x: dense(layers.Flatten()(layers.ZeroPadding2D()(sign(x)))),
        Values.SIGNS_AND_ZEROS,
        "they are -1, 0 and",
    ),
    "sum of signs": (
        lambda x: plain(layers.Add()([sign(x), sign(x - 0.3)])),
        Values.REAL,
        None,
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_sign(case):
    make, values, problem = OTHERS[case]
    model, _ = network(make)
    (place,) = binary_flow.trace(model).places
    assert place.values is values
    if problem is None:
        assert binary_flow.trace(model).binary == ()
        assert verify(model, convert(model), nets.random_images(SHAPE)).accepted
    else:
        with pytest.raises(InputError, match=f"Layer '.*' .* is binary.*{problem}"):
            convert(model)


def test_what_takes_signs():
    image = tf.keras.Input(SHAPE)
    x = lq.quantizers.ApproxSign(name="first")(image)
    x = layers.Dropout(0.5)(layers.MaxPool2D(2)(x))
    x = nets.binary_convolution(4, name="again")(x)
    x = layers.Lambda(where, name="third")(nets.batch_norm()(x))
    x = nets.binary_convolution(4, input_quantizer=tf.tanh, name="tanh")(x)
    x = nets.binary_convolution(4, input_quantizer=where, name="fifth")(x)
    model = tf.keras.Model(image, plain(layers.Lambda(tf.sign)(x)))
    takers = [layer.name for layer in binary_flow.trace(model).sign_takers]
    assert takers == ["first", "third", "fifth"]


@pytest.mark.parametrize("sign_layer", [lq.quantizers.SteSign(), layers.Lambda(where)])
def test_signs_of_few_values(sign_layer):
    """A sum of two signs is -2, 0 or 2, whatever the image."""
    image = tf.keras.Input((4, 5, 2))
    x = nets.binary_convolution(33, 1, "valid", name="first")(image)
    model = nets.one_output(image, [plain(sign_layer(x), padding="valid")])
    flow = binary_flow.trace(model)
    assert [x.name for x in flow.sign_takers] == ["first", sign_layer.name]
    assert [x.values for x in flow.places] == [Values.SIGNS] * 2
    assert count_operators(convert(model))["LceQuantize"] == 1


def test_observing_leaves_no_trace():
    model, _ = network(SIGNS["from a layer"])
    layer, images = model.layers[2], nets.random_images(SHAPE)
    before = dict(vars(layer)), model.predict_on_batch(images)
    convert(model)
    assert vars(layer).keys() == before[0].keys()
    np.testing.assert_array_equal(model.predict_on_batch(images), before[1])

    def fails(layer, call, *args):
        raise ArithmeticError

    with pytest.raises(ArithmeticError), graph.around([layer], fails):
        layer(images)
    assert "call" not in vars(layer)


@pytest.mark.parametrize(
    ("quantizer", "expected"),
    [
        *((lq.quantizers.get(x), True) for x in ("ste_sign", "swish_sign")),
        *((function, True) for function in (where, lq.math.sign)),
        *((function, False) for function in (tf.sign, where_above, tf.tanh, None)),
        *((lq.quantizers.get(x), False) for x in ("ste_heaviside", "ste_tern")),
        (lq.quantizers.get("magnitude_aware_sign"), False),
        (lambda x: tf.where(x >= [0.0, 1.0], 1.0, -1.0), False),
    ],
)
def test_functions_that_take_signs(quantizer, expected):
    assert binary_flow.takes_sign(quantizer) is expected


class SignInCode(tf.keras.Model):
    def __init__(self, function):
        super().__init__()
        self.function = function
        self.last = lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign")

    def call(self, inputs):
        return layers.Flatten()(self.last(self.function(inputs)))


def test_a_sign_in_code_that_has_zeros():
    """Only zeros tell it from larq's."""
    for function, values in ((tf.sign, Values.SIGNS_AND_ZEROS), (where, Values.SIGNS)):
        model = SignInCode(function)
        model(tf.zeros((1, *SHAPE)))
        (place,) = binary_flow.trace(model).places
        assert place.values is values and place.padding is None


def test_a_frozen_batch_norm_infers_even_so():
    norm = nets.batch_norm(trainable=False)
    model, outputs = network(
        lambda x: nets.binary_convolution(3)(norm(x, training=True))
    )
    assert_right(nets.randomize(model), outputs, ["frozen"], 1)
