"""Learning rate schedules, step by step, against NumPy."""

import numpy as np
import pytest

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.recipes import Schedule
from r2b_keras.trainers import schedules

PEAK = 0.02


def rates(schedule, epochs, steps_per_epoch, past_the_end=3):
    rate = schedules.learning_rate(schedule, PEAK, epochs, steps_per_epoch)
    steps = np.arange(epochs * steps_per_epoch + past_the_end)
    # The optimizer counts its steps in int64.
    return steps, np.array([float(rate(tf.constant(s, tf.int64))) for s in steps])


def rise(steps, warmup_steps):
    """1/W, 2/W, ... 1: the first step counts, a rate of 0 would waste it."""
    return np.minimum(1.0, (steps + 1) / max(warmup_steps, 1))


def test_constant_with_warm_up_by_hand():
    _, found = rates(Schedule("constant", warmup_epochs=2), 4, 2, 0)
    expected = np.array([0.25, 0.5, 0.75, 1, 1, 1, 1, 1]) * PEAK
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("warmup", [0, 1, 1.5])
def test_step_drops_with_the_first_step_of_an_epoch(warmup):
    schedule = Schedule(
        "step", drop_epochs=(2, 3, 5), drop_factor=0.3, warmup_epochs=warmup
    )
    steps, found = rates(schedule, 6, 4)
    drops = (steps >= 8).astype(int) + (steps >= 12) + (steps >= 20)
    expected = PEAK * rise(steps, round(4 * warmup)) * 0.3**drops
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("warmup", [0, 1, 0.5])
@pytest.mark.parametrize("fraction", [0.0, 0.05])
@pytest.mark.parametrize("kind", ["cosine", "linear"])
def test_cosine_and_linear(kind, fraction, warmup):
    schedule = Schedule(kind, warmup_epochs=warmup, final_fraction=fraction)
    steps, found = rates(schedule, 4, 6)
    warmup_steps = round(6 * warmup)
    progress = np.clip((steps - warmup_steps) / (24 - warmup_steps), 0, 1)
    shape = 0.5 * (1 + np.cos(np.pi * progress)) if kind == "cosine" else 1 - progress
    expected = PEAK * rise(steps, warmup_steps) * (fraction + (1 - fraction) * shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found[24:], fraction * PEAK, atol=1e-9)


def test_warm_up_that_fills_the_stage_rises_to_its_end():
    _, found = rates(Schedule("cosine", warmup_epochs=2), 2, 2, 0)
    np.testing.assert_allclose(
        found, PEAK * np.array([0.25, 0.5, 0.75, 1.0]), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "expected"),
    [(0, 7, 0), (3, 7, 21), (0.5, 7, 4), (0.1, 7, 1), (0.05, 7, 0), (1.5, 391, 586)],
)
def test_epochs_are_rounded_to_whole_steps(epochs, steps_per_epoch, expected):
    found = schedules.steps(epochs, steps_per_epoch)
    assert found == expected
    assert isinstance(found, int)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule("step", drop_epochs=(1, 2), drop_factor=0.3, warmup_epochs=0.5),
        Schedule("cosine", warmup_epochs=1, final_fraction=0.1),
    ],
)
def test_round_trip_through_keras_serialization(schedule):
    rate = schedules.learning_rate(schedule, PEAK, 3, 5)
    config = tf.keras.optimizers.schedules.serialize(rate)
    again = tf.keras.optimizers.schedules.deserialize(config)
    assert isinstance(again, schedules.LearningRate)
    assert again.get_config() == rate.get_config()
    assert [float(again(s)) for s in range(15)] == [float(rate(s)) for s in range(15)]


def test_optimizer_follows_the_schedule():
    """SGD on the loss w moves w by the rate of each step."""
    rate = schedules.LearningRate("linear", 1.0, total_steps=4, warmup_steps=2)
    optimizer = tf.keras.optimizers.SGD(rate)
    weight = tf.Variable(0.0)
    moved = []
    for _ in range(4):
        before = float(weight)
        optimizer.apply_gradients([(tf.constant(1.0), weight)])
        moved.append(before - float(weight))
    np.testing.assert_allclose(moved, [0.5, 1.0, 1.0, 0.5], rtol=1e-6)


def test_unknown_kind_is_an_error():
    with pytest.raises(InputError, match="'exponential', expected one of constant"):
        schedules.LearningRate("exponential", 1.0, total_steps=4)
