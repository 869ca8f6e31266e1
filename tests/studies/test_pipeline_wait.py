"""Waiting for the pipeline: what of a turn is timed, and what each source gives."""

import itertools
import time

import pytest

from r2b_keras import data, recipes


@pytest.fixture(scope="module")
def wait(load):
    return load("pipeline_wait")


def test_steps_that_are_ahead_are_not_timed(wait, monkeypatch):
    clock, taken = [0.0], []
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def step(source):
        # Ahead of the turn a step takes 100 s, in it 2 s.
        taken.append(next(source))
        clock[0] += 100 if len(taken) <= 3 else 2

    assert wait.turn(step, itertools.count(), ahead=3, steps=5) == 2
    assert taken == list(range(8))


def test_batches_are_those_that_training_gets(wait):
    recipe = recipes.apply_overrides(
        recipes.get("digits"), ["stages.3.batch_size=8", "stages.2.batch_size=16"]
    )
    images = data.load(recipe.data, None)
    (batch, labels), *_ = wait.batches(recipe, 3, images, 1)
    assert batch.shape == (8, *recipe.data.image_shape) and labels.shape == (8, 10)
    (expected, _), *_ = images.train(8, recipe.stages[3].augmentation, 0, 0, 1)
    assert (images.normalise(batch).numpy() == expected.numpy()).all()
