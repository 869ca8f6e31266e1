"""Runs again what the README claims, and compares.

python -m r2b_keras.reproduce --quick
python -m r2b_keras.reproduce

The same command goes on where it was stopped, unless the code has changed.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import claims, command, files, folders, locks, path_flags
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2b_keras.reproduction.definitions import Experiment, Step

FLAGS = flags.FLAGS
# Where runs are kept, so that the same command goes on: in a folder of their code each.
REPRODUCED, RECORDED = "runs/reproduction", "runs/recorded"


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_bool("quick", False, "Only what takes a few minutes.")
    flags.DEFINE_list("experiment", [], "Names of experiments; see --list.")
    path_flags.define(
        "workdir",
        None,
        f"Folder of the runs. Without it one of the code, in {REPRODUCED}.",
    )
    path_flags.define("results", "results", "Folder with the committed results.")
    flags.DEFINE_bool("record", False, "Keep what was measured as the new results.")
    flags.DEFINE_bool("list", False, "List the experiments and stop.")


def main() -> int:
    """Runs the experiments and prints the verdicts; 1 unless all claims hold."""
    from r2b_keras.reproduction import checkout, experiments

    if FLAGS.experiment:
        command.refuse_unused(FLAGS, ["quick"], "chooses experiments itself")
    chosen = experiments.choose(FLAGS.experiment, FLAGS.quick)
    if FLAGS.list:
        for each in experiments.EXPERIMENTS:
            mark = "quick" if each.is_quick else ""
            print(f"{each.name:<46} {mark:<6} {each.summary}")
        return 0
    _check_package()
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
    code = checkout.code_name(checkout.ROOT)
    if FLAGS.record:
        checkout.check(checkout.ROOT, results)
        _check_images(chosen)
        workdir = pathlib.Path(FLAGS.workdir or RECORDED) / code
        for experiment in chosen:
            with _claimed(workdir, workdir / experiment.name):
                record(experiment, workdir, results)
        return 0
    workdir = pathlib.Path(FLAGS.workdir or f"{REPRODUCED}/{code}")
    return compare(chosen, workdir, results)


def _check_package() -> None:
    """Refuses to start commands of another package than this one.

    They run as modules, for which Python looks in the working folder first.

    Raises:
      InputError: it has a package of the same name.
    """
    own, here = pathlib.Path(__file__).parent, pathlib.Path.cwd()
    if (here / own.name).is_dir() and not (here / own.name).samefile(own):
        raise InputError(
            f"This is the package in {own.parent}, but {here} has one too, whose "
            f"commands would run instead: start `python -m {own.name}.reproduce` here, "
            "which is that one's."
        )


def compare(
    chosen: Sequence[Experiment], workdir: pathlib.Path, results: pathlib.Path
) -> int:
    """Runs the experiments with the seeds that it takes, and judges their claims.

    Returns:
      The exit code: 1 where a claim does not hold, and where none was tried but
      numbers differ, of which nothing can be said then.
    """
    from r2b_keras.reproduction import comparison, seeds

    # Whatever is missing is told before anything takes time.
    claimed = claims.read(results / seeds.CLAIMS)
    recorded = seeds.read(results / seeds.FILE)
    _check_images(chosen)
    tried = comparison.to_try(chosen, claimed, FLAGS.quick)
    measured: seeds.Measured = {}
    with _claimed(workdir, workdir):
        for experiment in chosen:
            for seed in comparison.seeds_needed(experiment, tried):
                folder = run(experiment, seed, workdir)
                seeds.add(measured, experiment, seed, seeds.of_run(experiment, folder))
    found = comparison.compare(tried, claimed, recorded, measured)
    print("\n" + comparison.to_text(found))
    judged = [each for each in found if each.claim is not None]
    failed = [each for each in judged if each.fails]
    unjudged = [each for each in found if each.word == comparison.UNJUDGED]
    if failed:
        print(
            f"{len(failed)} of {len(judged)} claims do not hold, see above.",
            file=sys.stderr,
        )
    if unjudged:
        print(
            f"{len(unjudged)} of {len(found)} numbers were recorded with fewer than "
            f"{claims.LEAST_SEEDS} seeds, so that nothing is claimed of them; they "
            "differ from what was recorded.",
            file=sys.stderr,
        )
    is_confirmed = not failed and (judged or not unjudged)
    return 0 if is_confirmed else command.EXIT_PROBLEM


def _check_images(chosen: Sequence[Experiment]) -> None:
    """Loads the images of all experiments, of which the last ones come after hours.

    Raises:
      InputError: images are missing, or are others than were measured.
    """
    from r2b_keras import data, recipes
    from r2b_keras.reproduction import experiments, seeds

    names = {experiments.recipe_of(experiment) for experiment in chosen}
    for config in {recipes.get(name).data for name in sorted(names)}:
        try:
            fingerprint = data.load(config).fingerprint
        except InputError as error:
            raise InputError(
                f"{error} Here the environment's TFDS_DATA_DIR stands for --data_dir."
            ) from error
        seeds.check_images(config.source, fingerprint)


def record(
    experiment: Experiment, workdir: pathlib.Path, results: pathlib.Path
) -> None:
    """Runs an experiment with all its seeds and keeps the numbers.

    Each seed is kept as soon as it has finished. Seeds that were kept before stay, and
    are not run again, if seed 0 gives the very numbers that it gave then, or was made
    by this very revision: so days of training can be spread over machines. Several
    processes may record different experiments.
    """
    from r2b_keras.reproduction import checkout, experiments, seeds

    kept = results / experiment.name
    goes_on = checkout.is_of_this_revision(checkout.ROOT, kept)
    for seed in range(experiment.num_seeds):
        known = seeds.read(results / seeds.FILE)
        if (seed or goes_on) and seeds.has(known, experiment, seed):
            continue
        folder = run(experiment, seed, workdir)
        checkout.check_run(folder)
        # Of the results, which are what they share: each may have its own --workdir.
        with locks.held(results / ".record.lock"):
            measured = seeds.read(results / seeds.FILE)
            of_this_code = [
                each.name
                for each in experiments.EXPERIMENTS
                if checkout.is_of_this_revision(checkout.ROOT, results / each.name)
            ]
            found = seeds.of_run(experiment, folder)
            seeds.add(measured, experiment, seed, found, of_this_code)
            seeds.write(results / seeds.FILE, measured)
            claims.write(results / seeds.CLAIMS, seeds.claims(measured))
        if seed == 0:
            keep(experiment, folder, kept)
    folder = _folder(experiment, 0, workdir)
    # It may be on another machine, and here no more than begun.
    if all((folder / name).exists() for name in _kept(experiment)):
        # The table shows what is expected, which has changed with the claims.
        _run(experiment, experiment.steps[-1], 0, workdir)
        keep(experiment, folder, kept)


@contextlib.contextmanager
def _claimed(workdir: pathlib.Path, folder: pathlib.Path) -> Iterator[None]:
    """Takes the folder of the runs for this code, and a folder in it for this process.

    Raises:
      InputError: it has runs of other code, or other files, or another process is at
        work in it.
    """
    from r2b_keras.reproduction import checkout

    checkout.hold(workdir, checkout.code_name(checkout.ROOT))
    folder.mkdir(exist_ok=True)
    with folders.in_use(folder, "reproducing"):
        yield


def run(experiment: Experiment, seed: int, workdir: pathlib.Path) -> pathlib.Path:
    """Runs the commands of an experiment; what is finished there is reused.

    Returns:
      The run's folder.

    Raises:
      InputError: a command failed; it has said why. Or what is there was made by
        other code.
    """
    from r2b_keras.reproduction import checkout

    folder = _folder(experiment, seed, workdir)
    started = time.monotonic()
    for step in experiment.steps:
        # Each is a process of its own, which takes the code as it is by then.
        checkout.hold(workdir, checkout.code_name(checkout.ROOT))
        folder.mkdir(parents=True, exist_ok=True)
        _run(experiment, step, seed, workdir)
    seconds = time.monotonic() - started
    print(f"{experiment.name}, seed {seed}: {seconds:.0f} s", flush=True)
    return folder


def keep(experiment: Experiment, folder: pathlib.Path, kept: pathlib.Path) -> None:
    """Copies the small files of a run to the committed results."""
    for name in _kept(experiment):
        target = kept / name
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(target, (folder / name).read_text(encoding="utf-8"))


def _kept(experiment: Experiment) -> list[str]:
    """The files of a run that are kept, each once."""
    names = ["recipe.json", "manifest.json", "metrics.csv"]
    names += [step.output for step in experiment.steps if step.output]
    names += [number.file for number in experiment.numbers]
    return list(dict.fromkeys(names))


def _folder(experiment: Experiment, seed: int, workdir: pathlib.Path) -> pathlib.Path:
    return workdir / experiment.name / f"seed_{seed}"


def _run(experiment: Experiment, step: Step, seed: int, workdir: pathlib.Path) -> None:
    folder = _folder(experiment, seed, workdir)
    places = {"folder": folder, "seed": seed, "stages": workdir / "stages"}
    name, *rest = (argument.format(**places) for argument in step.arguments)
    print(f"python -m r2b_keras.{name} {' '.join(rest)}", flush=True)
    result = subprocess.run(
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


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main)


if __name__ == "__main__":
    start()
