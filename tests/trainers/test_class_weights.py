"""Factors of the classes in the labels' loss."""

import numpy as np
import pytest
import scipy.special
from small_networks import classes, images, one_hot, plain

from r2b_keras import data, recipes
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.recipes import Losses
from r2b_keras.trainers import Distiller, losses, stage_distiller
from r2b_keras.trainers.stage_distiller import class_weights
from r2b_keras.trainers.workdir import Workdir
from tests.commands import SMALLEST, assert_one_sentence, run

WEIGHTS = (0.0, 0.5, 3.0)


def test_by_hand():
    """Both logits equal: ln 2 for each image, times the factor of its class."""
    labels = np.array([[1, 0], [0, 1], [0.25, 0.75]], np.float32)
    found = losses.cross_entropy(labels, np.zeros((3, 2)), (2.0, 0.5))
    expected = np.log(2) * np.array([2.0, 0.5, 0.25 * 2.0 + 0.75 * 0.5])
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_value_and_gradient_against_numpy():
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4, 3)) * 3
    labels = np.vstack([np.eye(3), [[0.2, 0.3, 0.5]]])
    upstream = generator.normal(size=4)
    z = tf.constant(logits, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        found = losses.cross_entropy(tf.constant(labels), z, WEIGHTS)
    weighted = labels * WEIGHTS
    expected = -(weighted * scipy.special.log_softmax(logits, axis=-1)).sum(-1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    gradient = tape.gradient(found, z, tf.constant(upstream, tf.float32))
    rule = scipy.special.softmax(logits, axis=-1) * weighted.sum(-1, keepdims=True)
    rule = upstream[:, None] * (rule - weighted)
    np.testing.assert_allclose(gradient, rule, rtol=1e-4, atol=1e-6)


def test_smoothing_leaves_classes_as_heavy_as_they_are():
    """A rare class does not draw the images of all others to it."""
    weights = np.array([0.1, 10.0], np.float32)
    logits = tf.constant([[0.0, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = losses.cross_entropy(np.eye(2), logits, weights, label_smoothing=0.2)
    np.testing.assert_allclose(found, np.log(2) * weights, rtol=1e-6)
    # The weight of the image, times what its smoothed label lacks of one half.
    expected = [[-0.4 * 0.1, 0.4 * 0.1], [0.4 * 10, -0.4 * 10]]
    np.testing.assert_allclose(tape.gradient(found, logits), expected, rtol=1e-5)


def test_a_distiller_weighs_labels_only():
    """The teacher's loss and the accuracy are as they were; smoothing comes after."""
    student, teacher = plain(), plain(name="teacher")
    options = {"logit_weight": 1.0, "label_smoothing": 0.1}
    x, numbers = images(6), classes(6)
    logs = []
    for weights in (None, WEIGHTS):
        model = Distiller(student, teacher, class_weights=weights, **options)
        model.compile()
        logs.append(model.test_on_batch(x, numbers, return_dict=True))
    scores = scipy.special.log_softmax(np.float64(student(x)), axis=-1)
    for found, weights in zip(logs, (1.0, np.array(WEIGHTS)), strict=True):
        weighted = weights * one_hot(numbers)
        smoothed = 0.9 * weighted + 0.1 / 3 * weighted.sum(-1, keepdims=True)
        expected = -(smoothed * scores).sum(-1).mean()
        assert found["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    for name in ("logit_matching", "accuracy"):
        assert logs[0][name] == logs[1][name]


@pytest.mark.parametrize("number", [2, 4])
def test_a_distiller_wants_one_for_each_class(number):
    message = r"^class_weights is \(1.0, .*, expected 3 numbers, one for each class"
    with pytest.raises(InputError, match=message):
        Distiller(plain(), class_weights=[1.0] * number)


@pytest.mark.parametrize(
    "weights", [{0: 1.0, 1: 5.0, 2: 1.0}, [1, np.nan, 1], [-1, 1, 1], [0, 0, 0]]
)
def test_a_distiller_refuses_what_a_recipe_does(weights):
    """Of a dictionary, Keras's own form, its keys would become the weights."""
    with pytest.raises(InputError, match=r"class_weights is .*, expected"):
        Distiller(plain(), class_weights=weights)


def test_balanced_by_hand():
    balanced = Losses(class_weights=("balanced",))
    found = class_weights(balanced, 3, (10, 30, 60))
    np.testing.assert_allclose(found, [100 / 30, 100 / 90, 100 / 180])
    # The mean over the images is 1.
    assert np.dot(found, (10, 30, 60)) / 100 == pytest.approx(1)
    assert class_weights(Losses(), 3, (10, 30, 60)) is None
    assert class_weights(Losses(class_weights=(1, 0, 2.5)), 3, None) == [1.0, 0.0, 2.5]
    message = "losses.class_weights is .*, expected 3 numbers, .*class, or 'balanced'"
    with pytest.raises(InputError, match=message):
        class_weights(Losses(class_weights=(1, 2)), 3, None)
    with pytest.raises(InputError, match="is not known before they are read: expected"):
        class_weights(balanced, 3, None)
    with pytest.raises(InputError, match=r"is \[1.0, 2.0\], expected 3 numbers, one"):
        class_weights(Losses(class_weights=("1", "2")), 3, None)


@pytest.mark.parametrize(
    "value",
    [
        *(("even",), ("balanced", "1"), ("0", "0"), ("-1", "2"), ("nan", "1")),
        ("1", "inf"),
    ],
)
def test_what_are_no_weights(value):
    with pytest.raises(InputError, match="class_weights is .*, expected 'balanced'"):
        Losses(class_weights=value)


def test_counts_are_those_of_the_training_part():
    digits = data.load(recipes.get("digits").data)
    counts = digits.class_counts
    batches = digits.train(digits.num_train, data.Augmentation(), seed=0)
    ((_, labels),) = batches.as_numpy_iterator()
    np.testing.assert_array_equal(counts, labels.sum(0))
    assert sum(counts) == digits.num_train and len(counts) == 10


def train(folder, weights):
    change = f"--override=stages.0.losses.class_weights={weights}"
    return run("train", *SMALLEST, "--stage=0", f"--workdir={folder}", change)


@pytest.fixture
def weighed_by(monkeypatch):
    """The class weights of each distiller that training makes."""
    found = []

    def noting(*networks, **settings):
        found.append(settings["class_weights"])
        return Distiller(*networks, **settings)

    monkeypatch.setattr(stage_distiller, "Distiller", noting)
    return found


def test_a_run_weighs_by_its_recipe(tmp_path, weighed_by):
    """And what was asked for is in the recipe beside the network."""
    answer = train(tmp_path, "0,1,1,1,1,1,1,1,1,2")
    assert answer.returncode == 0, answer.stderr
    assert weighed_by == [[0, *(8 * [1]), 2]]
    first, *others = Workdir(tmp_path).recipe().stages
    assert first.losses.class_weights == ("0", *"111111112")
    assert all(stage.losses.class_weights == () for stage in others)
    again = train(tmp_path, "balanced")
    assert_one_sentence(again, "class_weights")


def test_the_wrong_number_of_them_is_refused_at_once(tmp_path):
    answer = train(tmp_path / "run", "1,2,3")
    assert_one_sentence(answer, "Stage 0: losses.class_weights", "expected 10 numbers")
    assert not (tmp_path / "run" / "stage_0").exists()


def test_a_run_balances_by_its_own_images(tmp_path, weighed_by):
    assert train(tmp_path, "balanced").returncode == 0
    counts = np.array(data.load(recipes.get("digits").data).class_counts)
    (found,) = weighed_by
    # All images weigh as much together as they would by 1 each.
    np.testing.assert_allclose(found, counts.sum() / (10 * counts))
    assert min(found) < 1 < max(found)
