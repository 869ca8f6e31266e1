"""How far other sums move the digits' accuracy: other cores and instructions, one seed.

    python studies/machines.py --output=results/machines.csv

Another machine adds in another order. This one can be made to: with one core, with
older instructions, without oneDNN. Numbers are those of seed 0; what another seed
changes is in results/seeds.csv. Runs are kept in build/machines.
"""

import argparse
import os
import pathlib
import sys

import trainings
from turns import keep

WORK = trainings.ROOT / "build" / "machines"
# What is run: number of cores, and settings of the environment.
VARIANTS = {
    "two cores": (2, {}),
    "one core": (1, {}),
    "two cores, oneDNN with AVX2": (2, {"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "two cores, no oneDNN": (2, {"TF_ENABLE_ONEDNN_OPTS": "0"}),
}


def train(name: str) -> dict[str, str]:
    """Trains the digits in a variant; returns a row of the table, in fractions."""
    cores, settings = VARIANTS[name]
    workdir = WORK / name.replace(",", "").replace(" ", "_")
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    if len(chosen) < cores:
        sys.exit(f"{name!r} needs {cores} cores, this process may use {len(chosen)}.")
    found = trainings.train(
        WORK,
        workdir,
        env={**os.environ, **settings},
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )
    return {"variant": name, **{stage: f"{top1:.6f}" for stage, top1 in found.items()}}


def main() -> None:
    """Trains all variants and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, help="CSV to write")
    given = parser.parse_args()
    keep([train(name) for name in VARIANTS], given.output)


if __name__ == "__main__":
    trainings.in_words(main)
