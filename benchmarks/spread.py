"""Measures how far apart the seeds of a recipe end, for `results/spread.json`.

    python benchmarks/spread.py digits digits/strong_baseline --seeds=5
    python benchmarks/spread.py digits --override=stages.3.absorb_magnitude=false \
        --name=digits_without_absorb_magnitude
    python benchmarks/spread.py digits --precision=bfloat16 --name=digits_bfloat16

Another machine, or another number of cores, adds in another order, and training turns
that into another result, as another seed does. So the spread over seeds is what to
expect between machines; `python -m r2b_keras.reproduce` takes its tolerances from it.
Seeds that have been trained are kept in build/spread.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
from typing import Any

from r2b_keras import files, recipes

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
    results = (
        workdir / f"stage_{number}" / "result.json"
        for number in range(len(recipes.get(recipe).stages))
    )
    return [json.loads(path.read_text())["top1"] for path in results]


def spreads(top1s: list[list[float]]) -> dict[str, Any]:
    """Means and standard deviations of each stage, over the seeds from 0 on.

    Args:
      top1s: for each seed the top-1 of all stages, at least two seeds.
    """
    found: dict[str, Any] = {}
    for number, values in enumerate(zip(*top1s, strict=True)):
        found[f"stage_{number}"] = {
            "mean": statistics.mean(values),
            "standard_deviation": statistics.stdev(values),
            "top1": list(values),
        }
    return found


def main() -> None:
    """Trains the seeds and writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipes", nargs="+", help="names of recipes")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--name", help="folder under results/, the recipe's by default")
    given = parser.parse_args()
    if given.seeds < 2:
        sys.exit("A spread needs at least two seeds: give --seeds=2 or more.")
    WORK.mkdir(parents=True, exist_ok=True)
    flags = [f"--override={override}" for override in given.override]
    flags.append(f"--precision={given.precision}")
    for recipe in given.recipes:
        name = given.name or recipe.replace("/", "_")
        seeds = range(given.seeds)
        top1s = [train(recipe, name, seed, flags) for seed in seeds]
        known = files.read_json(RESULTS) if RESULTS.exists() else {}
        known[name] = spreads(top1s)
        files.write_json(RESULTS, known)
        print(json.dumps(known, indent=2))


if __name__ == "__main__":
    main()
