"""Figures of the ablation's page; see `figures.py`.

A study is the name of a folder under results/ that `ablate` wrote.
"""

import decimal
import statistics
import typing
from typing import Any

from figures import PageError, column, row, rows, same_seeds

from r2b_keras.ablations import comparison
from r2b_keras.ablations.runs import Outcome


def versus(study: str, name: str, other: str, downsample: str = "real") -> str:
    """Top-1 of a row of an ablation less that of another, ± 95 %, and its p-values.

    In percentage points; p of the t-test alone, then after Holm's correction
    for all pairs of rows of this downsampling.

    Raises:
      PageError: the file does not compare these rows.
    """
    difference, interval, alone, corrected = _compared(study, name, other, downsample)
    points_apart = f"{difference:+} ± {interval}"
    return f"{points_apart} (p {_p_value(alone)}, Holm {_p_value(corrected)})"


def above(study: str, name: str, other: str, downsample: str = "real") -> str:
    """The same difference without p, for a page that says that a row is the better one.

    Raises:
      PageError: it is not: its corrected p-value is 0.05 or more, or it is below.
    """
    difference, interval, _, corrected = _compared(study, name, other, downsample)
    if not (difference > 0 and corrected < 0.05):
        found = versus(study, name, other, downsample)
        raise PageError(f"results/{study} does not show {name} above {other}: {found}")
    return f"{difference:+} ± {interval}"


def likely(study: str, name: str, other: str, downsample: str = "real") -> str:
    """The same as `versus`, for a page that calls it likely that a row is better.

    Raises:
      PageError: it is shown, or not likely either: its p-value alone is 0.05 or more.
    """
    difference, _, alone, corrected = _compared(study, name, other, downsample)
    found = versus(study, name, other, downsample)
    if not (difference > 0 and alone < 0.05 <= corrected):
        raise PageError(f"results/{study}: {name} above {other} is not likely: {found}")
    return found


def _compared(
    study: str, name: str, other: str, downsample: str
) -> tuple[decimal.Decimal, decimal.Decimal, float, float]:
    """Difference and half its interval, in points; p alone and corrected."""
    file = f"{study}/comparisons.csv"
    lines = rows(file, downsample=downsample)
    pairs = {(line["first"], line["second"]): line for line in lines}
    pair = pairs.get((other, name)) or pairs.get((name, other))
    if pair is None:
        raise PageError(
            f"results/{file} does not compare {name} with {other}, {downsample}"
        )
    sign = 1 if pair["second"] == name else -1
    return (
        sign * _points(pair["difference"]),
        _points(pair["interval"]),
        float(pair["p_value"]),
        float(pair["p_holm_all_pairs"]),
    )


def in_one_family(studies: tuple[str, ...], name: str, other: str) -> str:
    """Holm's p of two rows among all pairs of rows of several studies of one recipe."""
    found = {
        (line["row"], line["downsample"], line["seed"]): _outcome(line)
        for study in studies
        for line in rows(f"{study}/runs.csv")
    }
    pairs = comparison.compare(list(found.values()))
    (pair,) = (each for each in pairs if {each.first, each.second} == {name, other})
    return _p_value(pair.p_holm_all_pairs)


def _outcome(line: dict[str, str]) -> Outcome:
    """A row of `runs.csv`; what was not measured is empty there."""
    kinds = typing.get_type_hints(Outcome)
    read = {name: kind if kind in (int, str) else float for name, kind in kinds.items()}
    values: dict[str, Any] = dict.fromkeys(kinds)
    values |= {name: read[name](text) for name, text in line.items() if text}
    return Outcome(**values)


def _points(fraction: str) -> decimal.Decimal:
    """A fraction in a file as points; a half of the last digit is a whole one."""
    points = 100 * decimal.Decimal(fraction)
    return points.quantize(decimal.Decimal("0.01"), decimal.ROUND_HALF_UP)


