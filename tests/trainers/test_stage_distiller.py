"""A stage's settings, all the way into what trains its student."""

import dataclasses

import numpy as np
import pytest
from numpy_losses import numpy_attention, numpy_cross_entropy, numpy_logit_matching
from small_distillers import (
    TAPS,
    TEACHER_TAPS,
    outputs,
    student_network,
    teacher_network,
)
from small_networks import classes, images, one_hot, real_to_binary

from r2b_keras.networks import Network
from r2b_keras.recipes import Losses, Optimizer, Schedule, Stage
from r2b_keras.trainers.execution import Execution
from r2b_keras.trainers.stage_distiller import make_distiller

WEIGHTS = (0.5, 1.5, 3.0)
FORM, TEMPERATURE, SMOOTHING, DECAY = "squared_mean", 3.0, 0.2, 0.01
STEPS_PER_EPOCH = 5

# Everything off its default, and no two factors alike.
STAGE = Stage(
    Network("real_to_binary18", "binary"),
    epochs=4,
    batch_size=6,
    teacher=0,
    optimizer=Optimizer(
        "sgd",
        learning_rate=0.02,
        momentum=0.7,
        weight_decay=DECAY,
        groups=("dense/*:0.5:3",),
        clip_norm=5.0,
    ),
    schedule=Schedule("cosine", warmup_epochs=2, final_fraction=0.25),
    losses=Losses(
        cross_entropy=0.75,
        attention=20.0,
        attention_form=FORM,
        logit_matching=0.4,
        temperature=TEMPERATURE,
        label_smoothing=SMOOTHING,
        class_weights=tuple(map(str, WEIGHTS)),
        taps=tuple(
            f"{own}={other}" for own, other in zip(TAPS, TEACHER_TAPS, strict=True)
        ),
    ),
    average=0.9,
)


@pytest.fixture
def networks():
    return student_network(), teacher_network()


@pytest.fixture
def distiller(networks):
    return make_distiller(STAGE, *networks, STEPS_PER_EPOCH, Execution())


def test_every_setting_of_the_losses_is_heard(distiller, networks):
    student, teacher = networks
    pictures, numbers = images(6), classes(6)
    *student_maps, logits = outputs(student, (*TAPS, "dense"), pictures)
    *teacher_maps, targets = outputs(teacher, (*TEACHER_TAPS, "dense"), pictures)
    weighted = one_hot(numbers) * WEIGHTS
    labels = (1 - SMOOTHING) * weighted
    labels += SMOOTHING / 3 * weighted.sum(-1, keepdims=True)
    kernels = {
        w.name.split("/")[0]: np.array(w) for w in student.weights if "kernel" in w.name
    }
    assert set(kernels) == {*TAPS, "dense"}
    factors = {"dense": 3.0}
    parts = {
        "cross_entropy": numpy_cross_entropy(logits, labels).mean(),
        "attention": numpy_attention(student_maps, teacher_maps, FORM).mean(),
        "logit_matching": numpy_logit_matching(logits, targets, TEMPERATURE).mean(),
        "l2": sum(
            factors.get(name, 1.0) / 2 * np.square(kernel).sum()
            for name, kernel in kernels.items()
        ),
    }
    strengths = {
        "cross_entropy": 0.75,
        "attention": 20.0,
        "logit_matching": 0.4,
        "l2": DECAY,
    }
    found = distiller.test_on_batch(pictures, numbers, return_dict=True)
    for name, value in parts.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name
    expected = sum(strengths[name] * value for name, value in parts.items())
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_every_setting_of_the_optimizer_is_heard(distiller):
    optimizer = distiller.optimizer
    assert optimizer.momentum == 0.7
    assert optimizer.global_clipnorm == 5.0
    assert optimizer.use_ema and optimizer.ema_momentum == 0.9
    rates = {factors.rate for factors in optimizer.factors.values()}
    assert rates == {0.5} and len(optimizer.factors) == 2


def test_the_schedule_lasts_as_long_as_the_stage(distiller):
    """Up over two epochs, down over the other two to a quarter."""
    rate = distiller.optimizer._learning_rate
    found = [float(rate(STEPS_PER_EPOCH * epochs)) for epochs in range(5)]
    expected = 0.02 * np.array([0.1, 0.6, 1, (1 + 0.25) / 2, 0.25])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_without_taps_all_blocks_are_matched():
    """J of Eq. 2: every transfer point of the paper's network."""
    stage = dataclasses.replace(
        STAGE, losses=Losses(attention=1.0), optimizer=Optimizer()
    )
    networks = [real_to_binary(kind) for kind in ("binary", "soft")]
    found = make_distiller(stage, *networks, STEPS_PER_EPOCH, Execution())
    assert found.tap_pairs == (("block_1", "block_1"), ("block_2", "block_2"))


@pytest.mark.parametrize(("decay", "is_a_loss"), [("l2", True), ("decoupled", False)])
def test_weights_decay_in_one_way(networks, decay, is_a_loss):
    optimizer = Optimizer(weight_decay=DECAY, decay=decay)
    stage = dataclasses.replace(STAGE, optimizer=optimizer)
    found = make_distiller(stage, *networks, STEPS_PER_EPOCH, Execution())
    logs = found.test_on_batch(images(6), classes(6), return_dict=True)
    assert ("l2" in logs) == is_a_loss
    decays = {factors.decay for factors in found.optimizer.factors.values()}
    assert (DECAY in decays) != is_a_loss
