"""What is accepted, by numbers: made-up scores, and a trained network on digits."""

import numpy as np
import pytest
from small_flatbuffers import changed, refusal

from r2b_keras.converters import engines, sources, tflite_file, verification
from r2b_keras.converters.real_weights import shrink
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (2, 8, 1)
NUM_CLASSES = 4


def binary_layer(name, **options):
    return lq.layers.QuantConv2D(
        1,
        1,
        use_bias=False,
        name=name,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        **options,
    )


@pytest.fixture(scope="module")
def model():
    """Takes signs of the image, and of the image less 3."""
    image = tf.keras.Input(SHAPE)
    first = binary_layer("first")(image)
    second = binary_layer("second")(layers.Rescaling(1.0, offset=-3.0)(image))
    x = layers.Dense(NUM_CLASSES)(layers.Flatten()(layers.add([first, second])))
    return tf.keras.Model(image, x, name="made_up")


def images(num):
    """Values of -1 and +1: far from every threshold, of root mean square 1."""
    signs = np.random.default_rng(2).choice(np.array([-1, 1], np.float32), num * 16)
    return signs.reshape(num, *SHAPE)


def scores(num, largest=1024.0):
    """Class 1 is the best one by far, class 0 the last."""
    found = np.zeros((num, NUM_CLASSES), np.float32)
    found[:, 1] = largest
    found[:, 2] = largest / 2
    return found


def compare(model, expected, converted, kind="float32", x=None):
    x = images(len(expected)) if x is None else x
    return verification.compare(model, x, expected, converted, "made up", kind)


def test_equal_scores_are_accepted(model):
    found = compare(model, scores(5), scores(5))
    assert found.accepted and found.differences == ()
    assert (found.agreement, found.largest_difference) == (1.0, 0.0)
    assert (found.num_images, found.largest_score) == (5, 1024.0)
    assert found.to_text() == (
        "5 images, engine made up: top-1 agreement 100.00% (at least 99.9% wanted), "
        "largest difference 0 of scores up to 1.02e+03\naccepted"
    )


def test_the_tolerance_is_a_share_of_the_largest_score(model):
    """1e-4 of 1024, to the last digit of float32, whatever its sign."""
    limit = np.float32(verification.ROUNDING * 1024)
    while float(limit) > verification.ROUNDING * 1024:
        limit = np.nextafter(limit, np.float32(0))
    for value, within in (
        (limit, True),
        (-limit, True),
        (np.nextafter(limit, np.float32(1)), False),
        (-np.nextafter(limit, np.float32(1)), False),
    ):
        converted = scores(3)
        converted[2, 0] = value
        found = compare(model, scores(3), converted)
        assert found.accepted == within
        assert found.largest_difference == abs(value)
        assert [d.image for d in found.differences] == ([] if within else [2])
    # The largest score may be negative, or that of another image.
    converted = -scores(3)
    converted[2, 0] = limit
    assert compare(model, -scores(3), converted).accepted
    assert compare(model, np.zeros((1, 4)), np.zeros((1, 4))).accepted
    assert not compare(model, np.zeros((1, 4)), np.full((1, 4), 1e-20)).accepted


