"""The distiller's losses and gradients, and what it leaves alone.

Steps run eagerly where the graph does not matter: tracing one costs a second.
"""

import numpy as np
import pytest
import scipy.special
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
from small_networks import (
    NUM_CLASSES,
    assert_all_equal,
    classes,
    images,
    one_hot,
    plain,
    randomize,
    values,
)

from r2b_keras.environment import tf

layers = tf.keras.layers


# The graph, as `fit` uses it; one epoch, whose only step logs what it started with.


def test_fit_logs_every_part_and_leaves_the_teacher_alone():
    pictures, labels = images(6), one_hot(classes(6))
    teacher = teacher_network()
    model = taught(teacher=teacher, eager=False)
    parts = numpy_parts(model, teacher, pictures, labels)
    teacher_before, before = values(teacher.weights), values(model.student.weights)
    history = model.fit(pictures, labels, batch_size=6, verbose=0).history
    assert_logs({name: value[0] for name, value in history.items()}, parts)
    assert_all_equal(values(teacher.weights), teacher_before)
    for weight, old in zip(model.student.weights, before, strict=True):
        assert not np.array_equal(weight, old), f"{weight.name} was not trained"
    # Evaluation and prediction, of the student as it is now.
    parts = numpy_parts(model, teacher, pictures, labels)
    logs = model.evaluate(pictures, labels, batch_size=4, verbose=0, return_dict=True)
    assert_logs(logs, parts)
    (expected,) = outputs(model.student, ["dense"], pictures)
    found = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_only_active_parts_are_logged():
    model = taught(attention_weight=0.0, logit_weight=0.0)
    logs = model.test_on_batch(images(2), classes(2), return_dict=True)
    assert set(logs) == {"loss", "cross_entropy", "accuracy"}
    model = taught(cross_entropy_weight=0.0, attention_weight=0.0)
    logs = model.test_on_batch(images(2), classes(2), return_dict=True)
    assert set(logs) == {"loss", "logit_matching", "accuracy"}


def test_losses_of_the_student_itself_are_added():
    """Weights' and activations' regularisation, and not the teacher's."""
    l2 = tf.keras.regularizers.L2
    options = {"kernel_regularizer": l2(0.25), "activity_regularizer": l2(0.125)}
    teacher = teacher_network(**options)
    model = taught(student_network(**options), teacher)
    pictures, labels = images(4), one_hot(classes(4))
    parts = numpy_parts(model, teacher, pictures, labels)
    (features,) = outputs(model.student, ["tap_1"], pictures)
    kernel = np.array(model.student.get_layer("tap_1").kernel)
    own = 0.25 * (kernel**2).sum() + 0.125 * (features**2).sum() / 4
    logs = model.test_on_batch(pictures, labels, return_dict=True)
    logs["loss"] -= own
    assert_logs(logs, parts)
    before = float(model.test_on_batch(pictures, labels)[0])
    logs = model.train_on_batch(pictures, labels, return_dict=True, reset_metrics=True)
    assert logs["loss"] == pytest.approx(before, rel=1e-5)


def test_gradient_of_the_last_layer_by_hand():
    """Cross-entropy (p - y), logit matching T (softmax(s/T) - softmax(t/T))."""
    teacher = teacher_network()
    model = taught(teacher=teacher, attention_weight=0.0)
    pictures, labels = images(5), one_hot(classes(5))
    features, logits = outputs(model.student, ("pool", "dense"), pictures)
    (targets,) = outputs(teacher, ["dense"], pictures)
    softmax = scipy.special.softmax
    by_logits = 0.75 * (softmax(logits, -1) - labels)
    by_logits += 0.5 * 3.0 * (softmax(logits / 3, -1) - softmax(targets / 3, -1))
    dense = model.student.get_layer("dense")
    kernel, bias = values([dense.kernel, dense.bias])
    model.train_on_batch(pictures, labels)
    expected = kernel - 0.1 * features.T @ by_logits / 5
    np.testing.assert_allclose(dense.kernel, expected, atol=1e-6)
    np.testing.assert_allclose(dense.bias, bias - 0.1 * by_logits.mean(0), atol=1e-6)


def test_attention_moves_only_what_lies_before_the_taps():
    model = taught(cross_entropy_weight=0.0, logit_weight=0.0)
    before = values(model.student.weights)
    model.train_on_batch(images(4), classes(4))
    moved = [
        weight.name.split("/")[0]
        for weight, old in zip(model.student.weights, before, strict=True)
        if not np.array_equal(weight, old)
    ]
    assert set(moved) == {"tap_1", "tap_1_prelu", "tap_2"}


