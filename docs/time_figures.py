"""Figures of time: how long runs took, and where a network's goes; see `figures.py`."""

import json

import figures
from figures import PageError, percent, text

from r2b_keras import claims
from r2b_keras.reproduction import comparison, experiments, seeds


def hours(run: str) -> str:
    """How long all stages of a recorded run were trained: "1 h 55 min"."""
    whole, minutes = divmod(round(sum(_stages(run).values()) / 60), 60)
    return f"{whole} h {minutes} min" if whole else f"{minutes} min"


def reproduction_hours() -> str:
    """Core-hours of all that `reproduce` trains; stages that runs share count once."""
    claimed = claims.read(figures.RESULTS / seeds.CLAIMS)
    tried = comparison.to_try(experiments.EXPERIMENTS, claimed, quick=False)
    seconds: dict[str, float] = {}  # by the result, which two trainings never share
    for experiment in experiments.EXPERIMENTS:
        runs = len(comparison.seeds_needed(experiment, tried))
        for result, took in _stages(experiment.name).items():
            seconds[result] = max(runs * took, seconds.get(result, 0.0))
    return f"{sum(seconds.values()) / 3600:.0f}"


def _stages(run: str) -> dict[str, float]:
    """Seconds of each stage of a recorded run, by its result.

    Raises:
      PageError: it has none.
    """
    paths = (figures.RESULTS / run).glob("stage_*/result.json")
    results = [path.read_text(encoding="utf-8") for path in paths]
    if not results:
        raise PageError(f"results/{run} has no stages")
    return {result: json.loads(result)["seconds"] for result in results}


def part(name: str) -> str:
    """Cells of a part of the profile: milliseconds, and their share of the network.

    The parts are the stem, the binary convolutions of each of the four groups, the
    downsampling, pools, gates and the classifier, in the order of the network.
    """
    found: dict[str, float] = {"all": 0.0}
    group, last = 0, ""
    _, _, head, *lines = text("runtime/profile.txt").splitlines()
    for line in lines[:-1]:
        time = float(line.split()[0])
        title = line[head.index("step") :].strip()
        group += "average pool" in title
        for own in ("all", _part(title, last, group)):
            found[own] = found.get(own, 0.0) + time
        last = title
    return f"{found[name]:.2f} | {percent(found[name] / found['all'], 0)}"


def _part(title: str, last: str, group: int) -> str:
    if "max pool" in title:
        return "stem"
    if "binary convolution" in title:
        return f"binary {group}"
    if "dense layer" in title:
        return "classifier"
    if "average pool" in title:
        return "pools"
    return "downsampling" if "average pool" in last else "gates"
