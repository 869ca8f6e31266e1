"""Top-1, top-5, per-class accuracy and confusion against plain NumPy counting."""

import json
import math

import numpy as np
import pytest

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import evaluation


def names(num):
    return tuple(f"class {index}" for index in range(num))


def random_case(num_images, num_classes, seed=0):
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(num_images, num_classes)).astype(np.float32)
    return logits, generator.integers(0, num_classes, num_images)


@pytest.mark.parametrize("num_classes", [2, 5, 6, 11])
def test_report_against_counting(num_classes):
    logits, labels = random_case(97, num_classes)
    report = evaluation.make_report(logits, labels, names(num_classes))
    confusion = np.zeros((num_classes, num_classes), int)
    num_top5 = 0
    for row, label in zip(logits, labels, strict=True):
        confusion[label, row.argmax()] += 1
        # Rank of the true class: how many others score higher.
        num_top5 += (row > row[label]).sum() < 5
    np.testing.assert_array_equal(report.confusion, confusion)
    assert report.top1 == pytest.approx(np.trace(confusion) / 97)
    known = None if num_classes <= 5 else pytest.approx(num_top5 / 97)
    assert report.top5 == known
    assert report.to_dict()["top5"] == report.top5
    for index in range(num_classes):
        expected = (logits[labels == index].argmax(1) == index).mean()
        assert report.per_class[index] == pytest.approx(expected)
    assert report.class_names == names(num_classes)


def test_report_by_hand():
    logits = [[2, 1, 0], [0, 1, 2], [0, 3, 0], [0, 0, 1]]
    report = evaluation.make_report(
        np.array(logits, float), np.array([0, 0, 1, 2]), ("a", "b", "c")
    )
    assert (report.top1, report.top5) == (0.75, None)
    assert report.per_class == (0.5, 1.0, 1.0)
    np.testing.assert_array_equal(report.confusion, [[1, 0, 1], [0, 1, 0], [0, 0, 1]])


def test_ties_go_to_the_class_that_comes_first():
    """As `argmax` has it; a network with all logits equal scores one class only."""
    labels = np.arange(12) % 6
    report = evaluation.make_report(np.zeros((12, 6)), labels, names(6))
    assert report.top1 == pytest.approx(1 / 6)
    assert report.top5 == pytest.approx(5 / 6)
    np.testing.assert_array_equal(report.confusion[:, 0], 2)
    assert report.confusion[:, 1:].sum() == 0


def test_class_without_images():
    report = evaluation.make_report(np.eye(3)[[0, 2]], np.array([0, 2]), names(3))
    assert math.isnan(report.per_class[1])
    assert report.per_class[::2] == (1.0, 1.0)
    assert report.top1 == 1.0
    assert report.to_dict()["per_class"]["class 1"] is None
    assert report.to_text().splitlines()[4].split() == ["class", "1", "-", *"000"]


def test_a_thousand_classes_fit_on_a_screen():
    """Class 7 is always taken for 9, class 8 has no image, the others are right."""
    labels = np.repeat(np.delete(np.arange(1000), 8), 2)
    scores = np.eye(1000)[np.where(labels == 7, 9, labels)]
    text = evaluation.make_report(scores, labels, names(1000)).to_text()
    assert len(text) < 2000
    lines = text.splitlines()
    assert lines[0] == "top-1 99.90%   top-5 99.90%   1998 images"
    assert lines[2] == "The 10 worst of 1000 classes (all of them: --json)"
    assert lines[4].split() == [*("class", "7", "0.0%", "2"), *("class", "9", "(2)")]
    assert lines[5].split() == ["class", "0", "100.0%", "2", "-"]
    assert len(lines) == 14 and "nan" not in text


def test_to_dict_is_json():
    report = evaluation.make_report(*random_case(13, 3), names(3))
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["top1"] == report.top1
    assert values["top5"] == report.top5
    assert values["num_images"] == 13
    assert values["confusion"] == report.confusion.tolist()
    assert values["per_class"] == dict(zip(names(3), report.per_class, strict=True))


def test_to_text():
    confusion = np.array([[120, 5], [0, 75]])
    report = evaluation.Report(0.975, None, (0.96, 1.0), confusion, ("cat", "big dog"))
    assert report.to_text().splitlines() == [
        "top-1 97.50%   200 images",
        "",
        "class    right   confusion (row: true, column: predicted)",
        "cat       96.0%   120    5",
        "big dog  100.0%     0   75",
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_not_finite(value):
    logits, labels = random_case(5, 3)
    logits[3, 1] = value
    with pytest.raises(InputError, match="not finite"):
        evaluation.make_report(logits, labels, names(3))


def test_no_images():
    with pytest.raises(InputError, match="no images"):
        evaluation.make_report(np.zeros((0, 3)), np.zeros(0, int), names(3))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_network_of_other_classes_than_the_data(num_classes):
    logits, labels = random_case(9, 3)
    with pytest.raises(InputError, match=f"3 classes apart.*{num_classes} classes"):
        evaluation.make_report(logits, labels, names(num_classes))


def test_label_out_of_range():
    logits, _ = random_case(3, 3)
    with pytest.raises(InputError, match="up to 3, expected the data set's 3 classes"):
        evaluation.make_report(logits, np.array([0, 1, 3]), names(3))


def test_evaluate_runs_over_unequal_batches():
    images, labels = random_case(11, 4)
    model = tf.keras.Sequential([tf.keras.layers.Input(4), tf.keras.layers.ReLU()])
    data = tf.data.Dataset.from_tensor_slices((images, np.eye(4)[labels])).batch(4)
    report = evaluation.evaluate(model, data, names(4))
    expected = evaluation.make_report(np.maximum(images, 0), labels, names(4))
    assert report.to_dict() == expected.to_dict()


def test_evaluate_without_images():
    model = tf.keras.Sequential([tf.keras.layers.Input(4), tf.keras.layers.ReLU()])
    data = tf.data.Dataset.from_tensor_slices((np.zeros((0, 4)), np.zeros((0, 4))))
    with pytest.raises(InputError, match="no images"):
        evaluation.evaluate(model, data.batch(4), names(4))
