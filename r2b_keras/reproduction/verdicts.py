"""Numbers that were measured again, beside those that are committed."""

import dataclasses
import math
import pathlib
from typing import Any

from r2b_keras import files
from r2b_keras.errors import InputError
from r2b_keras.reproduction.experiments import Claim, Experiment

# Standard deviations of the difference of two runs that still count as agreement: of
# normally distributed numbers 99.7 % lie within.
_DEVIATIONS = 3.0
# Part of a file's size that the trained weights may change.
_SIZE_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim, tried.

    Attributes:
      claim: which number.
      committed: its value under `results/`.
      measured: its value now.
      tolerance: how far apart two good runs may be.
    """

    claim: Claim
    committed: float
    measured: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the number is reproduced."""
        return abs(self.measured - self.committed) <= self.tolerance

    @property
    def text(self) -> str:
        """The verdict in words: "equal", "within tolerance" or "OFF"."""
        if not self.holds:
            return "OFF"
        return "equal" if self.measured == self.committed else "within tolerance"


def judge(
    experiment: Experiment, committed: pathlib.Path, measured: pathlib.Path
) -> list[Verdict]:
    """Compares all numbers of an experiment.

    Args:
      experiment: which.
      committed: the folder `results/`.
      measured: the folder that its commands have just filled.

    Raises:
      InputError: a file or a number is missing.
    """
    spreads = _spreads(committed)
    verdicts = []
    for claim in experiment.claims:
        old = _number(committed / experiment.name / claim.file, claim.key)
        new = _number(measured / claim.file, claim.key)
        if claim.kind == "size":
            tolerance = _SIZE_TOLERANCE * old
        elif claim.kind == "agreement":
            # One image, and what the fractions lose in rounding.
            tolerance = 1 / _number(measured / claim.file, "num_images") + 1e-9
        else:
            tolerance = _of_the_spread(spreads, experiment.name, claim)
        verdicts.append(Verdict(claim, old, new, tolerance))
    return verdicts


def _of_the_spread(spreads: dict[str, Any], experiment: str, claim: Claim) -> float:
    """Of two runs with different rounding, as far apart as two seeds.

    Another machine adds in another order, which a chaotic training turns into another
    result: as different as that of another seed. Two such results differ by sqrt(2)
    times the standard deviation of one.
    """
    stage = claim.file.split("/")[0] if "/" in claim.file else "the last stage"
    try:
        stages = spreads[experiment]
        # A converted file has the accuracy of the last stage.
        own = stages[stage if "/" in claim.file else max(stages)]
        deviation = float(own["standard_deviation"])
    except KeyError as error:
        raise InputError(
            f"spread.json has no spread of {stage} of {experiment} ({error} is "
            "missing): measure it with benchmarks/spread.py."
        ) from error
    return _DEVIATIONS * math.sqrt(2) * deviation


def _spreads(committed: pathlib.Path) -> dict[str, Any]:
    found = _read(committed / "spread.json")
    if not isinstance(found, dict):
        raise InputError(
            f"{committed / 'spread.json'} holds no spreads: restore it from the "
            "repository."
        )
    return found


def _number(path: pathlib.Path, key: str) -> float:
    values = _read(path)
    if not isinstance(values, dict) or not isinstance(values.get(key), int | float):
        raise InputError(
            f"{path} has no number {key!r}: restore it from the repository, or run the "
            "experiment again in a new --workdir."
        )
    return float(values[key])


def _read(path: pathlib.Path) -> Any:
    if not path.exists():
        raise InputError(
            f"There is no file {path}: run this command in a checkout of the "
            "repository, name its folder with --results, or record it with --record."
        )
    return files.read_json(path)


def to_text(experiment: Experiment, verdicts: list[Verdict]) -> str:
    """The table of one experiment."""
    lines = [
        f"{experiment.name:<30} {'committed':>12} {'measured':>12} {'tolerance':>10}"
        "  verdict"
    ]
    for verdict in verdicts:
        old, new, tolerance = (
            _shown(verdict.claim, value)
            for value in (verdict.committed, verdict.measured, verdict.tolerance)
        )
        lines.append(
            f"  {verdict.claim.title:<28} {old:>12} {new:>12} {tolerance:>10}  "
            f"{verdict.text}"
        )
    return "\n".join(lines)


def _shown(claim: Claim, value: float) -> str:
    return f"{value:,.0f}" if claim.kind == "size" else f"{value:.2%}"
