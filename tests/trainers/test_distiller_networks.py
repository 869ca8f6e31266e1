"""The distiller on whole networks: ours, somebody else's, and in half precision."""

import numpy as np
import pytest
import sklearn.datasets
from small_networks import (
    assert_all_equal,
    classes,
    images,
    one_hot,
    randomize,
    real_to_binary,
    values,
)

from r2b_keras import models
from r2b_keras.environment import lq, tf
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.handover import hand_over
from r2b_keras.trainers.schedules import LearningRate
from tests.networks import build_model

layers = tf.keras.layers


def digits(num):
    pictures, labels = sklearn.datasets.load_digits(return_X_y=True)
    pictures = pictures[:num].reshape(num, 8, 8, 1).astype(np.float32)
    return (pictures / 16 - 0.305) / 0.376, labels[:num]


def binary_kernels(model):
    """Kernels behind a binarizer: as trained, and as the network computes with them."""
    kernels = [
        layer.kernel
        for layer in model.layers
        if getattr(layer, "kernel_quantizer", None) is not None
    ]
    latent = values(kernels)
    with lq.context.quantized_scope(True):
        return latent, [np.array(tf.convert_to_tensor(kernel)) for kernel in kernels]


def larq_network():
    """A larq network that this package did not make, with names of its own."""
    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    first = {**binary, "input_quantizer": None}
    return tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            lq.layers.QuantConv2D(16, 3, padding="same", name="early", **first),
            layers.BatchNormalization(scale=False, name="early_norm"),
            layers.MaxPool2D(),
            lq.layers.QuantConv2D(16, 3, padding="same", name="late", **binary),
            layers.BatchNormalization(scale=False, name="late_norm"),
            layers.Flatten(),
            lq.layers.QuantDense(10, name="scores", **binary),
            layers.BatchNormalization(scale=False, name="scores_norm"),
        ],
        name="somebody_elses",
    )


