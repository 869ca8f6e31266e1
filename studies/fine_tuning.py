"""How few pictures of new classes a trained network needs, beside one from scratch.

    python studies/fine_tuning.py --data_dir=DIR --output=results/fine_tuning

Ten of CIFAR-100's classes are set aside. `cifar100_small`, with fewer epochs, trains on
the pictures of the other ninety, in folders, as a user has them. On some pictures of
each of the ten, `pictures/fine_tuning` then goes on from that network (`--start_from`),
as it stands and with as many steps as for the most pictures, and
`cifar100_small/strong_baseline` starts from nothing with that many steps; all are
tested on all test pictures of the ten. Which pictures are taken changes with the seed,
as does all that is random in these runs; the network that is gone on from is one, of
seed 0.

DIR is the folder of TensorFlow Datasets in which `cifar100` has been prepared. Runs are
kept in build/fine_tuning: the same command goes on where it was stopped. Writes
`fine_tuning.csv`, a row for each run, and `fine_tuning.png`.
"""

import argparse
import collections
import itertools
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import trainings
from PIL import Image
from turns import keep, write

from r2b_keras import drawing, files, recipes
from r2b_keras.data import sources

WORK = trainings.ROOT / "build" / "fine_tuning"
RECIPE, FINE_TUNING = "cifar100_small", "pictures/fine_tuning"
# Of the network that is gone on from: 40 minutes of a core instead of two hours.
EPOCHS = {0: 20, 1: 8, 2: 8, 3: 16}
# Every tenth class is new.
NEW = slice(9, None, 10)
PICTURES = (10, 50, 200)
SEEDS = (0, 1, 2)
TUNED, LONG, SCRATCH = "fine-tuned", "fine-tuned for longer", "from scratch"
STARTS = {TUNED: drawing.BLUE, LONG: drawing.SKY, SCRATCH: drawing.ORANGE}
TABLE, CHART = "fine_tuning.csv", "fine_tuning.png"
# Pixels of the chart.
WIDTH, HEIGHT = 640, 400


def write_pictures(
    examples: Iterable[Any], names: dict[int, str], to: pathlib.Path
) -> None:
    """Writes the pictures of some classes as CLASS/NUMBER.png, whole or not at all.

    Args:
      examples: (image [h, w, 3] uint8, label), in order.
      names: of the classes that are written, by label.
      to: folder that is made; one that is there stays as it is.
    """
    if to.exists():
        return
    unfinished = to.with_name(f"{to.name}.unfinished")
    for name in names.values():
        (unfinished / name).mkdir(parents=True, exist_ok=True)
    numbers: collections.Counter[int] = collections.Counter()
    for image, label in examples:
        if int(label) in names:
            path = unfinished / names[int(label)] / f"{numbers[int(label)]:04}.png"
            Image.fromarray(image).save(path)
            numbers[int(label)] += 1
    unfinished.rename(to)


def choose_pictures(
    known: pathlib.Path, count: int, seed: int, to: pathlib.Path
) -> None:
    """Links `count` pictures of each class, chosen by the seed."""
    random = np.random.default_rng([seed, count])
    for folder in sorted(known.iterdir()):
        (to / folder.name).mkdir(parents=True, exist_ok=True)
        for path in random.choice(sorted(folder.iterdir()), count, replace=False):
            link = to / folder.name / path.name
            if not link.exists():
                link.symlink_to(path.resolve())


def train(
    recipe: str, workdir: pathlib.Path, folder: pathlib.Path, *flags: str
) -> float:
    """Trains a recipe on a folder of pictures; returns the last stage's top-1."""
    given = (f"--recipe={recipe}", f"--data_dir={folder}", *flags)
    return list(trainings.train(WORK, workdir, *given).values())[-1]


def make_folders(data_dir: str | None) -> None:
    """Writes train and test pictures of the known classes and of the new ones."""
    source = sources.open_source(recipes.get(RECIPE).data, data_dir)
    names = dict(enumerate(source.class_names))
    new = {label: names[label] for label in list(names)[NEW]}
    known = {label: name for label, name in names.items() if label not in new}
    for kind, classes in (("known", known), ("new", new)):
        for part, found in (("train", source.train), ("test", source.test)):
            examples = zip(found.images, found.labels, strict=True)
            write_pictures(examples, classes, WORK / kind / part)


