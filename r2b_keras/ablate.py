"""Trains the rows of the paper's Table 3 on a recipe, over several seeds.

python -m r2b_keras.ablate --recipe=fashion_mnist --seeds=3 --workdir=runs/ablation

The same command goes on where it was stopped. Started several times with one workdir,
the processes share the work. Tables and chart are written after each finished run; a
run that diverges or lacks memory is listed there, and the others go on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import command, import_flag, path_flags, recipes, run_settings
from r2b_keras.checks import some
from r2b_keras.errors import InputError
from r2b_keras.trainers import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2b_keras.ablations.runs import Ablation, Plan

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("recipe", "digits", "Recipe of four stages, or a recipe.json.")
    path_flags.define("workdir", None, "Folder for all runs and the results.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each row, from 0.", 1)
    flags.DEFINE_list("rows", [], "Names of rows, all by default; see --list.")
    flags.DEFINE_list("downsample", ["real"], "real, binary, or both with a comma.")
    flags.DEFINE_multi_string(
        "override", [], "Change of the recipe, such as stages.3.epochs=10; repeatable."
    )
    path_flags.define("data_dir", None, "Folder with the images.")
    import_flag.define()
    flags.DEFINE_bool("list", False, "List the rows and stop.")
    flags.DEFINE_bool("dry_run", False, "List the runs and train nothing.")
    flags.DEFINE_enum("precision", "float32", PRECISIONS, "Compute precision.")
    flags.DEFINE_bool("deterministic", True, "Repeat results to the bit.")


def main() -> int:
    """Trains what is missing and writes the tables; 1 where runs have failed.

    Raises:
      InputError: bad flags, data or folder.
    """
    from r2b_keras.ablations import rows

    if FLAGS.list:
        width = max(len(row.name) for row in rows.ROWS)
        print("\n".join(f"{row.name:<{width}}  {row.title}" for row in rows.ROWS))
        return 0
    if FLAGS.workdir is None:
        raise InputError(
            "--workdir is missing, expected a folder for the runs: "
            "--workdir=runs/ablation, for example."
        )
    import_flag.import_modules(FLAGS)
    named = recipes.get(FLAGS.recipe)
    recipe = recipes.apply_overrides(named, FLAGS.override)
    made = [
        rows.make_recipe(recipe, row, downsample)
        for row in rows.find(FLAGS.rows, recipe)
        for downsample in FLAGS.downsample
    ]
    recipes.require_heeded(named, recipe, FLAGS.override, made)
    from r2b_keras.ablations import results, runs

    planned = runs.plan(FLAGS.rows, recipe, FLAGS.downsample, FLAGS.seeds)
    names = ("precision", "deterministic")
    settings, told = run_settings.resolve(FLAGS, FLAGS.recipe, names)
    settings["data_dir"] = FLAGS.data_dir
    ablation = runs.Ablation(FLAGS.workdir, recipe, settings)
    if FLAGS.dry_run:
        ablation.check()
        for run in planned:
            print(f"{run.name:<32} {_state(ablation, run)}".rstrip())
        return 0
    ablation.check()
    ablation.check_fit(planned)
    ablation.claim()
    if told:
        print(told)
    failed = ablation.train_all(planned, lambda: results.write(ablation))
    print(results.write(ablation))
    written = [name for name in results.FILES if (ablation.path / name).exists()]
    print(f"results     {ablation.path}/{', '.join(written)}")
    if failed:
        print(_tell(failed, len(planned), ablation), file=sys.stderr)
    return command.EXIT_PROBLEM if failed else 0


def _state(ablation: Ablation, run: Plan) -> str:
    if ablation.is_finished(run):
        return "done"
    return "failed" if ablation.failure(run) else ""


def _tell(failed: Sequence[Plan], count: int, ablation: Ablation) -> str:
    names = some([run.name for run in failed])
    return (
        f"{len(failed)} of {count} runs failed ({names}), table.md says why: "
        "the same command does not train them again unless their records, "
        f"failed.json in their folders in {ablation.path}/runs, are deleted."
    )


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main)


if __name__ == "__main__":
    start()
