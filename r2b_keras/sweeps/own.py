"""The recipe's own setting: trial 0 of every sweep, and how far seeds move it.

Without it nobody could say whether tuning has helped: the best of many trials is always
better than most of them, and a seed alone moves each.
"""

import statistics
from collections.abc import Sequence

from r2b_keras import claims, locks
from r2b_keras.errors import RUN_FAILURES
from r2b_keras.sweeps import hparams, trials
from r2b_keras.sweeps.results import (
    EPOCHS_NAME,
    FAILED,
    FINISHED,
    RUNNING,
    TrialRow,
    best,
)
from r2b_keras.sweeps.space import as_text
from r2b_keras.sweeps.sweep import Sweep
from r2b_keras.trainers.workdir import StageResult, Workdir

# How often the best of all trials may lie outside where seeds alone would put it.
_CHANCE = 0.05


def train(sweep: Sweep, wait: bool) -> None:
    """Trains the recipe as it is: trial 0, then with the seeds that follow its own.

    Args:
      sweep: the sweep's folder; what is complete there is not trained again.
      wait: for other processes that train it now; else that is left to them.
    """
    for offset in range(sweep.settings.seeds):
        folder = sweep.own(offset)
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock")
        if not wait and locks.is_held(lock):
            continue
        with locks.held(lock):
            if _is_open(sweep, offset):
                _train(sweep, offset)


def _is_open(sweep: Sweep, offset: int) -> bool:
    workdir = Workdir(sweep.own(offset))
    return not (workdir.result(sweep.settings.stage) or workdir.failure())


def _train(sweep: Sweep, offset: int) -> None:
    settings, folder = sweep.settings, sweep.own(offset)
    seed = settings.seed + offset
    print(f"\nthe recipe's own setting, seed {seed}", flush=True)
    result: StageResult | None = None
    try:
        result = trials.train(sweep, settings.recipe, folder, seed)
    except RUN_FAILURES as error:
        Workdir(folder).note_failure("the recipe's own setting", error)
    if offset == 0:
        hparams.write_trial(sweep, 0, sweep.own_values(), result)


def row(sweep: Sweep) -> TrialRow | None:
    """Trial 0, None before it has begun."""
    workdir = Workdir(sweep.own(0))
    if not workdir.path.exists():
        return None
    shown = {name: as_text(value) for name, value in sweep.own_values().items()}
    if sweep.settings.tuner == "hyperband":
        epochs = sweep.settings.recipe.stages[sweep.settings.stage].epochs
        shown[EPOCHS_NAME] = str(epochs)
    if reason := workdir.failure():
        return TrialRow(0, FAILED, shown, reason=reason)
    result = workdir.result(sweep.settings.stage)
    return TrialRow(0, FINISHED if result else RUNNING, shown, result)


def scores(sweep: Sweep) -> dict[int, float]:
    """Validation accuracy of the recipe's own setting by seed, of those finished."""
    found = {}
    for offset in range(sweep.settings.seeds):
        result = Workdir(sweep.own(offset)).result(sweep.settings.stage)
        if result is not None and result.validation_top1 is not None:
            found[sweep.settings.seed + offset] = result.validation_top1
    return found


def told(sweep: Sweep, rows: Sequence[TrialRow]) -> list[str]:
    """Lines about the spread of a number in the table, and whether tuning has helped.

    Args:
      sweep: the sweep's folder.
      rows: its trials, trial 0 among them.
    """
    first = best(rows)
    found = list(scores(sweep).values())
    return [
        f"spread      {_spread(found)}",
        f"helped      {_verdict(sweep, found, first, _num_tried(rows))}",
    ]


def _num_tried(rows: Sequence[TrialRow]) -> int:
    """The trials that the best was chosen from, without the recipe's own setting."""
    return sum(row.number > 0 and row.status == FINISHED for row in rows)


def _spread(found: list[float]) -> str:
    if len(found) < 2:
        return "not known, with one seed of the recipe's own setting (--seeds)"
    return (
        f"{100 * statistics.stdev(found):.2f} points, the standard deviation of the "
        f"recipe's own setting (trial 0) over {len(found)} seeds; their mean is "
        f"{statistics.fmean(found):.2%}"
    )


def _verdict(
    sweep: Sweep, found: list[float], first: TrialRow | None, num_tried: int
) -> str:
    """Whether the best lies above where seeds alone put the best of so many trials.

    The upper end is that of the claims, at a level which leaves `_CHANCE` above it to
    all trials together (Bonferroni): else the best of enough trials would always lie
    above.
    """
    if first is None or first.number == 0:
        return "no: no trial is better than the recipe's own setting"
    if len(found) < claims.LEAST_SEEDS:
        return (
            f"not known: it takes {claims.LEAST_SEEDS} seeds of the recipe's own "
            f"setting (--seeds), there are {len(found)}"
        )
    unit = 1 / sweep.settings.dataset.num_validation
    low, high = claims.interval(found, 1, unit, 1 - 2 * _CHANCE / num_tried)
    trials = "1 trial" if num_tried == 1 else f"{num_tried} trials"
    if high >= 1:
        return (
            f"not known: for all that {len(found)} seeds of the recipe's own setting "
            f"tell, they may bring one of {trials} to 100%; take more (--seeds)"
        )
    above = claims.place(first.score, low, high) == claims.ABOVE
    return (
        f"{'yes' if above else 'not shown'}: seeds alone keep {trials} of the recipe's "
        f"own setting below {high:.2%} in {1 - _CHANCE:.0%} of sweeps"
    )
