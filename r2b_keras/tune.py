"""Chooses a stage's settings: `python -m r2b_keras.tune --recipe=digits --stage=3`."""

from __future__ import annotations

from typing import NoReturn

from absl import flags

from r2b_keras import command, import_flag, path_flags, recipes, run_settings
from r2b_keras.sweeps import space
from r2b_keras.sweeps.sweep import TUNERS
from r2b_keras.trainers import MOST_SEED, PRECISIONS

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("recipe", "digits", "Recipe, or a recipe.json.")
    flags.DEFINE_integer("stage", None, "Stage to tune, the recipe's last by default.")
    flags.DEFINE_enum("tuner", "random", list(TUNERS), "Who chooses values.")
    flags.DEFINE_integer(
        "max_trials", 20, "Trials at most, the recipe's own and earlier runs' included."
    )
    flags.DEFINE_integer(
        "seeds", 5, "Seeds of the recipe's own setting: how far a seed moves a number."
    )
    path_flags.define("space", None, "JSON file of what varies, see --list_space.")
    flags.DEFINE_bool("list_space", False, "Print the space and stop.")
    path_flags.define("workdir", None, "The sweep's folder, or runs/RECIPE_sweep.")
    flags.DEFINE_multi_string(
        "override", [], "Change of the recipe for all trials; repeatable."
    )
    path_flags.define("data_dir", None, "Folder with the images.")
    import_flag.define()
    flags.DEFINE_integer(
        "seed", 0, "Seed of the values and of every training.", 0, MOST_SEED
    )
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Compute precision.")


def main() -> int:
    """Checks recipe and space, then runs the trials; returns the exit code."""
    import_flag.import_modules(FLAGS)
    named = recipes.get(FLAGS.recipe)
    recipe = recipes.apply_overrides(named, FLAGS.override)
    stage = len(recipe.stages) - 1 if FLAGS.stage is None else FLAGS.stage
    file = FLAGS.space or space.default_file(recipe, stage)
    chosen = space.load(file, recipe, stage)
    ends = space.at_ends(recipe, chosen.fields)
    recipes.require_heeded(named, recipe, FLAGS.override, ends)
    if FLAGS.list_space:
        print(chosen.to_text())
        return 0
    from r2b_keras.sweeps import sweep

    sweep.check_settings(
        recipe, stage, FLAGS.tuner, chosen, FLAGS.max_trials, FLAGS.seeds
    )
    path = FLAGS.workdir or f"runs/{recipe.name.replace('/', '_')}_sweep"
    path_flags.require_outside("workdir", path, recipe.data.source, FLAGS.data_dir)
    from r2b_keras.sweeps import own, results, search

    found, told = run_settings.resolve(FLAGS, FLAGS.recipe, ["precision"])
    if told:
        print(told)
    settings = sweep.Settings(
        recipe=recipe,
        stage=stage,
        tuner=FLAGS.tuner,
        space=chosen,
        seed=FLAGS.seed,
        precision=found["precision"],
        data_dir=FLAGS.data_dir,
        dataset=search.load_images(recipe, FLAGS.data_dir),
        seeds=FLAGS.seeds,
        modules=tuple(import_flag.given(FLAGS)),
    )
    trials = sweep.Sweep(path, settings)
    rows = search.run(trials, FLAGS.max_trials)
    if rows:
        lines = own.told(trials, rows)
        print(results.summary(trials, rows, FLAGS.max_trials, lines))
    return 0


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="; finished trials and epochs are kept")


if __name__ == "__main__":
    start()
