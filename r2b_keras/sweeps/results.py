"""What the trials gave: `trials.csv`, the table on the terminal, the best recipe."""

import dataclasses
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from r2b_keras import files, tables
from r2b_keras.errors import InputError
from r2b_keras.sweeps.space import as_text
from r2b_keras.sweeps.sweep import EPOCHS, Sweep, trial_number
from r2b_keras.trainers.workdir import StageResult, Workdir

FINISHED, FAILED, RUNNING = "finished", "failed", "running"
# In a row: the epochs that Hyperband gives to a trial.
EPOCHS_NAME = "stage.epochs"


@dataclasses.dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
      number: counted in the order of their start; 0 is the recipe's own setting.
      status: "finished", "failed" or "running".
      values: of the varied fields by their names in the space, as overrides have them.
      result: of the stage that is tuned, None unless finished.
      reason: why it has failed, else empty.
    """

    number: int
    status: str
    values: dict[str, str]
    result: StageResult | None = None
    reason: str = ""

    @property
    def score(self) -> float:
        """Accuracy on the validation part, a fraction; below all others without one."""
        found = self.result.validation_top1 if self.result else None
        return -1.0 if found is None else found


def read_rows(sweep: Sweep, trials: Iterable[Any]) -> list[TrialRow]:
    """Collects the trials.

    Args:
      sweep: the sweep's folder.
      trials: Keras Tuner's.

    Returns:
      A row for each, in the order of their start, without the recipe's own.
    """
    rows = [_read_row(sweep, trial) for trial in trials]
    return sorted(rows, key=lambda row: row.number)


def _read_row(sweep: Sweep, trial: Any) -> TrialRow:
    number, chosen = trial_number(trial.trial_id), trial.hyperparameters.values
    workdir = Workdir(sweep.trial(number))
    names = [field.name for field in sweep.settings.space.fields]
    values = {name: as_text(chosen[name]) for name in names}
    if EPOCHS in chosen:
        values[EPOCHS_NAME] = str(chosen[EPOCHS])
    if trial.status == "FAILED":
        reason = workdir.failure() or trial.message
        return TrialRow(number, FAILED, values, reason=str(reason))
    result = workdir.result(sweep.settings.stage)
    if trial.status != "COMPLETED" or result is None:
        return TrialRow(number, RUNNING, values)
    return TrialRow(number, FINISHED, values, result)


def ranked(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """The best first; of equals the earlier."""
    return sorted(rows, key=lambda row: (-row.score, row.number))


def best(rows: Iterable[TrialRow]) -> TrialRow | None:
    """The trial with the best validation accuracy, None while none has finished."""
    finished = [row for row in rows if row.status == FINISHED]
    return ranked(finished)[0] if finished else None


def short_name(name: str) -> str:
    """A field's name without the stage that is tuned."""
    return name.removeprefix("stage.")


def to_csv(rows: Sequence[TrialRow]) -> str:
    """One row a trial, in the order of their start.

    The accuracy on the test images is not in it: to choose by it would spoil it.
    """
    return tables.to_csv([_csv_row(row) for row in rows])


def _csv_row(row: TrialRow) -> dict[str, Any]:
    result = row.result
    return {
        "trial": row.number,
        "status": row.status,
        "validation_top1": row.score if result else "",
        "epochs": result.epochs if result else "",
        "seconds": f"{result.seconds:.1f}" if result else "",
        "bytes": result.bytes if result else "",
        **row.values,
        "reason": row.reason,
    }


def to_text(rows: Sequence[TrialRow]) -> str:
    """The table for people, the best trial first."""
    names = list(rows[0].values)
    head = ["trial", "validation", "seconds", "size", *_heads(names)]
    lines = [head]
    for row in ranked(rows):
        numbers = [row.status, "-", "-"]
        if row.result:
            size = tables.kibibytes(row.result.bytes)
            numbers = [f"{row.score:.2%}", f"{row.result.seconds:.1f}", size]
        number = str(row.number) if row.number else "recipe 0"
        lines.append([number, *numbers, *(row.values[n] for n in names)])
    return tables.aligned(lines)


def _heads(names: Sequence[str]) -> list[str]:
    """Last words of the fields' names; more where two end alike."""
    last = [name.rpartition(".")[2] for name in names]
    return [
        word if last.count(word) == 1 else short_name(name)
        for name, word in zip(names, last, strict=True)
    ]


def summary(
    sweep: Sweep, rows: Sequence[TrialRow], max_trials: int, told: Sequence[str] = ()
) -> str:
    """The table, the best trial, what failed, and where everything lies.

    Args:
      sweep: the sweep's folder.
      rows: its trials.
      max_trials: how many there might have been.
      told: lines about the recipe's own setting, after that of the best trial.

    Raises:
      InputError: no trial has finished.
    """
    first = best(rows)
    failed = [row for row in rows if row.status == FAILED]
    if first is None or first.result is None:
        why = f": {failed[-1].reason}" if failed else "."
        raise InputError(
            f"None of the {len(rows)} trials in {sweep.path} has finished, expected at "
            f"least one: choose a narrower space; the last of them failed{why}"
        )
    lines = ["", to_text(rows), ""]
    if len(rows) < max_trials:
        lines.append(
            f"ended       after {len(rows)} of {max_trials} trials: there are no other "
            "values to try"
        )
    if failed:
        numbers = ", ".join(str(row.number) for row in failed)
        lines.append(f"failed      {numbers}; trials.csv says why")
    lines += [
        f"best        trial {first.number}: validation {first.score:.2%}, test "
        f"{first.result.top1:.2%} (of this trial alone, after it was chosen)",
        *told,
        f"files       {sweep.path}/trials.csv, sweep.png, best_recipe.json",
        f"curves      tensorboard --logdir={sweep.path}",
        f"train it    {_training(sweep)}",
    ]
    return "\n".join(lines)


def _training(sweep: Sweep) -> str:
    """The command that gives the best trial's accuracy again, as a shell takes it."""
    settings = sweep.settings
    words = [
        *("python", "-m", "r2b_keras.train"),
        f"--recipe={sweep.path}/best_recipe.json",
        f"--stage={settings.stage}",
        f"--seed={settings.seed}",
        f"--workdir={sweep.path}_best",
    ]
    if settings.precision != "float32":
        words.append(f"--precision={settings.precision}")
    if settings.data_dir is not None:
        words.append(f"--data_dir={settings.data_dir}")
    words += [f"--import={name}" for name in settings.modules]
    return shlex.join(words)


def write_best_recipe(sweep: Sweep, row: TrialRow) -> None:
    """Writes the recipe of the best trial, as `train --recipe=FILE` takes it."""
    settings = sweep.settings
    trained = files.read_json(sweep.trial(row.number) / "recipe.json")
    files.write_json(
        sweep.path / "best_recipe.json",
        {
            "recipe": trained["recipe"],
            "stage": settings.stage,
            "seed": settings.seed,
            "precision": settings.precision,
            "trial": row.number,
            "validation_top1": row.score,
            "values": row.values,
        },
    )