def keras_teacher():
    return tf.keras.Sequential(
        [
            layers.Input((8, 8, 1)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_a"),
            layers.MaxPool2D(),
            layers.Conv2D(12, 3, padding="same", activation="relu", name="conv_b"),
            layers.Flatten(),
            layers.Dense(10, name="classes"),
        ],
        name="teacher",
    )


@pytest.mark.slow
def test_larq_network_under_a_keras_teacher():
    pictures, labels = digits(320)
    teacher = keras_teacher()
    trainer = Distiller(teacher)
    trainer.compile(tf.keras.optimizers.Adam(0.01))
    trainer.fit(pictures, labels, epochs=6, verbose=0)
    before = values(teacher.weights)

    student = larq_network()
    trainer = Distiller(
        student,
        teacher,
        taps=["early_norm", "late_norm"],
        teacher_taps=["conv_a", "conv_b"],
        attention_weight=1.0,
        logit_weight=0.5,
    )
    trainer.compile(tf.keras.optimizers.Adam(0.01))
    first, untrained = binary_kernels(student)
    history = trainer.fit(pictures, labels, epochs=6, verbose=0).history

    for part in ("loss", "cross_entropy", "attention", "logit_matching"):
        assert history[part][-1] < history[part][0], part
    assert history["accuracy"][-1] > 0.8
    assert_all_equal(values(teacher.weights), before)
    latent, computed = binary_kernels(student)
    for old, new, weights, signs in zip(
        first, latent, computed, untrained, strict=True
    ):
        assert not np.array_equal(new, old), "the latent weights were trained"
        assert np.abs(new).max() <= 1.0, "and kept within the reach of gradients"
        np.testing.assert_array_equal(np.abs(weights), 1.0)
        assert (weights != signs).any(), "some weight changed its sign"


@pytest.mark.slow
def test_fully_binary_network_learns_32_images_by_heart():
    pictures, labels = digits(32)
    student = build_model(
        "real_to_binary18",
        "binary",
        (8, 8, 1),
        10,
        width=8,
        blocks=(1, 1),
        stem="cifar",
        activation_binarizer="approx_sign",
    )
    model = Distiller(student)
    model.compile(tf.keras.optimizers.Adam(LearningRate("cosine", 0.02, 150)))
    model.fit(pictures, labels, batch_size=32, epochs=150, verbose=0)
    logs = model.evaluate(pictures, labels, verbose=0, return_dict=True)
    assert logs["accuracy"] == 1.0
    assert logs["loss"] < 0.02
    latent, computed = binary_kernels(student)
    assert len(latent) == 4
    for weights in computed:
        np.testing.assert_array_equal(np.abs(weights), 1.0)


@pytest.mark.parametrize(
    ("policy", "tolerance"),
    # Half a unit in the last of 8 and 11 bits is 0.2 % and 0.02 %; ten layers add up.
    [("mixed_bfloat16", 0.05), ("mixed_float16", 0.005)],
)
def test_mixed_precision(policy, tolerance, set_policy):
    """Loss near that of float32, variables in float32, and they move.

    With tanh in place of the sign, which rounding could turn around.
    """
    options = {
        "taps": ["block_1", "block_2"],
        "attention_weight": 1.0,
        "logit_weight": 1.0,
    }
    pictures, labels = images(4), one_hot(classes(4))

    def distiller():
        # A wide enough gate for some of its hidden units to be alive.
        student = randomize(real_to_binary("soft", reduction=1), seed=0)
        teacher = randomize(real_to_binary("real", "resnet18"), seed=1)
        model = Distiller(student, teacher, **options)
        model.compile(tf.keras.optimizers.Adam(1e-3), run_eagerly=True)
        return model

    exact = distiller().test_on_batch(pictures, labels, return_dict=True)
    set_policy(policy)
    model = distiller()
    scaled = isinstance(model.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    assert model.student.get_layer("block_1").compute_dtype == policy[6:]
    found = model.test_on_batch(pictures, labels, return_dict=True)
    for name in ("loss", "cross_entropy", "attention", "logit_matching"):
        assert found[name] == pytest.approx(exact[name], rel=tolerance), name
    before = values(model.student.trainable_variables)
    # The first float16 steps overflow and are left out, each halving the scale.
    for _ in range(6):
        logs = model.train_on_batch(pictures, labels, return_dict=True)
        assert np.isfinite(list(logs.values())).all()
    for variable, old in zip(model.student.trainable_variables, before, strict=True):
        assert variable.dtype == tf.float32
        assert np.isfinite(variable).all()
        assert not np.array_equal(variable, old), variable.name


def test_student_that_starts_as_its_teacher_has_nothing_to_learn_from_it():
    """Same network, same weights: both of the teacher's losses are at their least."""
    student = randomize(real_to_binary("soft"))
    teacher = real_to_binary("soft", "strong_baseline18", rescaling="gate_and_scale")
    hand_over(student, teacher)
    model = Distiller(
        student,
        teacher,
        taps=models.intermediate_names(student),
        attention_weight=1.0,
        logit_weight=1.0,
    )
    model.compile(run_eagerly=True)
    logs = model.test_on_batch(images(3), classes(3), return_dict=True)
    # Eq. 2 is kept at 1e-6 a tap.
    assert logs["attention"] == pytest.approx(2e-6, abs=1e-7)
    assert logs["logit_matching"] == pytest.approx(0.0, abs=1e-6)
    assert logs["loss"] == pytest.approx(logs["cross_entropy"], abs=1e-5)


def test_metrics_of_larqs_layers_are_logged():
    """As in Keras's own training, to the number."""
    with lq.context.metrics_scope(["flip_ratio"]):
        networks = [randomize(larq_network(), seed=2) for _ in range(2)]
    pictures, labels = digits(64)
    own, theirs = (tf.keras.optimizers.SGD(5.0) for _ in range(2))
    reference, model = networks[0], Distiller(networks[1])
    reference.compile(
        own, tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.compile(theirs)
    options = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0}
    expected = reference.fit(pictures, labels, **options).history
    found = model.fit(pictures, labels, **options).history
    # Names end in a number that counts the process's quantizers.
    ratios = [
        sorted((n for n in each if "flip" in n), key=lambda name: (len(name), name))
        for each in (expected, found)
    ]
    assert len(ratios[0]) == len(ratios[1]) == 3
    for name, other in zip(*ratios, strict=True):
        assert found[other] == expected[name]
    assert max(found[ratios[1][0]]) > 0
