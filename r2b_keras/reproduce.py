"""Runs again what the README claims, and compares.

python -m r2b_keras.reproduce --quick
python -m r2b_keras.reproduce --workdir=runs/reproduction

The same command goes on where it was stopped.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

from absl import flags

from r2b_keras import command, files, path_flags
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.reproduction.experiments import Experiment, Step

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_bool("quick", False, "Only what takes a few minutes.")
    flags.DEFINE_list("experiment", [], "Names of experiments; see --list.")
    path_flags.define("workdir", None, "Folder to keep the runs in.")
    path_flags.define("results", "results", "Folder with the committed results.")
    flags.DEFINE_bool("record", False, "Keep what was measured as the new results.")
    flags.DEFINE_bool("list", False, "List the experiments and stop.")


def main() -> int:
    """Runs the experiments and prints the verdicts; 1 if a number is off."""
    from r2b_keras.reproduction import experiments, verdicts

    chosen = experiments.choose(FLAGS.experiment, FLAGS.quick)
    if FLAGS.list:
        for each in experiments.EXPERIMENTS:
            mark = "quick" if each.is_quick else ""
            print(f"{each.name:<46} {mark:<6} {each.summary}")
        return 0
    results = pathlib.Path(FLAGS.results)
    if not results.is_dir():
        raise InputError(
            f"There is no folder {results}: run this command in a checkout of the "
            "repository, or name its folder with --results."
        )
    if FLAGS.workdir and os.path.realpath(FLAGS.workdir) == os.path.realpath(results):
        raise InputError(
            f"--workdir={FLAGS.workdir} holds the recorded results, expected another "
            "folder: they would be overwritten."
        )
    if not FLAGS.record:
        for experiment in chosen:
            # Whatever is missing is told before anything takes time.
            verdicts.judge(experiment, results, results / experiment.name)
    with tempfile.TemporaryDirectory() as temporary:
        workdir = pathlib.Path(FLAGS.workdir or temporary)
        tables, holds = [], True
        for experiment in chosen:
            folder = workdir / experiment.name
            run(experiment, folder)
            if FLAGS.record:
                record(experiment, folder, results / experiment.name)
                continue
            found = verdicts.judge(experiment, results, folder)
            tables.append(verdicts.to_text(experiment, found))
            holds = holds and all(verdict.holds for verdict in found)
    if tables:
        print("\n" + "\n\n".join(tables))
    if not holds:
        print("Some numbers are off, see above.", file=sys.stderr)
    return 0 if holds else command.EXIT_PROBLEM


def run(experiment: Experiment, folder: pathlib.Path) -> None:
    """Runs the commands of an experiment; what is finished there is reused.

    Raises:
      InputError: a command failed; it has said why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for step in experiment.steps:
        _run(step, folder)
    print(f"{experiment.name}: {time.monotonic() - started:.0f} s", flush=True)


def record(experiment: Experiment, folder: pathlib.Path, kept: pathlib.Path) -> None:
    """Copies the small files of an experiment to the committed results."""
    names = ["recipe.json", "manifest.json", "metrics.csv"]
    names += [step.output for step in experiment.steps if step.output]
    names += [claim.file for claim in experiment.claims]
    for name in dict.fromkeys(names):
        target = kept / name
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(target, (folder / name).read_text(encoding="utf-8"))


def _run(step: Step, folder: pathlib.Path) -> None:
    name, *rest = (argument.format(folder=folder) for argument in step.arguments)
    print(f"python -m r2b_keras.{name} {' '.join(rest)}", flush=True)
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-m", f"r2b_keras.{name}", *rest],
        stdout=subprocess.PIPE if step.output else None,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise InputError(
            f"`python -m r2b_keras.{name}` ended with exit code {result.returncode}: "
            "see its message above, then run the same command again."
        )
    if step.output:
        files.write_text(folder / step.output, result.stdout)


if __name__ == "__main__":
    define_flags()
    sys.exit(command.run(main))
