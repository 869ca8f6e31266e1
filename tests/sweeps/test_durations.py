"""Schedules of stages that are shortened or lengthened."""

import pytest

from r2b_keras import recipes
from r2b_keras.sweeps.durations import schedule_overrides
from r2b_keras.sweeps.space import change

DIGITS = recipes.get("digits")
# 350 epochs, drops at 150, 250 and 320, 5 of warm-up.
CIFAR100 = recipes.get("cifar100")


@pytest.mark.parametrize(
    ("epochs", "drops", "warmup"),
    [
        (35, (15, 25, 32), 0.5),
        (700, (300, 500, 640), 10.0),
        (4, (2, 3), 0.0571429),
        (2, (1,), 0.0285714),
    ],
)
def test_drops_and_warmup_keep_their_share(epochs, drops, warmup):
    stage = change(CIFAR100, {"stages.0.epochs": str(epochs)}).stages[0]
    assert (stage.epochs, stage.schedule.kind) == (epochs, "step")
    assert stage.schedule.drop_epochs == drops
    assert stage.schedule.warmup_epochs == warmup


def test_without_room_for_a_drop_the_rate_is_constant():
    stage = change(CIFAR100, {"stages.0.epochs": "1"}).stages[0]
    assert (stage.schedule.kind, stage.schedule.drop_epochs) == ("constant", ())


def test_every_stage_is_looked_after():
    changed = change(DIGITS, {"stages.*.epochs": "5"})
    assert [stage.epochs for stage in changed.stages] == [5, 5, 5, 5]
    warmups = [stage.schedule.warmup_epochs for stage in changed.stages]
    assert warmups == [0.5, 0.5, 0.333333, 0.0]


@pytest.mark.parametrize("path", ["stages.0.schedule", "stages.*.schedule"])
def test_what_is_named_is_left_alone(path):
    changes = {"stages.0.epochs": "5", f"{path}.warmup_epochs": "2"}
    assert schedule_overrides(DIGITS, changes) == {}


def test_without_epochs_nothing_changes():
    assert schedule_overrides(DIGITS, {"stages.0.batch_size": "32"}) == {}
