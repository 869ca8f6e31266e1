"""Loss functions against NumPy in float64, SciPy and numbers worked out by hand.

Values: float32 sums of at most a hundred terms, so a relative error of 1e-5 is a
generous bound. Gradients: the same, plus 1e-9 of the central differences.
"""

import numpy as np
import pytest
import scipy.special
from numeric_gradients import numeric_gradient
from numpy_losses import (
    numpy_attention,
    numpy_cross_entropy,
    numpy_logit_matching,
    numpy_map,
)

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import losses

FORMS = ("norm", "squared_mean", "max_normalised")
# Odd sizes, no two alike, more than one image.
SHAPES = ((2, 3, 5, 4), (2, 5, 1, 3))


def feature_maps(seed, channels=None):
    """Activations of both signs with a share of exact zeros, one array a tap."""
    generator = np.random.default_rng(seed)
    maps = []
    for *shape, own_channels in SHAPES:
        values = generator.normal(size=(*shape, channels or own_channels))
        values[generator.random(values.shape) < 0.2] = 0.0
        maps.append(values.astype(np.float32))
    return maps


def attention_gradient(students, teachers, form):
    """TensorFlow's value `[B]` and its gradients by student and by teacher."""
    students = [tf.constant(s) for s in students]
    teachers = [tf.constant(t) for t in teachers]
    with tf.GradientTape() as tape:
        tape.watch([students, teachers])
        value = losses.attention_matching(students, teachers, form)
    by_student, by_teacher = tape.gradient(value, [students, teachers])
    return value.numpy(), by_student, by_teacher


def test_attention_map_by_hand():
    features = [[[[1.0, -2.0], [0.0, 0.0], [3.0, 0.5]]]]
    np.testing.assert_array_equal(losses.attention_map(features), [[5.0, 0.0, 9.25]])


