"""What `metrics.csv` says about the epochs of each stage, damaged lines left out."""

import csv
import io
import itertools
import math
import pathlib
from collections.abc import Iterable
from dataclasses import dataclass

FLIPS = "flipped_weights"


@dataclass(frozen=True)
class History:
    """The epochs of one stage.

    Attributes:
      epochs: their numbers from 1, rising.
      values: by column, one number for each epoch, NaN where there is none.
    """

    epochs: tuple[int, ...]
    values: dict[str, tuple[float, ...]]

    def has(self, name: str) -> bool:
        """Whether any epoch has a number in this column."""
        return any(map(math.isfinite, self.values.get(name, ())))


@dataclass(frozen=True)
class Metrics:
    """All stages of a file.

    Attributes:
      stages: by number.
      problems: a sentence for each thing that is wrong with the file.
    """

    stages: dict[int, History]
    problems: tuple[str, ...] = ()


def read(path: pathlib.Path) -> Metrics:
    """Reads a `metrics.csv` as far as it can be read."""
    if not path.exists():
        return Metrics({}, (f"There is no {path.name}, so there are no curves.",))
    content = path.read_text(encoding="utf-8-sig", errors="replace")
    lines = csv.DictReader(io.StringIO(content.replace("\0", "\ufffd")), strict=False)
    if not {"stage", "epoch"} <= set(lines.fieldnames or ()):
        told = f"{path.name} holds no table with the columns stage and epoch, so there "
        return Metrics({}, (f"{told}are no curves.",))
    found: dict[tuple[int, int], dict[str, float]] = {}
    damaged: list[int] = []
    for line in lines:
        row = _numbers(line)
        if row is None:
            damaged.append(lines.line_num)
        else:
            found[int(row.pop("stage")), int(row.pop("epoch"))] = row
    if not damaged:
        return Metrics(_by_stage(found))
    which, be = ("lines", "are") if len(damaged) > 1 else ("line", "is")
    problem = (
        f"{path.name} is damaged: {which} {in_ranges(damaged)} cannot be read and {be} "
        "left out of the curves."
    )
    return Metrics(_by_stage(found), (problem,))


def _numbers(line: dict[str | None, str | None]) -> dict[str, float] | None:
    """A line's numbers by column, NaN for an empty cell; None if it is damaged."""
    try:
        if None in line or None in line.values():
            return None  # more or fewer cells than the head has
        row = {str(k): float(v) if v else math.nan for k, v in line.items()}
        if row["stage"] < 0 or row["epoch"] < 1:
            return None
        whole = all(row[name] == int(row[name]) for name in ("stage", "epoch"))
        return row if whole else None
    except (ValueError, OverflowError):
        return None


def _by_stage(found: dict[tuple[int, int], dict[str, float]]) -> dict[int, History]:
    stages = {}
    for number in sorted({stage for stage, _ in found}):
        epochs = sorted(epoch for stage, epoch in found if stage == number)
        rows = [found[number, epoch] for epoch in epochs]
        values = {name: tuple(row[name] for row in rows) for name in rows[0]}
        stages[number] = History(tuple(epochs), values)
    return stages


def missing(history: History | None, num_epochs: int) -> str | None:
    """A sentence about epochs without a row, None if there are none."""
    if history is None:
        return (
            "metrics.csv has no row of this stage: it was trained in another folder, "
            "or the rows were lost."
        )
    absent = sorted(set(range(1, num_epochs + 1)) - set(history.epochs))
    if not absent:
        return None
    return (
        f"metrics.csv lacks epoch{'s' * (len(absent) > 1)} {in_ranges(absent)} of "
        f"{num_epochs}: the lines go straight over the gap."
    )


def in_ranges(numbers: Iterable[int]) -> str:
    """Rising whole numbers for people: "1 to 3, 7"."""
    # Numbers that follow each other are equally far ahead of their places.
    runs = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    words = []
    for _, pairs in runs:
        run = [str(number) for _, number in pairs]
        words += run if len(run) < 3 else [f"{run[0]} to {run[-1]}"]
    return ", ".join(words)
