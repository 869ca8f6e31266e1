"""Distillers of a few weights, and their losses in NumPy."""

import numpy as np
import pytest
from numpy_losses import numpy_attention, numpy_cross_entropy, numpy_logit_matching
from small_networks import plain, randomize

from r2b_keras.environment import tf
from r2b_keras.trainers import Distiller

TAPS = ("tap_1", "tap_2")
TEACHER_TAPS = ("first", "second")


def teacher_network(**options):
    """As deep as the student, wider, and with other names."""
    return randomize(plain(TEACHER_TAPS, channels=6, name="teacher", **options), seed=9)


def student_network(**options):
    return randomize(plain(TAPS, **options), seed=8)


def compiled(student, teacher=None, optimizer=None, eager=True, **options):
    model = Distiller(student, teacher, **options)
    model.compile(optimizer or tf.keras.optimizers.SGD(0.1), run_eagerly=eager)
    return model


def taught(student=None, teacher=None, eager=True, optimizer=None, **options):
    """A distiller with all three losses, each of another weight.

    What has the weight 0 is left out, and a teacher to whom nothing listens.
    """
    options = {
        "taps": TAPS,
        "teacher_taps": TEACHER_TAPS,
        "cross_entropy_weight": 0.75,
        "attention_weight": 2.0,
        "logit_weight": 0.5,
        "temperature": 3.0,
        **options,
    }
    if not options["attention_weight"]:
        del options["taps"], options["teacher_taps"]
    listens = options["attention_weight"] or options["logit_weight"]
    return compiled(
        student or student_network(),
        (teacher or teacher_network()) if listens else None,
        optimizer,
        eager,
        **options,
    )


def outputs(model, names, pictures):
    """Outputs of named layers in inference mode, in float64."""
    found = tf.keras.Model(model.inputs, {n: model.get_layer(n).output for n in names})
    by_name = found(pictures, training=False)
    return [np.array(by_name[name], np.float64) for name in names]


def numpy_parts(model, teacher, pictures, labels):
    """Per-example values of the three losses of `taught`."""
    *student_maps, logits = outputs(model.student, (*TAPS, "dense"), pictures)
    *teacher_maps, targets = outputs(teacher, (*TEACHER_TAPS, "dense"), pictures)
    return {
        "cross_entropy": numpy_cross_entropy(logits, labels),
        "attention": numpy_attention(student_maps, teacher_maps),
        "logit_matching": numpy_logit_matching(logits, targets, 3.0),
        "accuracy": (logits.argmax(-1) == labels.argmax(-1)).astype(float),
    }


def assert_logs(logs, parts, weights=1.0):
    """Each part under its name, and their weighted sum."""
    expected = {name: (weights * value).mean() for name, value in parts.items()}
    expected["loss"] = (
        0.75 * expected["cross_entropy"]
        + 2.0 * expected["attention"]
        + 0.5 * expected["logit_matching"]
    )
    assert set(logs) == set(expected)
    for name, value in expected.items():
        assert logs[name] == pytest.approx(value, rel=1e-5), name