def test_attention_map_flattens_rows_first():
    features = feature_maps(0)[0]
    result = losses.attention_map(features)
    assert result.shape == (2, 15)
    np.testing.assert_allclose(result, numpy_map(features), rtol=1e-6)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        # Maps (3, 4) and (4, 3): divided by 5 they differ by (-0.2, 0.2), divided by
        # their maximum by (-0.25, 0.25).
        ("norm", np.sqrt(0.08)),
        ("squared_mean", 0.04),
        ("max_normalised", 0.0625),
    ],
)
def test_attention_by_hand(form, expected):
    student = np.sqrt([[[[3.0], [4.0]]]]) * -1.0
    teacher = np.sqrt([[[[4.0], [3.0]]]])
    result = losses.attention_matching([student], [teacher], form)
    np.testing.assert_allclose(result, [expected], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_attention_matching_against_numpy(form):
    """Over two taps; the teacher may have other channels."""
    students, teachers = feature_maps(1, channels=3), feature_maps(2, channels=7)
    result = losses.attention_matching(students, teachers, form)
    assert result.dtype == tf.float32
    expected = numpy_attention(students, teachers, form)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    if form == "norm":
        default = losses.attention_matching(students, teachers)
        np.testing.assert_array_equal(default, result)


def test_eq_2_does_not_see_the_size_of_activations():
    students, teachers = feature_maps(1), feature_maps(2)
    value = losses.attention_matching(students, teachers)
    scaled = losses.attention_matching([100.0 * s for s in students], teachers)
    np.testing.assert_allclose(scaled, value, rtol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_attention_gradient_against_central_differences(form):
    students, teachers = feature_maps(3), feature_maps(4)
    _, by_student, by_teacher = attention_gradient(students, teachers, form)
    assert by_teacher == [None, None], "the teacher must not be differentiated"
    for tap in range(2):

        def total(values, tap=tap):
            replaced = [*students[:tap], values, *students[tap + 1 :]]
            return numpy_attention(replaced, teachers, form).sum()

        expected = numeric_gradient(total, students[tap])
        np.testing.assert_allclose(by_student[tap], expected, rtol=1e-3, atol=1e-6)
        zeros = students[tap] == 0.0
        assert zeros.any()
        np.testing.assert_array_equal(by_student[tap].numpy()[zeros], 0.0)


def test_eq_2_gradient_against_its_closed_form():
    """With u = Q_S / ||Q_S||: (g - (g.u) u) / ||Q_S|| * 2 A, g the unit difference."""
    students, teachers = feature_maps(3), feature_maps(4)
    _, by_student, _ = attention_gradient(students, teachers, "norm")
    for student, teacher, gradient in zip(students, teachers, by_student, strict=True):
        q_s, q_t = numpy_map(student), numpy_map(teacher)
        norm = np.linalg.norm(q_s, axis=1, keepdims=True)
        u = q_s / norm
        g = u - q_t / np.linalg.norm(q_t, axis=1, keepdims=True)
        g /= np.linalg.norm(g, axis=1, keepdims=True)
        by_map = (g - (g * u).sum(1, keepdims=True) * u) / norm
        expected = by_map.reshape(*student.shape[:3], 1) * 2.0 * student
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("silent", ["student", "teacher", "both"])
def test_all_zero_map_has_finite_value_and_gradient(form, silent):
    students, teachers = feature_maps(5), feature_maps(6)
    if silent in ("student", "both"):
        students[0][1] = 0.0
    if silent in ("teacher", "both"):
        teachers[0][1] = 0.0
    value, by_student, _ = attention_gradient(students, teachers, form)
    assert np.isfinite(value).all()
    assert all(np.isfinite(gradient).all() for gradient in by_student)
    # The other image of the batch is as it would be alone.
    expected = numpy_attention(
        [s[:1] for s in students], [t[:1] for t in teachers], form
    )
    np.testing.assert_allclose(value[:1], expected, rtol=1e-5)


def test_zero_map_against_a_map_is_one():
    """Eq. 2 with Q_S / ||Q_S|| taken as 0: what is left has the norm 1."""
    teacher = feature_maps(6)[0]
    value = losses.attention_matching([np.zeros_like(teacher)], [teacher])
    np.testing.assert_allclose(value, [1.0, 1.0], rtol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_equal_maps_have_no_distance_and_a_finite_gradient(form):
    students = feature_maps(7)
    value, by_student, _ = attention_gradient(students, [-s for s in students], form)
    # Eq. 2 is kept at 1e-6 a tap, where its root still has a slope.
    np.testing.assert_allclose(value, 0.0, atol=2.1e-6)
    for gradient in by_student:
        np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_half_precision_features_are_measured_in_float32(dtype):
    # Squares of 300 overflow float16, whose largest number is 65504.
    students = [tf.cast(300.0 * s, dtype) for s in feature_maps(1)]
    teachers = [tf.cast(t, dtype) for t in feature_maps(2)]
    result = losses.attention_matching(students, teachers)
    assert result.dtype == tf.float32
    exact = [
        [tf.cast(f, tf.float32).numpy() for f in fs] for fs in (students, teachers)
    ]
    np.testing.assert_allclose(result, numpy_attention(*exact, "norm"), rtol=1e-5)


def test_attention_errors_say_what_came():
    maps = feature_maps(1)
    with pytest.raises(InputError, match=r"'cosine'.*norm, squared_mean"):
        losses.attention_matching(maps, maps, "cosine")
    with pytest.raises(InputError, match="2 feature maps of the student and 1 of"):
        losses.attention_matching(maps, maps[:1])
    with pytest.raises(InputError, match="at least one"):
        losses.attention_matching([], [])


def random_logits(seed, scale=3.0):
    generator = np.random.default_rng(seed)
    return generator.normal(scale=scale, size=(4, 7)).astype(np.float32)


def test_logit_matching_by_hand():
    # Teacher (3/4, 1/4), student (1/2, 1/2): 0.75 ln 1.5 + 0.25 ln 0.5.
    teacher = np.log([[3.0, 1.0]])
    result = losses.logit_matching(np.zeros((1, 2)), teacher)
    np.testing.assert_allclose(result, [0.1308120], rtol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 2.5, 10.0])
def test_logit_matching_against_scipy(temperature):
    student, teacher = random_logits(0), random_logits(1)
    result = losses.logit_matching(student, teacher, temperature)
    assert result.shape == (4,)
    expected = numpy_logit_matching(student, teacher, temperature)
    np.testing.assert_allclose(result, expected, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_logit_matching_gradient(temperature):
    """T^2 KL has the gradient T (softmax(s / T) - softmax(t / T)), none in t."""
    student, teacher = (tf.constant(random_logits(seed)) for seed in (2, 3))
    with tf.GradientTape() as tape:
        tape.watch([student, teacher])
        value = losses.logit_matching(student, teacher, temperature)
    by_student, by_teacher = tape.gradient(value, [student, teacher])
    assert by_teacher is None
    p, q = (
        scipy.special.softmax(logits.numpy() / temperature, axis=-1)
        for logits in (teacher, student)
    )
    np.testing.assert_allclose(by_student, temperature * (q - p), atol=1e-5)


def test_equal_logits_have_no_divergence():
    logits = random_logits(4)
    # A constant added to an image's logits changes no probability.
    result = losses.logit_matching(logits, logits + 5.0, 2.0)
    np.testing.assert_allclose(result, 0.0, atol=1e-5)


def test_huge_logits_stay_finite():
    student = tf.constant([[1e4, -1e4, 0.0], [-3e8, 3e8, 0.0]])
    teacher = tf.constant([[-1e4, 1e4, 0.0], [3e8, -3e8, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(student)
        value = losses.logit_matching(student, teacher)
    # The teacher is sure of a class that the student gives exp(-2e4), exp(-6e8).
    np.testing.assert_allclose(value, [2e4, 6e8], rtol=1e-6)
    gradient = tape.gradient(value, student)
    np.testing.assert_allclose(gradient, [[1, -1, 0], [-1, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_logit_losses_of_half_precision_are_in_float32(dtype):
    student, teacher = (tf.cast(random_logits(seed), dtype) for seed in (0, 1))
    labels = tf.one_hot([0, 3, 6, 2], 7, dtype=dtype)
    matching = losses.logit_matching(student, teacher, 3.0)
    entropy = losses.cross_entropy(labels, student)
    assert matching.dtype == entropy.dtype == tf.float32
    exact = [tf.cast(logits, tf.float32) for logits in (student, teacher)]
    np.testing.assert_array_equal(matching, losses.logit_matching(*exact, 3.0))
    np.testing.assert_array_equal(
        entropy, losses.cross_entropy(tf.cast(labels, tf.float32), exact[0])
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(InputError, match=f"{temperature}, expected a positive"):
        losses.logit_matching(random_logits(0), random_logits(1), temperature)


def mixed_labels():
    """Two hard labels, a mix-up of two and a smoothed one, `[4, 7]`."""
    labels = np.eye(7, dtype=np.float32)[[1, 6, 0, 2]]
    labels[2, 5], labels[2, 0] = 0.7, 0.3
    labels[3] = 0.9 * labels[3] + 0.1 / 7
    return labels


def test_cross_entropy_with_mixed_labels():
    labels, logits = mixed_labels(), random_logits(5)
    result = losses.cross_entropy(labels, logits)
    expected = numpy_cross_entropy(logits, labels)
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_cross_entropy_gradient_is_probability_minus_label():
    labels, logits = mixed_labels(), tf.constant(random_logits(6))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = losses.cross_entropy(labels, logits)
    expected = scipy.special.softmax(logits, axis=-1) - labels
    np.testing.assert_allclose(tape.gradient(value, logits), expected, atol=1e-6)


def test_cross_entropy_by_hand():
    labels = [[1.0, 0.0], [0.0, 1.0]]
    logits = [[0.0, 0.0], [1e4, 0.0]]
    result = losses.cross_entropy(labels, logits)
    np.testing.assert_allclose(result, [np.log(2.0), 1e4], rtol=1e-6)


def test_smoothed_labels_by_hand():
    labels = tf.constant([[0.0, 1.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0]])
    targets = np.array([[0.05, 0.85, 0.05, 0.05], [0.25, 0.65, 0.05, 0.05]])
    logits = random_logits(2)[:2, :4]
    found = losses.cross_entropy(labels, logits, label_smoothing=0.2)
    expected = -(targets * scipy.special.log_softmax(logits, axis=-1)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
