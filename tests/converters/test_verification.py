"""What is accepted, by numbers, of made-up networks."""

from types import SimpleNamespace

import numpy as np
import pytest

from r2b_keras import converters
from r2b_keras.board import pictures
from r2b_keras.converters import (
    convert,
    pixels,
    sign_proof,
    sign_taps,
    tflite_file,
    verification,
)
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation
from tests.converters.binary_networks import binary_convolution, random_images

layers = tf.keras.layers
SHAPE = (2, 8, 1)
NUM_CLASSES = 4


def images(num):
    """Values of -1 and +1: far from every threshold, of root mean square 1."""
    signs = np.random.default_rng(2).choice(np.array([-1, 1], np.float32), num * 16)
    return signs.reshape(num, *SHAPE)


def two_signs(offset=3.0, factor=1.0):
    """Takes signs of the image, and of the image less an offset."""
    tf.keras.utils.set_random_seed(5)
    image = tf.keras.Input(SHAPE)
    first = binary_convolution(1, 1, name="first")(image)
    moved = layers.Rescaling(1.0, offset=-offset)(image)
    second = binary_convolution(1, 1, name="second")(moved)
    x = layers.Dense(NUM_CLASSES)(layers.Flatten()(layers.add([first, second])))
    model = tf.keras.Model(image, x, name="made_up")
    model.layers[-1].set_weights([factor * w for w in model.layers[-1].get_weights()])
    return model


@pytest.fixture(scope="module")
def model():
    return two_signs()


@pytest.fixture(scope="module")
def exact(model):
    return convert(model)


def test_equal_scores_are_accepted(model, exact):
    found = verification.verify(model, exact, images(5))
    assert found.accepted and found.differences == ()
    assert (found.agreement, found.num_images, found.num_different) == (1.0, 5, 0)
    first, second, last = found.to_text().splitlines()
    told = "5 images, engine r2b_runtime: top-1 agreement 100.00%, largest"
    assert first.startswith(told)
    assert (second, last) == ("5 agree to rounding, 0 differ by more", "accepted")


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("share", "explains"), [(7e-5, True), (1.4e-4, False)])
def test_a_sign_next_to_its_threshold_explains_a_difference(
    model, share, explains, side
):
    """The file's threshold, a network's own but for that, is off by so much.

    Of the image less 3, the root mean square is that of -2 and -4, as far as the few
    pixels of the image and of made-up ones tell.
    """
    margin = share * np.sqrt(10)
    file = convert(two_signs(3 + side * margin))
    x = images(40)
    # By Keras on the threshold or a margin below it, by the file the other way round.
    x[2, 1, 5] = 3 if side > 0 else np.float32(3 - margin)
    found = verification.verify(model, file, x)
    assert (found.num_different, found.accepted) == (1, explains)
    (difference,) = found.differences
    assert (difference.image, difference.num_decisions) == (2, 1)
    assert (difference.layer, difference.explained) == ("second", explains)
    assert difference.difference > 0.01 > 1e-5 > difference.remaining
    assert difference.margin == pytest.approx(share, rel=0.25)
    lines = found.to_text().splitlines()
    if explains:
        assert "; 1 sign or rounding turned, " in lines[-2]
        assert lines[-2].endswith(" from its threshold in second; with it Keras agrees")
    else:
        assert lines[-2].endswith("by rounding: second decides otherwise than Keras")
    assert lines[-1] == ("accepted" if explains else "REJECTED")


def test_margins_are_shares_of_their_channel():
    values = np.float32([[[1e-3, 100]], [[-1e-3, -100]]])
    np.testing.assert_allclose(sign_proof._margins(values), 1, rtol=1e-6)


def test_one_turned_sign_is_no_turned_channel():
    """As it would be in a channel of one value without the made-up images."""

    def network(offset):
        tf.keras.utils.set_random_seed(5)
        image = tf.keras.Input((1, 1, 2))
        moved = layers.Rescaling(1.0, offset=-offset)(image)
        total = layers.add([binary_convolution(3, 1)(x) for x in (image, moved)])
        return tf.keras.Model(image, layers.Dense(4)(layers.Flatten()(total)))

    x = np.float32([3, -1]).reshape(1, 1, 1, 2)
    found = verification.verify(network(3), convert(network(3 + 1e-5)), x)
    assert found.num_different == 1 and found.accepted


@pytest.mark.parametrize(
    ("turned", "said"),
    [
        (0, "Keras itself gives these in a batch of another size"),
        (
            3,
            "3 signs or roundings turned, one 1.0e-07 from its threshold in second",
        ),
    ],
)
def test_what_turned_is_said(turned, said):
    why = {"num_decisions": turned, "layer": "second", "margin": 1e-7}
    scores = {"difference": 0.05, "keras_class": 1, "flatbuffer_class": 2}
    found = verification.Difference(4, **scores, **why, remaining=0, explained=True)
    counts = {"num_different": 1, "differences": (found,)}
    text = verification.Verification("lce", 9, 1, 0.05, 3, **counts).to_text()
    assert f"  image 4: scores differ by 0.05, class 1 and 2; {said}" in text
    assert text.endswith("accepted")


