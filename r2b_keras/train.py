"""Trains a chain of stages: `python -m r2b_keras.train --recipe=digits --stage=3`."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import command, import_flag, path_flags, recipes, run_settings
from r2b_keras.networks import BINARIZATIONS
from r2b_keras.trainers import MOST_SEED, PRECISIONS, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2b_keras.recipes import Recipe
    from r2b_keras.trainers.workdir import StageResult, Workdir

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("recipe", "digits", "Recipe, see --list, or a recipe.json.")
    flags.DEFINE_integer("stage", None, "Stage to reach, the recipe's last by default.")
    path_flags.define("workdir", None, "Folder for results, runs/RECIPE by default.")
    flags.DEFINE_multi_string(
        "override", [], "Change of the recipe, such as stages.3.epochs=10; repeatable."
    )
    path_flags.define("data_dir", None, "Folder with the images.")
    import_flag.define()
    path_flags.define("start_from", None, "Saved network that --stage starts from.")
    path_flags.define("teacher", None, "Saved network that teaches --stage.")
    flags.DEFINE_integer(
        "seed", 0, "Seed for weights, order and augmentation.", 0, MOST_SEED
    )
    path_flags.define("library", None, "Folder of stages that runs share.")
    flags.DEFINE_bool("only", False, "Train just this stage, none that it rests on.")
    flags.DEFINE_bool("dry_run", False, "Print the resolved recipe and train nothing.")
    flags.DEFINE_bool("list", False, "List the recipes and stop.")
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Compute precision.")
    flags.DEFINE_enum("strategy", "none", STRATEGIES, "Where to run.")
    flags.DEFINE_bool("xla", False, "Compile each step with XLA; for GPUs.")
    flags.DEFINE_integer(
        "steps_per_execution",
        1,
        "Steps of the device until Python has control again.",
        1,
    )
    flags.DEFINE_bool("deterministic", True, "Repeat results to the bit; see BUILD.md.")


def main() -> int:
    """Resolves the recipe and trains it; returns the exit code."""
    if FLAGS.list:
        print(list_recipes())
        return 0
    import_flag.import_modules(FLAGS)
    named = recipes.get(FLAGS.recipe)
    found, told = run_settings.resolve(FLAGS, FLAGS.recipe, recipes.RUN_SETTINGS)
    stage, seed = found["stage"], found["seed"]
    stage = len(named.stages) - 1 if stage is None else stage
    named.require_stage(stage)
    overrides = [*FLAGS.override, *_files(stage)]
    recipe = recipes.apply_overrides(named, overrides)
    recipes.require_heeded(named, recipe, overrides)
    from r2b_keras.trainers.workdir import Workdir

    workdir = Workdir(FLAGS.workdir or f"runs/{recipe.name.replace('/', '_')}")
    if FLAGS.dry_run:
        print(recipes.describe(recipe))
        return 0
    from r2b_keras.trainers.chain import stages_to_train, train_chain
    from r2b_keras.trainers.execution import Execution
    from r2b_keras.trainers.library import StageLibrary

    for name, path in (("workdir", workdir.path), ("library", FLAGS.library)):
        path_flags.require_outside(name, path, recipe.data.source, FLAGS.data_dir)
    numbers = stages_to_train(recipe, stage, workdir, FLAGS.only)
    if told:
        print(told)
    results = train_chain(
        recipe,
        stage,
        workdir,
        data_dir=FLAGS.data_dir,
        seed=seed,
        only=FLAGS.only,
        precision=found["precision"],
        strategy=FLAGS.strategy,
        deterministic=found["deterministic"],
        execution=Execution(FLAGS.xla, FLAGS.steps_per_execution),
        library=StageLibrary(FLAGS.library) if FLAGS.library else None,
    )
    if not numbers:
        print(f"Stage {stage} is complete in {workdir.path}, nothing to train.")
    print(summary(recipe, results, workdir, needed_again()))
    return 0


def _files(stage: int) -> list[str]:
    """Overrides that have the stage to reach rest on the files that flags name."""
    given = {name: FLAGS[name].value for name in ("start_from", "teacher")}
    return [
        f"stages.{stage}.{name}={os.path.abspath(path)}"
        for name, path in given.items()
        if path is not None
    ]


def list_recipes() -> str:
    """One line a recipe: name, stages, summary."""
    found = [recipes.get(name) for name in recipes.names()]
    width = max(len(recipe.name) for recipe in found)
    lines = (
        f"{recipe.name:<{width}}  stages 0-{len(recipe.stages) - 1}  {recipe.summary}"
        for recipe in found
    )
    return "\n".join(lines)


def needed_again() -> list[str]:
    """Those of this command's flags that others need to find images and layers."""
    words = [] if FLAGS.data_dir is None else [f"--data_dir={FLAGS.data_dir}"]
    return words + [f"--import={name}" for name in import_flag.given(FLAGS)]


def summary(
    recipe: Recipe,
    results: list[StageResult],
    workdir: Workdir,
    again: Sequence[str] = (),
) -> str:
    """The table of finished stages, and where everything lies.

    Args:
      recipe: the run's.
      results: of its finished stages.
      workdir: its folder.
      again: flags that the commands which are shown need as well.
    """
    from r2b_keras.trainers import expectations

    head = (
        f"{'stage':>5}  {'network':<18} {'binary':<21} {'test':>7} {'expected':>12} "
        f"{'epochs':>6} {'seconds':>8} {'size':>9}"
    )
    lines, identity = ["", head], workdir.identity()
    for result in results:
        expected = expectations.expectation(recipe, result.stage, identity)
        word = expectations.judge(result.top1, expected).word
        off = word if word in (expectations.BELOW, expectations.ABOVE) else ""
        binary = BINARIZATIONS[result.binarization].binary_parts
        line = (
            f"{result.stage:>5}  {result.network:<18} {binary:<21} {result.top1:>7.2%} "
            f"{expectations.interval(expected):>12} {result.epochs:>6} "
            f"{result.seconds:>8.1f} {result.bytes / 1024:>5.0f} KiB  {off}"
        )
        lines.append(line.rstrip())
    last = results[-1].stage
    words = ["python", "-m", "r2b_keras.evaluate", f"--workdir={workdir.path}"]
    lines += [
        "",
        f"models      {workdir.path}/stage_K/model.keras, the last in stage_{last}",
        f"curves      {workdir.path}/metrics.csv, tensorboard --logdir={workdir.path}",
        f"settings    {workdir.path}/recipe.json, {workdir.path}/manifest.json",
        f"evaluate    {shlex.join([*words, f'--stage={last}', *again])}",
    ]
    return "\n".join(lines)


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main)


if __name__ == "__main__":
    start()
