"""How much longer a training step takes with a recipe's pipeline than without one.

    python studies/pipeline_wait.py --recipe=fashion_mnist --stage=3 \
        --output=results/input_pipeline/wait.csv

Trains a stage with the batches that its recipe prepares, and with one batch in memory,
with the step that `fit` runs, in one process. They take turns of some steps, and who
comes first changes from round to round; the ratio is taken within each round. Some
steps before each turn are not timed: they use up what the pipeline has prepared ahead
while others had their turn, and give it time to be done with that. A second turn with
the batch in memory takes part too: as far as its ratio is from 1, this run on this
machine tells nothing apart.

The networks' weights are fresh: they change no step's time.
"""

import argparse
import functools
import itertools
import pathlib
import statistics
import sys
from collections.abc import Iterator
from typing import Any

from turns import keep, ratio_columns, seconds, take_turns

from r2b_keras import data, recipes
from r2b_keras.environment import tf
from r2b_keras.models import build_network
from r2b_keras.recipes import Recipe
from r2b_keras.trainers.execution import Execution
from r2b_keras.trainers.stage_distiller import make_distiller


def distiller(recipe: Recipe, number: int, images: data.ImageDataset) -> tf.keras.Model:
    """What trains a stage of a recipe, its networks fresh."""
    stage = recipe.stages[number]
    networks = [stage.student]
    if stage.losses.needs_teacher and stage.teacher is not None:
        networks.append(recipe.stages[stage.teacher].student)
    shape = recipe.data.image_shape
    built = [build_network(network, shape, images.num_classes) for network in networks]
    steps = images.steps_per_epoch(stage.batch_size)
    student, teacher = (*built, None)[:2]
    return make_distiller(stage, student, teacher, steps, Execution(), images.normalise)


def batches(
    recipe: Recipe, number: int, images: data.ImageDataset, epochs: int
) -> tf.data.Dataset:
    """A stage's batches, as training gets them."""
    stage = recipe.stages[number]
    return images.train(
        stage.batch_size, stage.augmentation, 0, 0, epochs, normalised=False
    )


def turn(step: Any, source: Iterator[Any], ahead: int, steps: int) -> float:
    """Seconds of a step, the mean of some, after `ahead` that are not timed."""
    for _ in range(ahead):
        step(source)
    return seconds(functools.partial(step, source), steps)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One row: milliseconds of a step with and without the pipeline; their ratio."""
    recipe = recipes.apply_overrides(recipes.get(options.recipe), options.override)
    images = data.load(recipe.data, options.data_dir)
    # As training has it; it may forbid the pipeline to do things at once.
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    step = distiller(recipe, options.stage, images).make_train_function()
    batch_size = recipe.stages[options.stage].batch_size
    needed = (options.rounds + 1) * (options.ahead + options.steps)
    epochs = -(-needed // images.steps_per_epoch(batch_size))
    prepared = batches(recipe, options.stage, images, epochs)
    one = prepared.take(1).cache().repeat().prefetch(4)
    sources = [iter(one), iter(prepared), iter(one)]
    for source in sources:
        turn(step, source, 2, 1)
    timed = [
        functools.partial(turn, step, source, options.ahead, options.steps)
        for source in sources
    ]
    turns = take_turns(timed, options.rounds)
    ratios = [pipeline / memory for memory, pipeline, _ in turns]
    memory, pipeline = (
        1000 * statistics.median(column)
        for column in itertools.islice(zip(*turns, strict=True), 2)
    )
    return {
        "recipe": options.recipe,
        "stage": options.stage,
        "batch": batch_size,
        "rounds": options.rounds,
        "steps": options.steps,
        "pipeline_ms": round(pipeline, 2),
        "memory_ms": round(memory, 2),
        **ratio_columns(ratios),
        "memory_to_memory": round(
            statistics.median(again / first for first, _, again in turns), 3
        ),
    }


def main() -> None:
    """Prints the row and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="fashion_mnist")
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--override", action="append", default=[])
    parser.add_argument("--data_dir", help="folder with the images")
    parser.add_argument("--rounds", type=int, default=10, help="at least 2")
    parser.add_argument("--steps", type=int, default=100, help="timed steps a turn")
    parser.add_argument(
        "--ahead", type=int, default=30, help="steps before them that are not timed"
    )
    parser.add_argument("--output", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    if options.rounds < 2:
        sys.exit(f"--rounds is {options.rounds}, expected at least 2 for quartiles.")
    keep([measure(options)], options.output)


if __name__ == "__main__":
    main()
