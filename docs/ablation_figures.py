"""Figures of the ablation's page; see `figures.py`."""

import itertools

from figures import PageError, column, row, rows, text


def versus(name: str, other: str, downsample: str = "real") -> str:
    """Top-1 of a row of the ablation less that of another, ± 95 %, and its p-values.

    In percentage points; p of the t-test alone, then after Holm's correction
    for all pairs of rows of this downsampling.

    Raises:
      PageError: the file does not compare these rows.
    """
    file = "ablation/comparisons.csv"
    lines = rows(file, downsample=downsample)
    pairs = {(line["first"], line["second"]): line for line in lines}
    pair = pairs.get((other, name)) or pairs.get((name, other))
    if pair is None:
        raise PageError(
            f"results/{file} does not compare {name} with {other}, {downsample}"
        )
    sign = 1 if pair["second"] == name else -1
    difference, interval, alone, corrected = (
        float(pair[key])
        for key in ("difference", "interval", "p_value", "p_holm_all_pairs")
    )
    points_apart = f"{sign * 100 * difference:+.2f} ± {100 * interval:.2f}"
    return f"{points_apart} (p {alone:.2f}, Holm {corrected:.2f})"


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
    name: str, other: str, downsample: str = "real", other_downsample: str = ""
) -> str:
    """Top-1 of a row of the ablation less that of another, in points, seed by seed.

    Raises:
      PageError: they have not the same seeds.
    """
    kinds = (downsample, other_downsample or downsample)
    ours, theirs = (
        {
            int(line["seed"]): float(line["binary_weights"])
            for line in rows("ablation/runs.csv", row=row, downsample=kind)
        }
        for row, kind in zip((name, other), kinds, strict=True)
    )
    if not ours or ours.keys() != theirs.keys():
        raise PageError(
            f"results/ablation/runs.csv has seeds {sorted(ours)} of {name} and "
            f"{sorted(theirs)} of {other}"
        )
    return ", ".join(
        f"{100 * (ours[seed] - theirs[seed]):+.2f}" for seed in sorted(ours)
    )


def lines_of_table(file: str) -> str:
    """The first table in a file under results/, without what stands around it.

    Raises:
      PageError: it has none.
    """
    lines = text(file).splitlines()
    found = list(itertools.takewhile(lambda line: line.startswith("|"), lines))
    if len(found) < 3:
        raise PageError(f"results/{file} does not begin with a table")
    return "\n".join(found)


def one_seed(file: str) -> str:
    """The words "one seed", for a page that says so of the runs in a file.

    Raises:
      PageError: there are others.
    """
    seeds = sorted({line["seed"] for line in rows(file)})
    if len(seeds) != 1:
        raise PageError(f"results/{file} has the seeds {', '.join(seeds)}")
    return "one seed"


def every_run(higher: str, lower: str) -> str:
    """The words "every run", for a page that says how two columns of all runs differ.

    Raises:
      PageError: a run of the ablation has no higher value in the first than in the
        second.
    """
    file = "ablation/runs.csv"
    pairs = zip(column(file, higher), column(file, lower), strict=True)
    others = sum(one <= two for one, two in pairs)
    if others:
        raise PageError(f"results/{file} has {others} runs whose {higher} is not above")
    return "every run"


def gain(part: str, name: str, downsample: str = "real") -> str:
    """What attention matching changes for a part of the ablation, in points."""
    found = row("ablation/interactions.csv", part=part, downsample=downsample)
    value = float(found[name])
    return f"{100 * value:+.2f}"
