"""Figures of the pages: what an expression in a template may call.

Each reads the files under results/. What they are put into is in `render.py`.
"""

import json
import pathlib
import statistics
from typing import Any

from r2b_keras import files, tables
from r2b_keras.significance import paired_test

RESULTS = pathlib.Path(__file__).parent.parent / "results"


class PageError(ValueError):
    """A figure that results/ do not have, or a template that cannot be rendered."""


def values(file: str) -> Any:
    """Content of a JSON file under results/."""
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))


def rows(file: str, **columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file under results/ that have these values."""
    return [
        each
        for each in files.read_csv(RESULTS / file)
        if all(each[name] == value for name, value in columns.items())
    ]


def row(file: str, **columns: str) -> dict[str, str]:
    """The one row of a CSV file under results/ that has these values.

    Raises:
      PageError: no such row, or several.
    """
    found = rows(file, **columns)
    if len(found) != 1:
        raise PageError(f"results/{file} has {len(found)} rows of {columns}, not 1")
    return found[0]


def column(file: str, name: str, **columns: str) -> list[float]:
    """Numbers of a column, of the rows with these values, of which there is one."""
    found = rows(file, **columns)
    if not found:
        raise PageError(f"results/{file} has no row of {columns}")
    return [float(each[name]) for each in found]


def claimed(claim: str) -> dict[str, str]:
    """The claim of this name, with its interval; one with too few seeds is none."""
    return row("claims.csv", claim=claim)


def seeds_of(experiment: str, number: str) -> dict[int, float]:
    """A number of an experiment for each seed that was recorded."""
    seeds = column("seeds.csv", "seed", experiment=experiment, number=number)
    found = column("seeds.csv", "value", experiment=experiment, number=number)
    return dict(zip(map(int, seeds), found, strict=True))


def mean_of(name: str) -> str:
    """A share of images over the seeds that were recorded, with how many they are.

    Args:
      name: "experiment: number".
    """
    found = list(seeds_of(*name.split(": ", 1)).values())
    return _with_range(found, 2, f"{len(found)} seeds, ")


def _with_range(found: list[float], digits: int, of: str = "") -> str:
    """The mean of shares of images, and the least and the greatest, in percent."""
    value = percent(statistics.mean(found), digits)
    if len(found) == 1:
        return f"{value} (one seed)"
    low, high = (f"{100 * end:.{digits}f}" for end in (min(found), max(found)))
    return f"{value} ({of}{low} to {high})"


def difference(first: str, second: str) -> str:
    """How many points one number is above another, and how well that is known.

    With the 95 % confidence interval of the mean difference, seed by seed (Student's
    t): where it holds 0, nothing is shown.

    Args:
      first: "experiment: number", a share of images.
      second: what is taken from it.
    """
    mean, low, high, count = _interval(first, second)
    value = f"{100 * mean:+.2f} points"
    if count == 1:
        return f"{value} (one seed, which shows nothing)"
    told = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    told += ", which holds 0" if low <= 0 <= high else ""
    return f"{value} ({told}, {count} seeds)"


def above_mean(first: str, second: str) -> str:
    """How many points one number's mean over its seeds is above another's.

    Args:
      first: "experiment: number", a share of images.
      second: what is taken from it, of other seeds perhaps.
    """
    ours, theirs = (
        statistics.mean(seeds_of(*name.split(": ", 1)).values())
        for name in (first, second)
    )
    return f"{100 * (ours - theirs):+.2f}"


def _interval(first: str, second: str) -> tuple[float, float, float, int]:
    """The mean difference, the ends of its interval (NaN for one seed), and seeds."""
    ours, theirs = (seeds_of(*name.split(": ", 1)) for name in (first, second))
    both = sorted(ours.keys() & theirs.keys())
    if not both:
        raise PageError(f"results/seeds.csv has no seed of {first} and {second}")
    differences = [ours[seed] - theirs[seed] for seed in both]
    mean, width, _ = paired_test(differences, _num_images(first.partition(": ")[0]))
    return mean, mean - width, mean + width, len(both)


def _num_images(experiment: str) -> int:
    """How many images an experiment's accuracies were counted on."""
    from r2b_keras.reproduction import experiments

    return next(x.num_images for x in experiments.EXPERIMENTS if x.name == experiment)


def shown(first: str, second: str) -> str:
    """The same for a page that says which of the two is larger.

    Raises:
      PageError: the interval does not say so.
    """
    found = difference(first, second)
    _, low, high, _ = _interval(first, second)
    if not (low > 0 or high < 0):
        raise PageError(f"{first} and {second} differ by {found}")
    return found


def no_gain(*names: str) -> str:
    """The words "no gain", for a page that says that none is shown.

    Args:
      *names: "experiment: number" in pairs, the first of each less the second.

    Raises:
      PageError: the interval of a pair is above 0.
    """
    for first, second in zip(names[::2], names[1::2], strict=True):
        _, low, _, _ = _interval(first, second)
        if low > 0:
            raise PageError(f"{first} is above {second}: {difference(first, second)}")
    return "no gain"


def runs_told(name: str) -> str:
    """What as many seeds as a number has are good for, in words.

    Args:
      name: "experiment: number".
    """
    count = len(seeds_of(*name.split(": ", 1)))
    return "a single run, which shows nothing" if count == 1 else f"{count} runs"


def over_seeds(claim: str) -> str:
    """Where a share of images lies over seeds, or by how few it was measured."""
    known = rows("claims.csv", claim=claim)
    if not known:
        return seeds_told(len(seeds_of(*claim.split(": ", 1))))
    low, high = (percent(known[0][end], 1) for end in ("low", "high"))
    return f"{low} to {high}"


def same_seeds(file: str, what: str, *columns: str) -> str:
    """How many seeds all of what some columns of a CSV file tell apart have, in words.

    Args:
      file: under results/.
      what: their name, for the message.
      *columns: names of the columns.

    Raises:
      PageError: they have different ones.
    """
    seeds: dict[tuple[str, ...], set[str]] = {}
    for line in rows(file):
        key = tuple(line[name] for name in columns)
        seeds.setdefault(key, set()).add(line["seed"])
    first, *others = seeds.values()
    if any(each != first for each in others):
        raise PageError(f"results/{file}: not all {what} have the same seeds")
    return seeds_told(len(first))


def seeds_told(count: int) -> str:
    """How many seeds, in words."""
    return "one seed" if count == 1 else f"{count} seeds"


def markdown(file: str) -> str:
    """A CSV file under results/ as a table."""
    found = rows(file)
    head = [name.replace("_", " ") for name in found[0]]
    return tables.markdown([head, *(each.values() for each in found)])


def share(file: str, part: str) -> str:
    """Share of the time that all parts of a profile have whose names start so."""
    found = [each for each in rows(file) if each["part"].startswith(part)]
    if not found:
        raise PageError(f"results/{file} has no part that starts with {part!r}")
    return percent(sum(float(each["share"]) for each in found), 0)


def text(file: str) -> str:
    """A whole file under results/."""
    return (RESULTS / file).read_text(encoding="utf-8").strip("\n").rstrip()


def count(file: str, word: str) -> float:
    """The number behind the first `word` that starts a line of a file."""
    for line in text(file).splitlines():
        if line.startswith(word):
            return float(line.removeprefix(word).split()[0])
    raise PageError(f"no line of results/{file} starts with {word!r}")


def percent(fraction: float | str, digits: int = 2) -> str:
    """A fraction as the pages write it."""
    return tables.percent(float(fraction), digits)


def points(fraction: float, digits: int = 1) -> str:
    """A difference of two fractions, in percentage points."""
    return f"{100 * fraction:.{digits}f}"


def kib(num_bytes: float) -> str:
    """Bytes as KiB."""
    return tables.kibibytes(num_bytes)


def stage(run: str, number: int) -> dict[str, Any]:
    """What a finished stage gave."""
    return dict(values(f"{run}/stage_{number}/result.json"))


def top1(run: str, number: int) -> float:
    """Top-1 of a stage on the test set, a fraction."""
    return float(stage(run, number)["top1"])


def converted(run: str, file: str, in_runtime: str) -> str:
    """A row of a converted file: bytes, top-1 and equal answers in both engines.

    Args:
      run: folder under results/.
      file: name of the file, and of its evaluation in LCE.
      in_runtime: name of its evaluation in our runtime.

    Raises:
      PageError: the evaluations were not of one file and of those engines.
    """
    evaluations = [values(f"{run}/{name}.json") for name in (file, in_runtime)]
    sizes = {each["bytes"] for each in evaluations}
    engines = [each["engine"] for each in evaluations]
    if len(sizes) != 1 or engines != ["lce", "r2b_runtime"]:
        raise PageError(
            f"results/{run} has {file} and {in_runtime} of {sizes} bytes in {engines}"
        )
    cells = [f"`{file}`", f"{sizes.pop():,}"]
    for each in evaluations:
        cells += [percent(each["top1"]), percent(each["agreement"])]
    return f"| {' | '.join(cells)} |"


def most_lost() -> float:
    """What changed answers of a rounded file may cost, of the mean lead."""
    from r2b_keras.converters import rounded_verification

    return rounded_verification.MOST_LOST


def expected(recipe: str, number: int) -> float:
    """Top-1 that a recipe expects of a stage, as a fraction."""
    from r2b_keras import recipes

    found = recipes.get(recipe).stages[number].expected
    if found is None:
        raise PageError(f"stage {number} of {recipe} expects nothing")
    return found.top1


def ms(file: str, **columns: str) -> float:
    """Median latency in milliseconds of a row of a benchmark."""
    return float(row(file, **columns)["median_ms"])


def alternative(network: str, arithmetic: str, name: str) -> str:
    """A cell of the table of alternatives; times have two decimals there."""
    found = row("alternatives/alternatives.csv", network=network, arithmetic=arithmetic)
    return f"{float(found[name]):.2f}" if name == "ms" else found[name]


def epochs(*runs: str) -> int:
    """Epochs of all students of recorded runs, of which each has as many.

    Of a chain these are the epochs of all stages but the real-valued first one's.

    Raises:
      PageError: one has more than another.
    """
    from r2b_keras import recipes

    found = set()
    for run in runs:
        saved = recipes.completed(values(f"{run}/recipe.json"))
        stages = recipes.from_dict(saved["recipe"]).stages
        own = [each for each in stages if each.student.binarization != "real"]
        found.add(sum(each.epochs for each in own))
    if len(found) != 1:
        raise PageError(f"the students of {', '.join(runs)} have {found} epochs")
    return int(found.pop())


def ratio(file: str, **columns: str) -> str:
    """The ratio in a row of a study: its median, and quartiles over turns."""
    found = row(file, **columns)
    names = ("ratio", "ratio_lower_quartile", "ratio_upper_quartile")
    median, lower, upper = (f"{float(found[name]):.2f}" for name in names)
    return f"{median} ({lower} to {upper})"


def kernel(name: str) -> str:
    """Cells of a set of kernels: its time and ratio in floats, then in integers."""
    models = ("plain_float32.tflite", "integer_int8.tflite")
    rows = [{"model": model, "kernel": name} for model in models]
    file = "runtime/kernels.csv"
    return " | ".join(
        f"{float(row(file, **each)['ms']):.2f} | {ratio(file, **each)}" for each in rows
    )


def megabytes(file: str, **columns: str) -> float:
    """Size of a model in millions of bytes, the same for all engines of a benchmark."""
    found = set(column(file, "size_kib", **columns))
    if len(found) != 1:
        raise PageError(f"results/{file} has {len(found)} sizes of {columns}, not 1")
    return found.pop() * 1024 / 1e6


def step(number: int, precision: str) -> str:
    """Cells of a training step: images per second, ratio to larq-zoo, control."""
    file = "train_step/width_64.csv"
    columns = {"stage": str(number), "precision": precision}
    found = row(file, **columns)
    speed = float(found["ours_images_per_second"])
    control = float(found["ours_to_ours"])
    return f"{speed:.0f} | {ratio(file, **columns)} | {control:.2f}"


def table(file: str) -> str:
    """The table that training ended with, of all that it printed."""
    lines = text(file).splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("stage "))
    last = lines.index("", first)
    return "\n".join(lines[first:last])