@pytest.mark.parametrize(
    ("kind", "most"), [("float32", 1), ("float16", 20), ("int8", 20)]
)
def test_agreement_that_is_wanted(model, kind, most):
    """Of 1000 images: classes 1 and 3 are a tie by all that rounding leaves."""
    expected = scores(1000)
    expected[:, 3] = 1023.95
    for num in (most, most + 1):
        converted = expected.copy()
        converted[:num, 3] = 1024.02
        found = compare(model, expected, converted, kind)
        assert found.agreement == 1 - num / 1000
        assert found.accepted == (num == most)
        assert f"top-1 agreement {found.agreement:.2%}" in found.to_text()
        assert found.to_text().endswith("accepted" if num == most else "REJECTED")


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_rounded_weights_may_change_scores_but_not_classes(model, kind):
    converted = scores(100)
    converted[:, 0] = 500
    found = compare(model, scores(100), converted, kind)
    assert found.accepted and found.differences == ()
    assert found.largest_difference == 500
    converted[7] = converted[7, ::-1]
    found = compare(model, scores(100), converted, kind)
    ((image, keras, other, layer),) = [
        (d.image, d.keras_class, d.flatbuffer_class, d.layer) for d in found.differences
    ]
    assert (image, keras, other, layer) == (7, 1, 2, None)


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 1])
def test_scores_that_are_no_numbers_are_rejected(model, kind, value, column):
    """Also where the best class stays, and an activation is at its threshold."""
    x = images(100)
    x[3, 0, 0] = 0
    converted = scores(100)
    converted[3, column] = value
    found = compare(model, scores(100), converted, kind, x)
    assert not found.accepted and found.to_text().endswith("REJECTED")
    with pytest.raises(InputError, match="Keras network gives scores that are not"):
        compare(model, converted, scores(100), kind)


def different(model, x, numbers):
    """Compares where these images differ by half the largest score."""
    converted = scores(len(x))
    converted[numbers, 0] = 512
    return compare(model, scores(len(x)), converted, x=x)


def test_a_difference_without_a_cause_is_rejected(model):
    found = different(model, images(2000), [3])
    assert found.agreement == 1.0 and not found.accepted
    ((difference),) = found.differences
    assert (difference.image, difference.layer, difference.difference) == (3, None, 512)
    assert "1 differ by more than rounding without one: images 3\n" in found.to_text()


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize(("share", "explains"), [(0.9, True), (1.1, False)])
def test_an_activation_at_its_threshold_explains_a_difference(
    model, share, explains, sign
):
    """Next to 0 by a millionth of the map's root mean square, which is 1."""
    x = images(4)
    margin = np.float32(share * verification.THRESHOLD_ROUNDING)
    x[2, 1, 5] = sign * margin
    # Another image's activation explains nothing.
    x[0, 1, 5] = 0
    found = different(model, x, [2])
    assert found.accepted == explains
    (difference,) = found.differences
    assert difference.layer == ("first" if explains else None)
    if explains:
        # 15 of the 16 values are 1.
        expected = margin / np.sqrt(15 / 16)
        assert difference.margin == pytest.approx(expected, rel=1e-5)
        text = "class 1 and 1, first is 9.3e-07 from it"
        assert f"image 2: 5.1e+02, {text}" in found.to_text()


def test_the_first_layer_with_a_cause_is_named(model):
    x = images(3)
    x[0, 0, 0], x[1, 0, 0] = 3, 0
    x[2, 0, 0], x[2, 0, 1] = 3, 0
    found = different(model, x, [0, 1, 2])
    assert [d.layer for d in found.differences] == ["second", "first", "first"]
    assert [d.margin for d in found.differences] == [0, 0, 0]
    assert found.accepted


def test_images_keep_their_numbers_over_batches(model):
    numbers = [0, 99, 100, 199, 250]
    x = images(301)
    x[numbers[1:], 1, 1] = 0
    found = different(model, x, numbers)
    assert [d.image for d in found.differences] == numbers
    assert [d.layer for d in found.differences] == [None, *["first"] * 4]
    assert not found.accepted


def test_many_differences_are_counted(model):
    x = images(20)
    x[:12, 0, 0] = 0
    text = different(model, x, np.arange(20)).to_text()
    assert "12 of them differ by more than rounding" in text
    assert text.count("  image ") == 5 and "and 7 more" in text
    assert (
        "8 differ by more than rounding without one: images 12, 13, 14, 15, 16\n"
        in text
    )
    assert text.endswith("REJECTED")


def test_a_network_that_is_code_explains_nothing(model):
    class Code(tf.keras.Model):
        def call(self, inputs):
            return model(inputs)

    x = images(2)
    x[0, 0, 0] = 0
    assert not different(Code(), x, [0]).accepted