def test_an_explained_image_may_change_its_class(model):
    file = convert(two_signs(3 + 1e-5))
    x = np.repeat(images(1), 300, 0)
    x[150:, 1, 5] = 3
    x[:, 0] *= np.random.default_rng(0).choice([-1, 1], (300, 8, 1))
    found = verification.verify(model, file, x.astype(np.float32))
    changed = [d for d in found.differences if d.keras_class != d.flatbuffer_class]
    assert len(changed) > 5 and found.num_different == 150
    assert found.accepted
    assert found.agreement == pytest.approx(1 - len(changed) / 300)
    assert [d.image for d in found.differences] == list(range(150, 300))
    assert f"  and {found.num_different - 5} more" in found.to_text()


def test_a_value_at_its_threshold_explains_nothing_else(model):
    """Every image has one, but the classifier is another."""
    x = images(40)
    x[:, 1, 5] = 3
    found = verification.verify(model, convert(two_signs(3 + 1e-5, factor=0.7)), x)
    assert (found.num_different, found.accepted) == (40, False)
    # It stops at the first ones, and says so.
    assert 0 < len(found.differences) < 40
    first = found.differences[0]
    assert first.margin < verification.THRESHOLD_ROUNDING and not first.explained
    assert first.remaining > 0.1 * first.difference
    assert "not by rounding: " in found.to_text()
    assert " with the same decisions everywhere\nREJECTED" in found.to_text()


def test_zeros_explain_no_signs_of_values_that_are_none():
    """Black pixels are at a threshold in Keras, exactly, and far below in the file."""

    def network(bias):
        tf.keras.utils.set_random_seed(5)
        image = tf.keras.Input((4, 4, 1))
        convolution = layers.Conv2D(8, 1, bias_initializer=constant(bias))
        x = binary_convolution(8)(convolution(image))
        x = layers.Dense(3)(layers.Flatten()(x))
        built = tf.keras.Model(image, x)
        built.layers[1].kernel.assign(tf.fill([1, 1, 1, 8], 10.0))
        return built

    constant = tf.keras.initializers.Constant
    x = np.random.default_rng(0).choice(np.float32([-1, 0, 1]), (30, 4, 4, 1))
    for bias, accepted in ((-0.3, False), (-1e-5, True)):
        found = verification.verify(network(0.0), convert(network(bias)), x)
        assert found.num_different > 25 and found.accepted == accepted


@pytest.mark.parametrize(
    ("keras", "file", "accepted"),
    [(0, -1, False), (2 - 1e-6, 2, True), (2 - 1e-2, 2, False)],
)
def test_whole_numbers_at_their_threshold_are_not_rounded(keras, file, accepted):
    """Sums of 144 signs are even; a bias of -1 moves the threshold past 0 alone.

    Where Keras has exactly 0, so has the file: nothing has been rounded.
    """

    def network(bias):
        tf.keras.utils.set_random_seed(5)
        image = tf.keras.Input((6, 6, 16))
        options = {"use_bias": True, "padding": "valid"}
        first = binary_convolution(
            16, bias_initializer=tf.keras.initializers.Constant(bias), **options
        )
        x = binary_convolution(16)(first(image))
        return tf.keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))

    content = convert(network(file))
    # The first one's output goes to the second one without becoming real.
    assert tflite_file.count_operators(content)["LceQuantize"] == 1
    found = verification.verify(network(keras), content, random_images((6, 6, 16), 20))
    assert found.num_different == 20 and found.accepted == accepted
    assert found.differences[0].num_decisions > 1