def fine_tuned(pictures: int) -> str:
    """Cells of that many pictures of a class: each start's mean top-1 and its range."""
    file, given = "fine_tuning/fine_tuning.csv", str(pictures)
    return " | ".join(
        _with_range(column(file, "top1", pictures=given, start=start), 1)
        for start in ("fine-tuned", "fine-tuned for longer", "from scratch")
    )


def fine_tuning_seeds() -> str:
    """How many seeds every cell of the fine-tuning table is the mean of, in words.

    Raises:
      PageError: cells have different ones.
    """
    return same_seeds("fine_tuning/fine_tuning.csv", "cells", "pictures", "start")


_OPTIONS, _CHAIN = "student_options.csv", "none"


def chain_of_options() -> str:
    """Top-1 of the chain that options of later papers were added to."""
    found = column(_OPTIONS, "top1", option=_CHAIN)
    return _with_range(found, 2, f"{len(found)} seeds, ")


def student_options() -> str:
    """What each option of later papers gave, less the chain of its seed, in points."""
    lines = [["option", "after", "seeds", "test images", "images held out"]]
    for option, after in _options().items():
        gains = [_gains(option, name) for name in ("top1", "held_out")]
        cells = map(_gain, gains)
        lines.append([option, after, str(len(gains[0])), *cells])
    return tables.markdown(lines)


def none_gains(points_at_least: float) -> str:
    """The word "None", for a page that says that no option gains so much.

    Raises:
      PageError: one does, in the mean over its seeds.
    """
    for option in _options():
        mean = 100 * statistics.mean(_gains(option, "top1"))
        if mean >= points_at_least:
            raise PageError(f"results/{_OPTIONS}: {option} gains {mean:+.2f} points")
    return "None"


def _options() -> dict[str, str]:
    """Options of later papers, each with what it is after."""
    found = {each["option"]: each["after"] for each in rows(_OPTIONS)}
    del found[_CHAIN]
    return found


def _gains(option: str, name: str) -> list[float]:
    """A column of an option less that of the chain, seed by seed."""
    chain = {each["seed"]: each for each in rows(_OPTIONS, option=_CHAIN)}
    own = rows(_OPTIONS, option=option)
    return [float(each[name]) - float(chain[each["seed"]][name]) for each in own]


def _gain(found: list[float]) -> str:
    """The mean of gains, one a seed, and the least and the greatest, in points."""
    mean = f"{100 * statistics.mean(found):+.2f}"
    if len(found) == 1:
        return mean
    return f"{mean} ({100 * min(found):+.2f} to {100 * max(found):+.2f})"
