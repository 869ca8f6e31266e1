"""Training and inference mode of the distiller's student and teacher."""

import numpy as np
import pytest
from numpy_losses import numpy_attention, numpy_cross_entropy, numpy_logit_matching
from small_distillers import compiled, outputs
from small_networks import (
    IMAGE_SHAPE,
    NUM_CLASSES,
    assert_all_equal,
    classes,
    images,
    one_hot,
    randomize,
    values,
)

from r2b_keras.environment import tf

layers = tf.keras.layers


def normalised(name, tap):
    """BatchNorm first, where its batch statistics are known, then dropout."""
    inputs = layers.Input(IMAGE_SHAPE)
    norm = layers.BatchNormalization(momentum=0.75, epsilon=1e-3, name=f"{name}_norm")
    x = layers.Conv2D(4, 3, name=tap)(norm(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.5)(x)
    x = layers.Dense(NUM_CLASSES, name="dense")(x)
    return tf.keras.Model(inputs, x, name=name)


def normalised_distiller(eager=False):
    """A student and a teacher that both behave differently in training."""
    student = randomize(normalised("student", "tap"), seed=0)
    teacher = randomize(normalised("teacher", "tap"), seed=1)
    options = {"attention_weight": 1.0, "logit_weight": 1.0}
    return compiled(student, teacher, None, eager, taps=["tap"], **options), teacher


def test_batch_norm_moves_once_a_step_and_never_in_evaluate():
    model, teacher = normalised_distiller()
    norm = model.student.get_layer("student_norm")
    mean, variance = values([norm.moving_mean, norm.moving_variance])
    before = values(teacher.weights)
    pictures, labels = images(12), classes(12)
    model.fit(pictures, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for batch in [*pictures.reshape(3, 4, *IMAGE_SHAPE)] * 2:
        positions = batch.reshape(-1, IMAGE_SHAPE[-1]).astype(np.float64)
        # TensorFlow keeps the unbiased variance.
        mean = 0.75 * mean + 0.25 * positions.mean(0)
        variance = 0.75 * variance + 0.25 * positions.var(0, ddof=1)
    np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5)
    assert_all_equal(values(teacher.weights), before)
    after = values(model.student.weights)
    model.evaluate(pictures, labels, batch_size=4, verbose=0)
    model.predict(pictures, verbose=0)
    assert_all_equal(values(model.student.weights), after)


def test_evaluation_is_in_inference_mode():
    """No dropout and moving statistics, in the student and in the teacher."""
    model, teacher = normalised_distiller(eager=True)
    pictures, labels = images(6), one_hot(classes(6))
    logs = [model.test_on_batch(pictures, labels, return_dict=True) for _ in range(2)]
    assert logs[0] == logs[1]
    features, logits = outputs(model.student, ("tap", "dense"), pictures)
    teacher_features, targets = outputs(teacher, ("tap", "dense"), pictures)
    expected = {
        "cross_entropy": numpy_cross_entropy(logits, labels),
        "attention": numpy_attention([features], [teacher_features]),
        "logit_matching": numpy_logit_matching(logits, targets, 1.0),
    }
    for name, value in expected.items():
        assert logs[0][name] == pytest.approx(value.mean(), rel=1e-4), name


def test_training_is_in_training_mode_but_for_the_teacher():
    model, teacher = normalised_distiller(eager=True)
    calls = {"student": [], "teacher": []}
    for owner, modes in (
        (model.student, calls["student"]),
        (teacher, calls["teacher"]),
    ):
        norm = owner.get_layer(f"{owner.name}_norm")

        def record(x, training=None, call=norm.call, modes=modes):
            modes.append(training)
            return call(x, training=training)

        norm.call = record
    model.train_on_batch(images(2), classes(2))
    assert calls == {"student": [True], "teacher": [False]}, "one forward pass of each"
    model.test_on_batch(images(2), classes(2))
    assert calls == {"student": [True, False], "teacher": [False, False]}