def _p_value(value: float) -> str:
    """Two digits; near 0.05, where they do not say on which side it lies, four."""
    if value < 0.005:
        return "< 0.005"
    return f"{value:.4f}" if 0.045 <= value < 0.055 else f"{value:.2f}"


def not_shown(file: str, **columns: str) -> str:
    """The words "Not shown", for a page that says so of rows of a comparison.

    Raises:
      PageError: a p-value of theirs, corrected where there are many, is below 0.05.
    """
    name = "p_holm_all_pairs" if file.endswith("comparisons.csv") else "p_value"
    least = min(column(file, name, **columns))
    if least < 0.05:
        raise PageError(f"results/{file} shows {columns}: its {name} is {least}")
    return "Not shown"


def by_seed(
    study: str,
    name: str,
    other: str,
    downsample: str = "real",
    other_downsample: str = "",
) -> str:
    """Top-1 of a row of an ablation less that of another, in points, seed by seed.

    Raises:
      PageError: they have not the same seeds.
    """
    kinds = (downsample, other_downsample or downsample)
    ours, theirs = (
        _top1s(f"{study}/runs.csv", row=row, downsample=kind)
        for row, kind in zip((name, other), kinds, strict=True)
    )
    return _less(
        ours,
        theirs,
        f"results/{study}/runs.csv has seeds {sorted(ours)} of {name} and "
        f"{sorted(theirs)} of {other}",
    )


def by_seed_above(file: str, study: str, name: str) -> str:
    """Top-1 of a row of a study less that of the runs in a file, in points, by seed.

    Raises:
      PageError: they have not the same seeds.
    """
    ours = _top1s(f"{study}/runs.csv", row=name, downsample="real")
    problem = f"results/{file} has not the seeds of {name} in {study}"
    return _less(ours, _top1s(file), problem)


def _top1s(file: str, **columns: str) -> dict[int, float]:
    """Top-1 after the last stage of the runs with these values, by seed."""
    return {
        int(line["seed"]): float(line["binary_weights"])
        for line in rows(file, **columns)
    }


def _less(ours: dict[int, float], theirs: dict[int, float], problem: str) -> str:
    """Differences in points, seed by seed; `problem` where seeds are not the same."""
    if not ours or ours.keys() != theirs.keys():
        raise PageError(problem)
    return ", ".join(
        f"{100 * (ours[seed] - theirs[seed]):+.2f}" for seed in sorted(ours)
    )


def seeds(study: str) -> str:
    """How many seeds every row of an ablation has, in words.

    Raises:
      PageError: rows have different ones.
    """
    return same_seeds(f"{study}/runs.csv", "rows", "row", "downsample")


def each_percent(file: str, **columns: str) -> str:
    """Top-1 after the last stage of the runs in a file, seed by seed, in percent.

    Raises:
      PageError: the rows are several of a seed.
    """
    found = _top1s(file, **columns)
    if len(found) != len(rows(file, **columns)):
        raise PageError(f"results/{file} has several rows of {columns} of one seed")
    return ", ".join(f"{100 * found[seed]:.2f}" for seed in sorted(found)) + " %"


def mean_top1(study: str, name: str, downsample: str = "real") -> str:
    """Mean top-1 of a row's runs after the last stage ± standard deviation, percent."""
    columns = {"row": name, "downsample": downsample}
    found = column(f"{study}/runs.csv", "binary_weights", **columns)
    return f"{100 * statistics.mean(found):.2f} ± {100 * statistics.stdev(found):.2f}"


def runs_above(study: str, higher: str, lower: str) -> str:
    """In how many runs of an ablation one column is above another."""
    file = f"{study}/runs.csv"
    pairs = list(zip(column(file, higher), column(file, lower), strict=True))
    return f"{sum(one > two for one, two in pairs)} of {len(pairs)} runs"


def gain(study: str, part: str, name: str, downsample: str = "real") -> str:
    """What attention matching changes for a part of an ablation, in points."""
    found = row(f"{study}/interactions.csv", part=part, downsample=downsample)
    return f"{_points(found[name]):+}"
