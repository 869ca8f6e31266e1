"""Measures how far apart the seeds of a recipe end, for `results/spread.json`.

    python benchmarks/spread.py digits digits/strong_baseline --seeds=5
    python benchmarks/spread.py digits --override=stages.3.absorb_magnitude=false \
        --name=digits_without_absorb_magnitude
    python benchmarks/spread.py digits --precision=bfloat16 --name=digits_bfloat16

    python benchmarks/spread.py --name=fashion_mnist \
        --runs runs/fashion_ablation/runs/all_real_{0,1,2}
    python benchmarks/spread.py --name=fashion_mnist_strong_baseline --first_stage=2 \
        --runs runs/fashion_ablation/runs/baseline_real_{0,1,2}

    python -m r2b_keras.ablate --recipe=results/ablation/recipe.json --rows=baseline \
        --override=stages.3.absorb_magnitude=false --seeds=3 --workdir=runs/not_absorbed
    python benchmarks/spread.py --first_stage=2 \
        --name=fashion_mnist_strong_baseline_as_in_the_paper \
        --runs runs/not_absorbed/runs/baseline_real_{0,1,2}

Another machine, or another number of cores, adds in another order, and training turns
that into another result, as another seed does. So the spread over seeds is what to
expect between machines; `python -m r2b_keras.reproduce` takes its tolerances from it.
Seeds that have been trained are kept in build/spread. Where a recipe takes hours, runs
of a smaller one stand for it: those of an ablation, above.
"""

import argparse
import json
import pathlib
import shlex
import statistics
import subprocess
import sys
from typing import Any

from r2b_keras import files

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "results" / "spread.json"
WORK = ROOT / "build" / "spread"


def train(recipe: str, name: str, seed: int, flags: list[str]) -> list[float]:
    """Trains all stages of a recipe with a seed; returns their top-1, fractions."""
    workdir = WORK / f"{name}_{seed}"
    subprocess.run(  # noqa: S603
        [
            sys.executable,
            "-m",
            "r2b_keras.train",
            f"--recipe={recipe}",
            f"--seed={seed}",
            f"--workdir={workdir}",
            *flags,
        ],
        check=True,
    )
    return top1s(workdir, 0)


def top1s(workdir: pathlib.Path, first_stage: int) -> list[float]:
    """Top-1 of the finished stages of a run from one on, fractions."""
    paths = workdir.glob("stage_*/result.json")
    stages = {int(path.parent.name.removeprefix("stage_")): path for path in paths}
    kept = [stages[number] for number in sorted(stages) if number >= first_stage]
    if not kept:
        sys.exit(f"{workdir} has no finished stage: name the folder of a whole run.")
    return [json.loads(path.read_text())["top1"] for path in kept]


def spreads(runs: list[list[float]]) -> dict[str, Any]:
    """Means and standard deviations of each stage, over the seeds from 0 on.

    Args:
      runs: for each seed the top-1 of all stages, at least two seeds.
    """
    found: dict[str, Any] = {}
    for number, values in enumerate(zip(*runs, strict=True)):
        found[f"stage_{number}"] = {
            "mean": statistics.mean(values),
            "standard_deviation": statistics.stdev(values),
            "top1": list(values),
        }
    return found


def keep(name: str, runs: list[list[float]]) -> None:
    """Writes the spread of some runs to the file, under a name."""
    known = files.read_json(RESULTS) if RESULTS.exists() else {}
    command = ["python", "benchmarks/spread.py", *sys.argv[1:]]
    known[name] = {"command": shlex.join(command), **spreads(runs)}
    files.write_json(RESULTS, known)
    print(json.dumps({name: known[name]}, indent=2))


def main() -> None:
    """Trains the seeds and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="*", help="names of recipes")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--name", help="folder under results/, the recipe's by default")
    parser.add_argument("--runs", nargs="+", type=pathlib.Path, help="finished runs")
    parser.add_argument("--first_stage", type=int, default=0, help="of those runs")
    given = parser.parse_args()
    if len(given.runs or range(given.seeds)) < 2:
        sys.exit("A spread needs at least two seeds: give --seeds=2 or more.")
    if bool(given.runs) == bool(given.recipes) or (given.runs and not given.name):
        sys.exit("Give either recipes to train, or finished --runs and their --name.")
    if given.runs:
        keep(given.name, [top1s(run, given.first_stage) for run in given.runs])
    WORK.mkdir(parents=True, exist_ok=True)
    flags = [f"--override={override}" for override in given.override]
    flags.append(f"--precision={given.precision}")
    for recipe in given.recipes:
        name = given.name or recipe.replace("/", "_")
        keep(name, [train(recipe, name, seed, flags) for seed in range(given.seeds)])


if __name__ == "__main__":
    main()
