"""What the distiller takes for labels, and sample weights."""

import functools

import numpy as np
import pytest
from numpy_losses import numpy_cross_entropy
from small_distillers import (
    assert_logs,
    compiled,
    numpy_parts,
    outputs,
    student_network,
    taught,
    teacher_network,
)
from small_networks import NUM_CLASSES, classes, images, one_hot

from r2b_keras.environment import tf
from r2b_keras.trainers.labels import probabilities


def test_mixed_labels_are_used_as_they_are():
    pictures, labels = images(4), np.full((4, NUM_CLASSES), 0.2, np.float32)
    labels[:, 1] = 0.6
    model = compiled(student_network())
    (logits,) = outputs(model.student, ["dense"], pictures)
    logs = model.test_on_batch(pictures, labels, return_dict=True)
    expected = numpy_cross_entropy(logits, labels).mean()
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)
    assert logs["accuracy"] == (logits.argmax(-1) == 1).mean()


SAMPLE_WEIGHT = np.array([0.0, 2.0, 0.5, 1.0, 3.0], np.float32)


def test_sample_weight_multiplies_every_part():
    teacher = teacher_network()
    model = taught(teacher=teacher)
    pictures, labels = images(5), one_hot(classes(5))
    parts = numpy_parts(model, teacher, pictures, labels)
    accuracy = parts.pop("accuracy")
    for shape in ([5], [5, 1]):
        weights = SAMPLE_WEIGHT.reshape(shape)
        logs = model.test_on_batch(pictures, labels, weights, return_dict=True)
        found = logs.pop("accuracy")
        assert_logs(logs, parts, SAMPLE_WEIGHT)
        # As Keras's weighted metrics: a weighted mean.
        expected = np.average(accuracy, weights=SAMPLE_WEIGHT)
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
def test_labels_only_are_keras_own_training(weighted):
    """Loss, sample weights and the weights after two steps as plain Keras has them."""
    pictures, labels = images(5), one_hot(classes(5))
    weights = SAMPLE_WEIGHT if weighted else None
    student, reference = student_network(), student_network()
    reference.compile(
        tf.keras.optimizers.SGD(0.1),
        tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        run_eagerly=True,
    )
    model = compiled(student)
    for _ in range(2):
        found = model.train_on_batch(pictures, labels, weights, return_dict=True)
        expected = reference.train_on_batch(pictures, labels, weights, return_dict=True)
        assert found["loss"] == pytest.approx(expected["loss"], rel=1e-5)
    for one, other in zip(student.weights, reference.weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda numbers: numbers,
        lambda numbers: numbers.astype(np.int32)[:, None],
        lambda numbers: numbers.astype(np.float32),
        lambda numbers: np.eye(NUM_CLASSES, dtype=np.int64)[numbers],
    ],
    ids=["numbers", "column", "floats", "integer one-hot"],
)
def test_class_numbers_and_one_hot_labels_are_the_same(make):
    pictures, numbers = images(5), classes(5)
    model = taught()
    expected = model.test_on_batch(pictures, one_hot(numbers), return_dict=True)
    found = model.test_on_batch(pictures, make(numbers), return_dict=True)
    assert found == expected


@pytest.mark.parametrize("kind", ["numbers", "column", "mixed"])
def test_labels_from_a_python_generator(kind):
    """Keras does not know the sizes of what a generator gives."""
    pictures, numbers = images(4), classes(4)
    labels = {
        "numbers": numbers,
        "column": numbers[:, None],
        "mixed": 0.7 * one_hot(numbers) + 0.1,
    }[kind]
    model = compiled(student_network(), eager=False)
    expected = model.test_on_batch(pictures, labels, return_dict=True)
    found = model.evaluate(
        (batch for batch in [(pictures, labels)]), verbose=0, return_dict=True
    )
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def test_labels_of_every_shape_in_turn():
    pictures, numbers = images(4), classes(4)
    model = compiled(student_network(), eager=False)
    expected = model.evaluate(pictures, numbers, verbose=0)
    for labels in (numbers[:, None], numbers, one_hot(numbers), numbers[:, None]):
        found = model.evaluate(pictures, labels, verbose=0)
        assert found == pytest.approx(expected, rel=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="one or two dimensions"):
        model.evaluate(pictures, one_hot(numbers)[:, None], verbose=0)