@pytest.fixture(scope="module")
def digits(finished, converted):
    """A trained network, the flatbuffer that the command made, and all test images."""
    source = sources.from_workdir(finished[0])
    dataset = sources.data.load(sources.recipes.get("digits").data)
    (batch,) = dataset.test(359).as_numpy_iterator()
    return source.model, tflite_file.read_bytes(converted[0]), batch[0]


@pytest.mark.slow
@pytest.mark.parametrize("engine", [None, *engines.NAMES[1:4], "r2b_runtime"])
def test_digits_agree_in_every_engine(digits, engine):
    """All 359 images; a few have an activation that is exactly at its threshold."""
    model, flatbuffer, x = digits
    found = verification.verify(model, flatbuffer, x, engine)
    assert found.engine == (engine or "lce") and found.num_images == 359
    assert found.accepted and found.agreement >= 0.999
    assert len(found.differences) < 10
    for difference in found.differences:
        assert difference.layer.endswith("_conv")
    exact = np.delete(x, [d.image for d in found.differences], axis=0)
    found = verification.verify(model, flatbuffer, exact, engine)
    assert found.differences == ()
    # Far within the tolerance: float32's roundings of some 60 operators.
    assert found.largest_difference < 1e-5 * found.largest_score


def flip(flatbuffer, number, seed):
    """One bit of one filter of a binary convolution."""

    def change(model, graph):
        convolutions = [
            operator
            for operator in graph.operators
            if tflite_file.operator_name(model, operator) == "LceBconv2d"
        ]
        assert len(convolutions) == 4
        tensor = graph.tensors[convolutions[number].inputs[1]]
        buffer = model.buffers[tensor.buffer]
        filters = np.array(buffer.data, np.uint8).view("<i4")
        filters = filters.reshape(tflite_file.shape(tensor))
        generator = np.random.default_rng(seed)
        place = tuple(generator.integers(size) for size in filters.shape)
        # The first 8 bits are in use, as channels go in.
        filters[place] ^= 1 << generator.integers(8)
        buffer.data = filters.view(np.uint8).ravel()

    return changed(flatbuffer, change)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_one_wrong_bit_of_a_filter_is_rejected(digits, number):
    """One of thousands: most best classes stay, and a loose tolerance would pass it."""
    model, flatbuffer, x = digits
    x = x[:100]
    found = verification.verify(model, flip(flatbuffer, number, number), x)
    assert not found.accepted
    assert found.agreement > 0.6
    assert found.largest_difference < 0.5 * found.largest_score
    unexplained = [d for d in found.differences if d.layer is None]
    assert len(unexplained) > 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_rounded_weights_on_digits(digits, kind):
    """The same classes; judged as if it were exact, an int8 file would be rejected.

    (Whether a float16 one would depends on how near to a threshold some activation is.)
    """
    model, flatbuffer, x = digits
    small = shrink(flatbuffer, kind)
    found = verification.verify(model, small, x, real_weights=kind)
    assert found.agreement > 0.95 and found.accepted == (found.agreement >= 0.98)
    assert found.largest_difference < 0.05 * found.largest_score
    assert "(at least 98.0% wanted)" in found.to_text()
    unrounded = verification.verify(model, flatbuffer, x)
    assert found.largest_difference > 10 * unrounded.largest_difference
    if kind == "int8":
        exact = verification.verify(model, small, x)
        assert not exact.accepted
        assert any(difference.layer is None for difference in exact.differences)


@pytest.mark.slow
def test_images_that_cannot_be_compared(digits):
    model, flatbuffer, x = digits
    message = refusal(verification.verify, model, flatbuffer, x[:0])
    assert "no images to verify with" in message
    message = refusal(verification.verify, model, flatbuffer, x[:, 1:])
    assert "The images have the shape (359, 7, 8, 1)" in message
    assert "no engine 'gpu'" in refusal(
        verification.verify, model, flatbuffer, x, engine="gpu"
    )
