"""Trains the rows of the paper's Table 3 on a recipe, over several seeds.

python -m r2b_keras.ablate --recipe=fashion_mnist --seeds=3 --workdir=runs/ablation

The same command goes on where it was stopped. Started several times with one workdir,
the processes share the work.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from absl import flags

from r2b_keras import command, recipes
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.ablations.runs import Ablation

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string("recipe", "digits", "Recipe of four stages, or a recipe.json.")
    flags.DEFINE_string("workdir", None, "Folder for all runs and the results.")
    flags.DEFINE_integer("seeds", 3, "Seeds of each row, from 0.", 1)
    flags.DEFINE_list("rows", [], "Names of rows, all by default; see --list.")
    flags.DEFINE_list("downsample", ["real"], "real, binary, or both with a comma.")
    flags.DEFINE_multi_string(
        "override", [], "Change of the recipe, such as stages.3.epochs=10; repeatable."
    )
    flags.DEFINE_string("data_dir", None, "Folder with the images.")
    flags.DEFINE_bool("list", False, "List the rows and stop.")
    flags.DEFINE_bool("dry_run", False, "List the runs and train nothing.")
    flags.DEFINE_enum(
        "precision", "float32", ["float32", "bfloat16", "float16"], "Compute precision."
    )
    flags.DEFINE_bool("deterministic", True, "Repeat results to the bit.")


def main() -> int:
    """Trains what is missing and writes the tables; returns the exit code."""
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
    recipe = recipes.apply_overrides(recipes.get(FLAGS.recipe), FLAGS.override)
    for row in rows.find(FLAGS.rows):
        for downsample in FLAGS.downsample:
            rows.make_recipe(recipe, row, downsample)
    from r2b_keras.ablations import runs
    from r2b_keras.charts import check_matplotlib

    check_matplotlib()
    planned = runs.plan(FLAGS.rows, FLAGS.downsample, FLAGS.seeds)
    settings = {
        "precision": FLAGS.precision,
        "deterministic": FLAGS.deterministic,
        "data_dir": FLAGS.data_dir,
    }
    ablation = runs.Ablation(FLAGS.workdir, recipe, settings)
    if FLAGS.dry_run:
        for run in planned:
            print(f"{run.name:<32} {'done' if ablation.outcome(run) else ''}".rstrip())
        return 0
    ablation.claim()
    ablation.train_all(planned)
    write_results(ablation)
    return 0


def write_results(ablation: Ablation) -> None:
    """Writes the tables and the chart of all finished runs, and prints the table."""
    from r2b_keras import files
    from r2b_keras.ablations import chart, comparison, tables

    outcomes = ablation.outcomes()
    summaries = comparison.summarise(outcomes)
    compared = comparison.compare(outcomes)
    table = tables.to_markdown(summaries, compared)
    title = f"Rows of Table 3 on {ablation.recipe.name}"
    files.write_text(ablation.path / "runs.csv", tables.to_csv(outcomes))
    if compared:
        text = tables.to_csv(compared)
        files.write_text(ablation.path / "comparisons.csv", text)
    files.write_text(ablation.path / "table.md", table)
    picture = chart.to_png(summaries, outcomes, title)
    with files.written_whole(ablation.path / "ablation.png") as aside:
        aside.write_bytes(picture)
    print(table)
    print(f"results     {ablation.path}/runs.csv, comparisons.csv, table.md")
    print(f"chart       {ablation.path}/ablation.png")


if __name__ == "__main__":
    define_flags()
    sys.exit(command.run(main))