def as_code(model):
    class Code(tf.keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = model

        def call(self, inputs):
            return self.inner(inputs)

    return Code()


def nested(model):
    image = tf.keras.Input(SHAPE)
    return tf.keras.Model(image, model(image))


def of_a_function(model):
    """All of it in a layer that is a function of TensorFlow's."""

    class Function(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = model

        @tf.function
        def call(self, inputs):
            return self.inner(inputs)

    image = tf.keras.Input(SHAPE)
    return tf.keras.Model(image, Function()(image))


def of_quantizers(model):
    """The same network with its signs taken by layers and by an activation."""
    image = tf.keras.Input(SHAPE)
    first = lq.quantizers.SteSign()(image)
    second = layers.Activation(lq.quantizers.SteSign())(model.layers[1](image))
    total = layers.add(
        [
            plain(model.get_layer("first"))(first),
            plain(model.get_layer("second"))(second),
        ]
    )
    return tf.keras.Model(image, model.layers[-1](layers.Flatten()(total)))


def of_an_activation(model):
    """One of its signs is the activation of the layer before."""
    image = tf.keras.Input(SHAPE)
    moving = layers.Conv2D(1, 1, activation=lq.quantizers.SteSign())
    second = plain(model.get_layer("second"))(moving(image))
    moving.set_weights([np.ones((1, 1, 1, 1)), np.array([-3.0])])
    total = layers.add([model.get_layer("first")(image), second])
    return tf.keras.Model(image, model.layers[-1](layers.Flatten()(total)))


def plain(layer):
    """A convolution whose signs are taken before it."""
    new = binary_convolution(1, 1, input_quantizer=None)
    new.build((None, *SHAPE))
    new.set_weights(layer.get_weights())
    return new


def exchangeable(model):
    return [
        [vars(layer).get(name) for name in ("call", "activation", "input_quantizer")]
        for layer in model.submodules
    ]


@pytest.mark.parametrize(
    "make", [as_code, nested, of_a_function, of_quantizers, of_an_activation]
)
def test_signs_are_followed_wherever_they_are_taken(model, make):
    file = convert(two_signs(3 + 1e-5))
    x = images(20)
    x[3, 0, 0] = 3
    wrapped = make(model)
    before = exchangeable(wrapped)
    found = verification.verify(wrapped, file, x)
    assert found.accepted and [d.image for d in found.differences] == [3]
    # The network is left as it was.
    assert exchangeable(wrapped) == before
    assert not verification.verify(wrapped, convert(two_signs(3.1)), x).accepted


@pytest.mark.parametrize("shape", [(2, 8, 3), (2, 9, 1), (8, 1)])
def test_images_of_another_shape(model, shape):
    with pytest.raises(InputError, match=r"have the shape .*, expected \(2, 8, 1\)"):
        verification.Reference(model, np.zeros((3, *shape), np.float32))


def test_a_network_of_one_score():
    model = tf.keras.Sequential([tf.keras.Input(SHAPE), layers.Flatten()])
    model.add(layers.Dense(1))
    with pytest.raises(InputError, match="one score, expected .*with_two_outputs"):
        verification.Reference(model, images(3))
    verification.Reference(converters.with_two_outputs(model), images(3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_thresholds_that_are_no_numbers_explain_nothing(value):
    """The file's values before a sign, where engines take one of them all the same."""
    values = np.float32([-1, 1, -2, 2]).reshape(1, 2, 2)
    broken = values.copy()
    broken[0, 0] = value
    tap = sign_taps.Tap(broken, real=True)
    follower = sign_proof._Follower([tap], [], 1)
    follower.signs("x", values)
    assert follower.num_decisions[0] > 0 and follower.margins == [np.inf]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_keras_scores_that_are_no_numbers(model, value):
    x = images(3)
    x[1, 0, 0] = value
    last = model.layers[-1]
    weights = last.get_weights()
    last.set_weights([weights[0] * value, weights[1]])
    with pytest.raises(InputError, match="Keras network gives scores that are not"):
        verification.Reference(model, x)
    last.set_weights(weights)


def test_whole_numbers_that_are_no_neighbours_are_not_rounded():
    """1 lies half way between 0 and 2, but is no threshold of theirs."""
    steps = np.float32([0.5, 1.0, 3.2, 4.1]).reshape(1, 1, 4)
    own = np.float32([0, 0, 3, 4]).reshape(1, 1, 4)
    for other, explained in ((1, True), (2, False)):
        quantized = own.copy()
        quantized[0, 0, other - 1] = other
        rounding = sign_taps.Rounding(steps, quantized)
        follower = sign_proof._Follower([], [rounding], 1)
        np.testing.assert_array_equal(follower.whole("x", steps, own), quantized)
        assert follower.num_decisions == [1]
        assert follower.margins == [0 if explained else np.inf]


@pytest.mark.parametrize(("offset", "is_whole"), [(5e-5, True), (2e-4, False)])
def test_images_between_two_pixels_are_not_taken_for_one(offset, is_whole):
    """A level is 1 / 255 / 0.376 = 0.0104: a fiftieth of it is no rounding."""
    normalisation = Normalisation((0.305,), (0.376,))
    engine = SimpleNamespace(takes_pixels=True)
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    exact = pictures.normalize(levels, normalisation)
    found = pixels.for_engine(engine, exact, normalisation)
    np.testing.assert_array_equal(found, levels)
    moved = exact + np.float32(offset)
    if is_whole:
        found = pixels.for_engine(engine, moved, normalisation)
        np.testing.assert_array_equal(found, levels)
        return
    with pytest.raises(InputError, match="the images are not made of whole ones"):
        pixels.for_engine(engine, moved, normalisation)
