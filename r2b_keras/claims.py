"""Claims: numbers that the pages state, with the interval that new runs must fall in.

A claim is the mean of a number over n seeds, or of the differences of two numbers, seed
by seed. Its ends are the 99 % prediction interval for the mean of `runs` new seeds
(Student's t; s is the standard deviation over the n seeds):

    mean ± t(n - 1) s sqrt(1 / n + 1 / runs),    at least one unit to either side

The unit is the smallest step of the number: one test image. Another machine adds in
another order, which training turns into another result, as another seed does; so the
interval over seeds is what to expect between machines. Of a hundred claims that hold,
one is expected to fall outside on a new machine.

This is the one rule by which training's table, reports and `reproduce` judge a number.
Imports no TensorFlow.
"""

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Iterable, Sequence

from r2b_keras import files
from r2b_keras.errors import InputError

LEVEL = 0.99
# With fewer seeds nothing is claimed: the interval would span nearly anything.
LEAST_SEEDS = 5

WITHIN, BELOW, ABOVE = "as claimed", "below", "above"
# Fractions that went through text may have lost this much.
_ROUNDING = 1e-9


@dataclasses.dataclass(frozen=True)
class Claim:
    """A row of `claims.csv`.

    Attributes:
      claim: what it is about, such as "digits: stage 3, top-1".
      value: the mean over seeds; accuracies are fractions, sizes bytes.
      low: lower end of the interval.
      high: upper end.
      seeds: over how many seeds it was measured.
      runs: of how many new seeds the mean must lie between both.
      command: what measures it again.
    """

    claim: str
    value: float
    low: float
    high: float
    seeds: int
    runs: int
    command: str

    def __post_init__(self) -> None:
        """Refuses what is no claim."""
        is_bounded = math.isfinite(self.low) and math.isfinite(self.high)
        if not (is_bounded and self.low <= self.value <= self.high):
            raise InputError(
                f"{self.claim!r} has the value {self.value} outside of {self.low} to "
                f"{self.high}: make the claims anew with `reproduce --record`."
            )
        if self.seeds < LEAST_SEEDS or self.runs < 1:
            raise InputError(
                f"{self.claim!r} has {self.seeds} seeds for {self.runs} new ones, "
                f"expected at least {LEAST_SEEDS} for at least 1."
            )


def interval(
    values: Sequence[float], runs: int, unit: float, level: float = LEVEL
) -> tuple[float, float]:
    """Where the mean of new runs lies, see the head of this file.

    Args:
      values: of the known runs, at least two.
      runs: how many new ones there are.
      unit: smallest step of a value, in its own unit.
      level: how often, a fraction below 1.
    """
    from scipy import stats

    count = len(values)
    t = float(stats.t.ppf(0.5 + level / 2, count - 1))
    error = statistics.stdev(values) * math.sqrt(1 / count + 1 / runs)
    half, mean = max(t * error, unit), statistics.fmean(values)
    return mean - half, mean + half


def place(value: float, low: float, high: float) -> str:
    """Where a measured value lies: `WITHIN`, `BELOW` or `ABOVE` the interval.

    What is no number is not within: `BELOW`.
    """
    if not value >= low - _ROUNDING:
        return BELOW
    return ABOVE if value > high + _ROUNDING else WITHIN


def read(path: pathlib.Path) -> dict[str, Claim]:
    """The claims of a file by what they are about.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    try:
        found = [_claim(row) for row in files.read_csv(path)]
    except FileNotFoundError as error:
        raise InputError(
            f"There is no file {path}: run this command in a checkout of the "
            "repository, or name its folder with --results."
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no table of claims ({error}): restore it from the repository, "
            "or make it anew with `reproduce --record`."
        ) from error
    return {claim.claim: claim for claim in found}


def _claim(row: dict[str, str]) -> Claim:
    value, low, high = (float(row[name]) for name in ("value", "low", "high"))
    seeds, runs = int(row["seeds"]), int(row["runs"])
    return Claim(row["claim"], value, low, high, seeds, runs, row["command"])


def write(path: pathlib.Path, claims: Iterable[Claim]) -> None:
    """Writes the claims, whole or not at all."""
    columns = [field.name for field in dataclasses.fields(Claim)]
    files.write_csv(path, [dataclasses.asdict(claim) for claim in claims], columns)
