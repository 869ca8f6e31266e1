"""The moving average of weights, and statistics that fit it."""

import numpy as np
import pytest
from small_networks import classes, images, one_hot, plain, randomize, real_to_binary

from r2b_keras.environment import tf
from r2b_keras.recipes import Optimizer
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.averaging import measure_statistics, take_average
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.optimizers import make_optimizer


@pytest.mark.parametrize("name", ["sgd", "adam"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("most", [0.9, 0.15])
def test_average_by_hand(name, policy, most, set_policy):
    """a = m a + (1 - m) w after each step, m rising to what is asked for."""
    set_policy(policy)
    student = randomize(plain())
    model = Distiller(student)
    model.compile(make_optimizer(Optimizer(name), 0.05, student, average=most))
    averages = [np.array(weight) for weight in student.trainable_variables]
    momenta = iter([0.1, 2 / 11, 3 / 12])
    for step in range(3):
        before = np.array(student.trainable_variables[0])
        model.train_on_batch(images(4, seed=step), one_hot(classes(4, seed=step)))
        if (before == student.trainable_variables[0]).numpy().all():
            continue  # float16 leaves steps out until its loss scale is right
        momentum = min(next(momenta), most)
        averages = [
            momentum * average + (1 - momentum) * np.array(weight)
            for average, weight in zip(
                averages, student.trainable_variables, strict=True
            )
        ]
    last = np.array(student.trainable_variables[0])
    take_average(model.optimizer, student)
    for found, expected in zip(student.trainable_variables, averages, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(last - averages[0]).max() > 1e-3


@pytest.mark.parametrize(("name", "rate"), [("sgd", 2.0), ("adam", 0.05)])
def test_latent_weights_are_clipped_before_they_are_averaged(name, rate):
    """What is averaged are weights as each step leaves them: within [-1, 1]."""
    student = randomize(real_to_binary())
    kernel = student.get_layer("block_2a_conv").kernel
    kernel.assign(np.sign(kernel) * 0.99)
    average = np.array(kernel)
    model = Distiller(student)
    model.compile(make_optimizer(Optimizer(name), rate, student, average=0.9))
    for step in range(3):
        model.train_on_batch(images(4, seed=step), one_hot(classes(4, seed=step)))
        momentum = (1 + step) / (10 + step)
        average = momentum * average + (1 - momentum) * np.array(kernel)
    assert (np.abs(kernel) == 1).any()
    take_average(model.optimizer, student)
    np.testing.assert_allclose(kernel, average, rtol=1e-5, atol=1e-6)
    assert np.abs(kernel).max() <= 1 and (np.abs(kernel) < 0.999).any()


def test_a_short_stage_forgets_its_first_weights():
    """A long average of 40 steps is near the last weights, not the first."""
    student = randomize(plain())
    first = np.array(student.trainable_variables[0])
    model = Distiller(student)
    model.compile(make_optimizer(Optimizer("sgd"), 0.05, student, average=0.9999))
    for step in range(40):
        model.train_on_batch(images(4, seed=step), one_hot(classes(4, seed=step)))
    last = np.array(student.trainable_variables[0])
    take_average(model.optimizer, student)
    found = np.array(student.trainable_variables[0])
    assert 0 < np.linalg.norm(found - last) < 0.3 * np.linalg.norm(found - first)


def test_statistics_are_the_mean_over_the_batches():
    layer = tf.keras.layers.BatchNormalization(momentum=0.9)
    model = tf.keras.Sequential([tf.keras.Input((3, 4, 2)), layer])
    batches = [images(5, seed=seed, shape=(3, 4, 2)) * 3 + seed for seed in range(4)]
    measure_statistics(model, map(tf.constant, batches))
    axes = (0, 1, 2)
    mean = np.mean([batch.mean(axes) for batch in batches], axis=0)
    # Keras keeps the variance of a sample, of 60 values here.
    variance = np.mean([batch.var(axes, ddof=1) for batch in batches], axis=0)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)
    assert layer.momentum == 0.9


def test_frozen_statistics_stay():
    model = randomize(real_to_binary())
    model.get_layer("stem_batch_norm").trainable = False
    before = {n: np.array(v) for n, v in named_weights(model).items()}
    measure_statistics(model, [tf.constant(images(4))])
    model.get_layer("stem_batch_norm").trainable = True
    moved = {
        n for n, v in named_weights(model).items() if (before[n] != v).numpy().any()
    }
    assert moved and all(name.split("/")[1].startswith("moving") for name in moved)
    assert not any(name.startswith("stem") for name in moved)
