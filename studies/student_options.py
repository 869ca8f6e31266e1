"""What the options of later papers add to the chain on CIFAR-100, alone and together.

    python studies/student_options.py --data_dir=DIR --output=results/student_options

Each option is added to `cifar100_small`, with fewer epochs for its students, and
trained with the same seeds as the chain without it; what it shares with others is
trained once. Its network is converted, and timed in `r2b_runtime` beside the chain's.
What fails, a training or a conversion, is told at the end, and the others go on.
DIR is the folder of TensorFlow Datasets in which `cifar100` has been prepared. Runs are
kept in build/student_options: the same command goes on where it was stopped. Started
twice, with other `--seeds`, two processes share the work; the command then gathers it.
Writes `runs.csv`, a row for each run, and `options.csv`, a row for each option that has
more than one seed in common with the chain.
"""

import argparse
import importlib.util
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import trainings
from turns import keep, write

from r2b_keras.converters import benchmarking
from r2b_keras.significance import holm, noise_of, paired_test

WORK = trainings.ROOT / "build" / "student_options"
RECIPE, LAST = "cifar100_small", 3
NUM_IMAGES = 10_000
EPOCHS = {1: 8, 2: 8, 3: 16}
SEEDS = (0, 1, 2)
ENGINE = "r2b_runtime"


def _of(stages: Sequence[int], *changes: str) -> tuple[str, ...]:
    return tuple(f"stages.{stage}.{change}" for stage in stages for change in changes)


# From the stage on where it changes anything: those that move or compare activations
# change the layout of all students, clips want signs of activations, and the others
# signs of weights.
_BLOCK = {
    "shifts before PReLU": _of((1, 2, 3), "student.prelu_shifts=true"),
    "thresholds by the mean": _of((1, 2, 3), "student.thresholds=mean"),
    "clip of 1.5": _of((2, 3), "student.activation_clip=1.5"),
    "centred filters": _of((3,), "student.weight_standardization=center"),
    "ReCU's filters": _of(
        (3,),
        "student.weight_standardization=standardize",
        "student.weight_quantile=0.95",
    ),
}
# ReCU centres filters too.
CHAIN, ALL = "the chain", "all together"
OPTIONS: dict[str, tuple[str, ...]] = {
    CHAIN: (),
    **_BLOCK,
    ALL: sum(_BLOCK.values(), ()),
    "smoothed labels, 0.1": _of((3,), "losses.label_smoothing=0.1"),
}


def overrides(name: str) -> list[str]:
    """The changes of the recipe that an option is trained with."""
    epochs = [f"stages.{stage}.epochs={count}" for stage, count in EPOCHS.items()]
    return [*epochs, *OPTIONS[name]]


def leaves(name: str) -> str:
    """The first stage that an option changes; all before it are the chain's own."""
    return min((change.split(".")[1] for change in OPTIONS[name]), default="")


def _folder(name: str) -> pathlib.Path:
    return WORK / name.replace(" ", "_").replace(",", "")


def train(name: str, seed: int, data_dir: str | None) -> dict[str, Any]:
    """Trains an option with a seed; returns its row."""
    workdir = _folder(name) / f"seed_{seed}"
    given = [] if data_dir is None else [f"--data_dir={data_dir}"]
    given += [f"--override={change}" for change in overrides(name)]
    where = (f"--recipe={RECIPE}", f"--seed={seed}", f"--library={WORK / 'stages'}")
    found = trainings.train(WORK, workdir, *where, *given)
    last = {stage: found[stage] for stage in (f"stage_{LAST - 1}", f"stage_{LAST}")}
    return {"option": name, "seed": seed, **last}


def convert(name: str, seed: int, data_dir: str | None) -> bytes:
    """The file of an option's last network, which is made and verified once."""
    path = _folder(name) / "model.tflite"
    if not path.exists():
        given = [] if data_dir is None else [f"--data_dir={data_dir}"]
        given += [f"--workdir={_folder(name) / f'seed_{seed}'}", f"--stage={LAST}"]
        given += ["--real_weights=int8", f"--output={path}"]
        trainings.command(WORK, "convert", *given)
    return path.read_bytes()


def compare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each option less the chain, over the seeds that both have, in points.

    With the 95 % interval of the mean difference and the p-value of the t-test,
    corrected by Holm for all options. The noise is that of all that leave the chain
    where this option does, or earlier: what runs share, they have the noise of in
    common, so these have no less of it.
    """
    found = {
        name: {
            row["seed"]: row[f"stage_{LAST}"] for row in rows if row["option"] == name
        }
        for name in OPTIONS
    }
    compared, p_values = [], []
    for name in list(OPTIONS)[1:]:
        seeds = sorted(found[CHAIN].keys() & found[name].keys())
        if len(seeds) < 2:
            continue
        differences = [found[name][seed] - found[CHAIN][seed] for seed in seeds]
        alike = [found[x] for x in OPTIONS if leaves(x) <= leaves(name)]
        noise = noise_of(alike)
        mean, width, p_value = paired_test(differences, NUM_IMAGES, noise=noise)
        points = {"points": f"{100 * mean:+.2f}", "interval": f"{100 * width:.2f}"}
        compared.append({"option": name, "seeds": len(seeds), **points})
        p_values.append(p_value)
    for row, corrected in zip(compared, holm(p_values), strict=True):
        row["p_holm"] = f"{corrected:.3f}"
    return compared


def main() -> None:
    """Trains what is missing, times it, and writes both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of TensorFlow Datasets")
    parser.add_argument("--output", type=pathlib.Path, help="folder for both tables")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    given = parser.parse_args()
    # The chain first, whose time is that of which all others are multiples.
    chosen = [name for name in OPTIONS if name in (CHAIN, *given.options)]
    if importlib.util.find_spec(ENGINE) is None:
        sys.exit(f"{ENGINE} is not installed, in which networks are timed: install it.")
    rows, networks = [], {}
    failed: list[str] = []
    for seed in given.seeds:
        for name in chosen:
            with trainings.noting(failed, f"training {name} with seed {seed}"):
                rows.append(train(name, seed, given.data_dir))
                write(rows, given.output and given.output / "runs.csv")
    keep(rows, None)
    compared = compare(rows)
    keep(compared, given.output and given.output / "options.csv")
    # Of each the first seed that was trained to the end; the chain before the others.
    first = {row["option"]: row["seed"] for row in reversed(rows)}
    for name in (name for name in OPTIONS if name in first):
        with trainings.noting(failed, f"converting {name}"):
            networks[name] = convert(name, first[name], given.data_dir)
    ratios = {}
    if CHAIN in networks:
        timed = benchmarking.benchmark(networks, [ENGINE])
        ratios = {each.model: f"{each.ratio:.3f}" for each in timed}
    for row in compared:
        size = len(networks.get(row["option"], b"")) or ""
        row |= {"bytes": size, "time": ratios.get(row["option"], "")}
    keep(compared, given.output and given.output / "options.csv")
    trainings.tell(failed)


if __name__ == "__main__":
    trainings.in_words(main)
