"""`seeds.csv`: what each seed of each experiment gave, from which the claims follow."""

import pathlib
import statistics
from collections.abc import Collection, Mapping
from typing import Any

from r2b_keras import files
from r2b_keras.checks import is_number
from r2b_keras.claims import LEAST_SEEDS, Claim, interval
from r2b_keras.errors import InputError
from r2b_keras.recipes.measured import FINGERPRINTS
from r2b_keras.reproduction import experiments
from r2b_keras.reproduction.definitions import Experiment, Statement, Term

FILE, CLAIMS = "seeds.csv", "claims.csv"

# Of each number its value by seed.
Measured = dict[Term, dict[int, float]]


def read(path: pathlib.Path) -> Measured:
    """The numbers of a file, none where there is no file yet.

    Raises:
      InputError: it holds something else.
    """
    found: Measured = {}
    if not path.exists():
        return found
    try:
        for row in files.read_csv(path):
            term = Term(row["experiment"], row["number"])
            value = float(row["value"])
            if not is_number(value):
                raise ValueError(f"{value} is not finite")
            found.setdefault(term, {})[int(row["seed"])] = value
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no table of seeds ({error}): restore it from the repository."
        ) from error
    return found


def write(path: pathlib.Path, measured: Measured) -> None:
    """Writes the numbers in the order of the experiments, whole or not at all."""
    terms = [
        Term(experiment.name, number.title)
        for experiment in experiments.EXPERIMENTS
        for number in experiment.numbers
    ]
    rows = [
        {
            "experiment": term.experiment,
            "number": term.title,
            "seed": seed,
            "value": repr(value),
        }
        for term in terms
        for seed, value in sorted(measured.get(term, {}).items())
    ]
    files.write_csv(path, rows)


def of_run(experiment: Experiment, folder: pathlib.Path) -> dict[Term, float]:
    """The numbers of a run that is complete.

    Raises:
      InputError: a file or a number is missing, or it was of other images.
    """
    found = {
        Term(experiment.name, number.title): _number(folder / number.file, number.key)
        for number in experiment.numbers
    }
    run = _object(folder / "recipe.json")
    source = run.get("recipe", {}).get("data", {}).get("source")
    check_images(source, run.get("data_fingerprint"))
    return found


def check_images(source: str | None, fingerprint: str | None) -> None:
    """Refuses other images than were measured; see `FINGERPRINTS`.

    Args:
      source: a recipe's `data.source`.
      fingerprint: SHA-256 of the images that there are.

    Raises:
      InputError: they are others.
    """
    known = FINGERPRINTS.get(source) if source else None
    if known is not None and fingerprint != known:
        raise InputError(
            f"The images of {source} here have the SHA-256 {fingerprint}, expected "
            f"{known}: make the set as README.md says, delete the folder of runs with "
            "them, then run the command again."
        )


def add(
    measured: Measured,
    experiment: Experiment,
    seed: int,
    found: Mapping[Term, float],
    of_this_code: Collection[str] = (),
) -> None:
    """Takes up what a seed of an experiment gave.

    If an accuracy is another than before, training or the machine has changed since,
    and all accuracies of the other seeds are forgotten, with all that they are compared
    with: all of a claim's come from one. So with sizes, which the converter changes,
    where one is more than a unit off.

    Args:
      measured: all numbers; changed in place.
      experiment: what was run.
      seed: with which seed.
      found: its numbers.
      of_this_code: names of experiments whose numbers are of the code that gave these:
        they are not forgotten.
    """
    for kind in (True, False):
        units = {
            Term(experiment.name, number.title): number.unit or 0.0
            for number in experiment.numbers
            if (number.unit is None) == kind
        }
        if any(
            abs(measured.get(term, {}).get(seed, found[term]) - found[term]) > unit
            for term, unit in units.items()
        ):
            others = experiments.compared_with(units.keys())
            old = {term for term in others if term.experiment not in of_this_code}
            for term in units.keys() | old:
                measured.pop(term, None)
    for term, value in found.items():
        measured.setdefault(term, {})[seed] = value


def has(measured: Measured, experiment: Experiment, seed: int) -> bool:
    """Whether all numbers of a seed are known."""
    terms = (Term(experiment.name, number.title) for number in experiment.numbers)
    return all(seed in measured.get(term, {}) for term in terms)


def values(measured: Measured, statement: Statement) -> dict[int, float]:
    """A statement's value for each seed that all its numbers have."""
    first, *others = (measured.get(term, {}) for term in statement.terms)
    return {
        seed: value - sum(other[seed] for other in others)
        for seed, value in sorted(first.items())
        if all(seed in other for other in others)
    }


def claims(measured: Measured) -> list[Claim]:
    """What may be claimed: every statement that has enough seeds."""
    found = []
    for statement in experiments.statements():
        known = list(values(measured, statement).values())
        if len(known) < LEAST_SEEDS:
            continue
        low, high = interval(known, statement.runs, statement.unit)
        if statement.is_share:
            low, high = max(low, 0.0), min(high, 1.0)
        names = ",".join(dict.fromkeys(term.experiment for term in statement.terms))
        found.append(
            Claim(
                statement.text,
                statistics.fmean(known),
                low,
                high,
                len(known),
                statement.runs,
                f"python -m r2b_keras.reproduce --experiment={names}",
            )
        )
    return found


def _number(path: pathlib.Path, key: str) -> float:
    found: Any = _object(path).get(key)
    if not is_number(found):
        raise InputError(
            f"{path} has no number {key!r}, expected a finite one: restore it from the "
            "repository, or run the experiment again in a new --workdir."
        )
    return float(found)


def _object(path: pathlib.Path) -> dict[str, Any]:
    """A JSON object that a run or a record has."""
    if not path.exists():
        raise InputError(
            f"There is no file {path}: run this command in a checkout of the "
            "repository, name its folder with --results, or record it with --record."
        )
    found: Any = files.read_json(path)
    return found if isinstance(found, dict) else {}