def test_last_batch_counts_by_its_size():
    """Means over an epoch are means over images, as if it were one batch."""
    teacher = teacher_network()
    model = taught(teacher=teacher)
    pictures, labels = images(5), one_hot(classes(5))
    logs = model.evaluate(pictures, labels, batch_size=4, verbose=0, return_dict=True)
    assert_logs(logs, numpy_parts(model, teacher, pictures, labels))


LAST = NUM_CLASSES - 1


@functools.cache
def in_a_graph(layout="rows"):
    """One for all labels of a layout that it refuses: tracing is what takes time."""
    return compiled(student_network(), eager=False)


@functools.cache
def without_cross_entropy(layout="rows"):
    """Labels are for the accuracy alone."""
    return taught(eager=False, cross_entropy_weight=0.0, attention_weight=0.0)


@pytest.mark.parametrize("column", [True, False])
@pytest.mark.parametrize("wrong", [-1, NUM_CLASSES, 0.5, float("nan")])
def test_labels_that_are_no_class_stop_training_as_in_keras(wrong, column):
    labels = np.array([0, LAST, wrong, 1], type(wrong))
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=rf"(?s)class numbers from 0 to {LAST}, found.*{wrong:g}",
    ):
        model = in_a_graph("column" if column else "numbers")
        model.fit(images(4), labels[:, None] if column else labels, verbose=0)


def test_labels_from_1_from_a_python_generator():
    batch = images(3), np.array([[1], [2], [3]])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0 to 2, found.*\[3\]"):
        in_a_graph("generator").fit((each for each in [batch]), verbose=0)


def test_labels_that_are_no_class_stop_a_training_that_needs_none():
    for wrong in (-1, NUM_CLASSES):
        for method in ("fit", "evaluate"):
            with pytest.raises(tf.errors.InvalidArgumentError, match="from 0 to 2"):
                call = getattr(without_cross_entropy("numbers"), method)
                call(images(3), np.array([0, 1, wrong]), verbose=0)


@pytest.mark.parametrize(
    "wrong", [[0, 0, 0], [1, 1, 0], [0.5, 0.4, 0], [2, -1, 0], [0, 1, float("nan")]]
)
@pytest.mark.parametrize("model", [in_a_graph, without_cross_entropy])
def test_rows_that_are_no_distribution_stop_training(model, wrong):
    labels = np.array([[1, 0, 0], wrong, [0, 0.5, 0.5]], np.float32)
    with pytest.raises(tf.errors.InvalidArgumentError, match="(?s)sum to 1, found"):
        model().fit(images(3), labels, verbose=0)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_smoothed_rows_of_few_bits_are_distributions(dtype):
    smoothed = 0.9 * np.eye(1000, dtype=np.float32)[:4] + 0.1 / 1000
    rows = tf.cast(smoothed, dtype)
    found = probabilities(rows, tf.zeros([4, 1000]))
    np.testing.assert_array_equal(*(tf.cast(x, tf.float32) for x in (found, rows)))


@pytest.mark.slow  # XLA takes seconds to compile a step
@pytest.mark.parametrize(
    "labels", [np.array([0, 1, NUM_CLASSES]), np.eye(4, 3, 1, np.float32)[1:]]
)
def test_labels_that_are_no_class_give_nan_where_xla_compiles(labels):
    for model, name in (
        (compiled(student_network(), eager=False), "loss"),
        (without_cross_entropy.__wrapped__(), "accuracy"),
    ):
        model.compile(tf.keras.optimizers.SGD(0.1), jit_compile=True)
        logs = model.train_on_batch(images(3), labels, return_dict=True)
        assert np.isnan(logs[name])


@pytest.mark.parametrize("shape", [(4, NUM_CLASSES - 1), (4, 9), (4, 1, NUM_CLASSES)])
def test_labels_of_another_shape(shape):
    model = compiled(student_network(), eager=False)
    with pytest.raises(
        ValueError, match=rf"shape \({', '.join(map(str, shape))}\), .*\[B, 3\]"
    ):
        model.test_on_batch(images(4), np.full(shape, 0.25, np.float32))