def known_changes() -> list[str]:
    """The changes of the recipe by which the ninety classes are learned."""
    epochs = [f"stages.{stage}.epochs={count}" for stage, count in EPOCHS.items()]
    return ["data.source=folder", *epochs]


def settings(start: str, count: int) -> tuple[str, list[str]]:
    """What a start with `count` pictures of each class is trained with.

    Pictures are taken whole, as the network that is gone on from has seen the others.

    Returns:
      The name of a recipe, and the overrides of it.
    """
    stage = recipes.get(FINE_TUNING).stages[0]
    # As many steps in all as with the most pictures.
    epochs = stage.epochs * PICTURES[-1] // count
    if start == TUNED:
        return FINE_TUNING, ["data.framing=whole"]
    if start == LONG:
        longer = [f"stages.0.epochs={epochs}"] if epochs != stage.epochs else []
        return FINE_TUNING, ["data.framing=whole", *longer]
    baseline = f"{RECIPE}/strong_baseline"
    each = epochs // len(recipes.get(baseline).stages)
    data = ("data.source=folder", "data.validation_size=0")
    steps = (f"stages.*.epochs={each}", f"stages.*.batch_size={stage.batch_size}")
    return baseline, [*data, *steps]


def run(count: int, seed: int, start: str, trained: pathlib.Path) -> dict[str, Any]:
    """One row of the table."""
    folder = WORK / f"new_{count}_{seed}"
    choose_pictures(WORK / "new" / "train", count, seed, folder / "train")
    if not (folder / "test").exists():
        (folder / "test").symlink_to((WORK / "new" / "test").resolve())
    recipe, overrides = settings(start, count)
    flags = [f"--seed={seed}", *(f"--override={change}" for change in overrides)]
    if start != SCRATCH:
        flags.append(f"--start_from={trained}")
    # With the most pictures the two that go on are one.
    same = start == LONG and settings(TUNED, count) == (recipe, overrides)
    name = (TUNED if same else start).replace(" ", "_")
    workdir = WORK / "runs" / f"{name}_{count}_{seed}"
    top1 = train(recipe, workdir, folder, *flags)
    return {"pictures": count, "start": start, "seed": seed, "top1": f"{top1:.4f}"}


def draw(rows: list[dict[str, Any]]) -> Any:
    """Top-1 against the number of pictures: every run, and a line through the means."""
    figure = drawing.new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    for start, colour in STARTS.items():
        own = [row for row in rows if row["start"] == start]
        found = [
            [100 * float(r["top1"]) for r in own if r["pictures"] == n]
            for n in PICTURES
        ]
        for count, values in zip(PICTURES, found, strict=True):
            axes.plot([count] * len(values), values, "o", color=colour, alpha=0.5)
        means = [float(np.mean(values)) if values else np.nan for values in found]
        axes.plot(PICTURES, means, color=colour, label=start)
    axes.set_xscale("log")
    axes.set_xticks(PICTURES, [str(count) for count in PICTURES])
    axes.set_xlabel("pictures of each of ten new classes")
    axes.set_ylabel("top-1 on test pictures, %")
    axes.legend(frameon=False)
    drawing.open_frame(axes)
    return figure


def main() -> None:
    """Trains what is missing and writes table and chart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", help="folder of TensorFlow Datasets")
    parser.add_argument(
        "--output", type=pathlib.Path, help="folder for table and chart"
    )
    given = parser.parse_args()
    trainings.hold(WORK)
    make_folders(given.data_dir)
    chain = WORK / "runs" / "known"
    train(RECIPE, chain, WORK / "known", *(f"--override={c}" for c in known_changes()))
    trained = chain / f"stage_{len(recipes.get(RECIPE).stages) - 1}" / "model.keras"
    rows: list[dict[str, Any]] = []
    failed: list[str] = []
    for count, start, seed in itertools.product(PICTURES, STARTS, SEEDS):
        with trainings.noting(failed, f"{start}, {count} pictures, seed {seed}"):
            rows.append(run(count, seed, start, trained))
            write(rows, given.output and given.output / TABLE)
    keep(rows, None)
    if given.output and rows:
        files.write_bytes(given.output / CHART, drawing.to_png(draw(rows)))
    trainings.tell(failed)


if __name__ == "__main__":
    trainings.in_words(main)