def test_teacher_is_no_part_of_the_distiller():
    teacher = teacher_network()
    student = student_network()
    model = taught(student, teacher)
    model.train_on_batch(images(2), classes(2))
    others = {id(v) for v in teacher.variables}
    for name in (
        "variables",
        "trainable_variables",
        "weights",
        "non_trainable_weights",
    ):
        assert not others & {id(v) for v in getattr(model, name)}, name
    ours = [id(v) for v in student.trainable_variables]
    assert [id(v) for v in model.trainable_variables] == ours
    assert teacher not in model.submodules
    slots = [v.shape for v in model.optimizer.variables if v.shape.rank]
    assert all(shape in [v.shape for v in student.variables] for shape in slots)


def test_frozen_layers_of_the_student_stay():
    student = student_network()
    student.get_layer("tap_1").trainable = False
    kernel = np.array(student.get_layer("tap_1").kernel)
    compiled(student).train_on_batch(images(2), classes(2))
    np.testing.assert_array_equal(student.get_layer("tap_1").kernel, kernel)


def with_softmax(model):
    probabilities = layers.Softmax(name="softmax")(model.output)
    return tf.keras.Model(model.inputs, probabilities, name=model.name)


def test_networks_that_end_in_a_softmax():
    """Losses are of the logits that `student_logits` and `teacher_logits` name."""
    pictures, labels = images(4), one_hot(classes(4))
    expected = taught().test_on_batch(pictures, labels, return_dict=True)
    teacher, student = with_softmax(teacher_network()), with_softmax(student_network())
    model = taught(student, teacher, student_logits="dense", teacher_logits="dense")
    assert model.test_on_batch(pictures, labels, return_dict=True) == expected
    np.testing.assert_allclose(model.predict_on_batch(pictures).sum(-1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["output", "logits"])
def test_taps_may_have_any_name(name):
    taps = (name, "tap_2")
    model = taught(randomize(plain(taps), seed=8), taps=taps)
    expected = taught().test_on_batch(images(3), classes(3), return_dict=True)
    assert model.test_on_batch(images(3), classes(3), return_dict=True) == expected


def test_fully_convolutional_teacher():
    """A teacher for images of any size fits a student of one size."""
    layer = {"padding": "same", "activation": "relu"}
    teacher = tf.keras.Sequential(
        [
            layers.Input((None, None, 2)),
            layers.Conv2D(3, 3, name="first", **layer),
            layers.Conv2D(3, 3, strides=2, name="second", **layer),
            layers.GlobalAveragePooling2D(),
            layers.Dense(NUM_CLASSES, name="dense"),
        ]
    )
    model = taught(teacher=teacher)
    pictures, labels = images(3), one_hot(classes(3))
    parts = numpy_parts(model, teacher, pictures, labels)
    assert_logs(model.test_on_batch(pictures, labels, return_dict=True), parts)


def test_keras_optimizer_and_callback_by_name(tmp_path):
    """`compile("adam")`, and a callback that saves the weights: the student's."""
    model = compiled(student_network(), optimizer="adam")
    path = str(tmp_path / "weights.h5")
    saver = tf.keras.callbacks.ModelCheckpoint(path, save_weights_only=True)
    model.fit(images(4), classes(4), callbacks=[saver], verbose=0)
    other = compiled(randomize(plain(), seed=1))
    other.load_weights(path)
    assert_all_equal(values(other.student.weights), values(model.student.weights))


def test_images_are_made_ready_on_the_device():
    """Fit, evaluation and prediction of bytes are those of what they become."""

    def preprocess(images):
        return tf.cast(images, tf.float32) / 32.0 - 4.0

    pixels = np.clip(images(6) * 50 + 128, 0, 255).astype(np.uint8)
    labels, ready = one_hot(classes(6)), preprocess(pixels).numpy()
    own, reference = taught(preprocess=preprocess), taught()
    for _ in range(2):
        found = own.train_on_batch(pixels, labels, return_dict=True)
        assert found == reference.train_on_batch(ready, labels, return_dict=True)
    assert_all_equal(values(own.student.weights), values(reference.student.weights))
    found = own.test_on_batch(pixels, labels, return_dict=True)
    assert found == reference.test_on_batch(ready, labels, return_dict=True)
    np.testing.assert_array_equal(own(pixels), reference(ready))


def test_smoothed_labels_count_for_the_cross_entropy_alone():
    pictures, labels = images(4), one_hot(classes(4))
    logs = {}
    for share in (0.0, 0.3):
        model = taught(label_smoothing=share)
        logs[share] = model.test_on_batch(pictures, labels, return_dict=True)
    (logits,) = outputs(student_network(), ["dense"], pictures)
    expected = numpy_cross_entropy(logits, labels * 0.7 + 0.3 / NUM_CLASSES).mean()
    assert logs[0.3]["cross_entropy"] == pytest.approx(expected, rel=1e-5)
    assert logs[0.3]["cross_entropy"] != pytest.approx(logs[0.0]["cross_entropy"])
    for part in ("attention", "logit_matching", "accuracy"):
        assert logs[0.3][part] == logs[0.0][part]
