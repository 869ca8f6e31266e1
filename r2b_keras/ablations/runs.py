"""The runs of an ablation: which there are, and one folder that holds them all.

DIR/
  ablation.json   recipe, precision, data and code that the folder is for
  stages/         finished stages that several runs share
  runs/ROW_DOWNSAMPLE_SEED/   a workdir each; failed.json says why one has failed
  runs.csv, comparisons.csv, interactions.csv, table.md, ablation.png, manifest.json
"""

import dataclasses
import functools
import pathlib
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

from r2b_keras import data, files, folders, own_code, recipes
from r2b_keras.ablations import rows
from r2b_keras.ablations.rows import Row
from r2b_keras.errors import RUN_FAILURES, InputError
from r2b_keras.recipes import Recipe
from r2b_keras.trainers import trained
from r2b_keras.trainers.chain import run_identity, stages_to_train, train_chain
from r2b_keras.trainers.execution import Execution
from r2b_keras.trainers.library import StageLibrary, stage_key
from r2b_keras.trainers.stage import Run, check_fit
from r2b_keras.trainers.strategies import make_workers
from r2b_keras.trainers.workdir import Workdir

_MARK = "ablation.json"
# What makes such a folder and what must be the same, for messages.
_WORDS = ("ablation", "recipe, settings, data and code of the package")
# Seconds between two looks at what other processes have finished.
_PAUSE = 5.0


@dataclasses.dataclass(frozen=True)
class Plan:
    """One training run of an ablation.

    Attributes:
      row: which row it is of.
      downsample: "real" or "binary".
      seed: for weights, order and augmentation.
    """

    row: Row
    downsample: str
    seed: int

    @property
    def name(self) -> str:
        """Name of its folder."""
        return f"{self.row.name}_{self.downsample}_{self.seed}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished run gave; accuracies are top-1 on the test set, fractions.

    Attributes:
      row: name of the row.
      downsample: "real" or "binary".
      seed: of the run.
      real_weights: after the stage with binary activations.
      binary_weights: after the last stage.
      validation: of the last stage, on the validation part; None without one.
      bytes: deployed size.
      seconds: training time of these two stages.
      num_test_images: on which the accuracies were counted.
    """

    row: str
    downsample: str
    seed: int
    real_weights: float
    binary_weights: float
    validation: float | None
    bytes: int
    seconds: float
    num_test_images: int


def plan(
    names: Sequence[str], recipe: Recipe, downsamples: Sequence[str], seeds: int
) -> list[Plan]:
    """Lists the runs, all rows of a seed before the next seed.

    So a folder whose runs were cut off has rows of equally many seeds.

    Raises:
      InputError: rows that `rows.find` refuses, or no downsampling at all.
    """
    found = rows.find(names, recipe)
    if not downsamples:
        raise InputError(
            f"--downsample is empty, expected {' or '.join(rows.DOWNSAMPLES)}, or both "
            "with a comma between them."
        )
    return [
        Plan(row, downsample, seed)
        for seed in range(seeds)
        for downsample in dict.fromkeys(downsamples)
        for row in found
    ]


def _fitted(recipe: Recipe, number: int) -> Hashable:
    """What decides whether a stage's settings and networks fit each other."""
    stage = recipe.stages[number]
    linked = (recipe.stages[n].student for n in stage.links if isinstance(n, int))
    taps = stage.losses.taps if stage.losses.attention else ()
    return stage.student, *linked, stage.files, stage.optimizer.groups, taps


class Ablation:
    """The folder of an ablation.

    Args:
      path: the folder; it need not exist yet.
      recipe: the chain that the rows are made of.
      settings: `precision`, `deterministic` and `data_dir`, as `train_chain` takes
        them.
    """

    def __init__(
        self, path: str | pathlib.Path, recipe: Recipe, settings: dict[str, Any]
    ) -> None:
        """Stores the arguments; nothing is created."""
        rows.check(recipe)
        self.path = pathlib.Path(path)
        self.recipe = recipe
        self.settings = settings
        self.library = StageLibrary(self.path / "stages")

    @functools.cached_property
    def images(self) -> data.ImageDataset:
        """The data that all runs share; loads it on first use.

        Raises:
          InputError: bad data.
        """
        return data.load(self.recipe.data, self.settings["data_dir"])

    def claim(self) -> None:
        """Takes the folder for this ablation: creates it, or checks that it is its own.

        Raises:
          InputError: the folder is of another ablation, or holds something else; or
            bad data, or a file that a stage rests on cannot be read.
        """
        identity = self._whole_identity()
        folders.claim(self.path, _MARK, identity, *_WORDS)
        # A field that is newer than the folder is in it from now on.
        files.write_json(self.path / _MARK, identity)

    def check(self) -> None:
        """Refuses what `claim` does, and writes nothing."""
        if (self.path / _MARK).exists():
            folders.require(self.path, _MARK, self._whole_identity(), *_WORDS)
        else:  # which needs no images
            folders.require_new_or_marked(self.path, _MARK)

    def check_fit(self, runs: Sequence[Plan]) -> None:
        """Refuses runs whose settings do not fit their networks, before any trains.

        An override may fit the networks of some rows alone.

        Raises:
          InputError: bad data or settings; the message names the row.
        """
        checked: set[Hashable] = set()
        for run in runs:
            if self._is_over(run):
                continue
            recipe, workdir = self._recipe(run), self.workdir(run)
            numbers = stages_to_train(recipe, rows.BINARY_WEIGHTS, workdir)
            new = {n: _fitted(recipe, n) for n in numbers}
            new = {n: parts for n, parts in new.items() if parts not in checked}
            workers = make_workers("none")
            made = Run(recipe, workdir, self.images, run.seed, workers, Execution())
            try:
                check_fit(made, list(new))
            except InputError as error:
                raise InputError(
                    f"Row {run.row.name!r} cannot be trained, expected rows that the "
                    f"recipe fits: change that, or name other --rows. {error}"
                ) from error
            checked.update(new.values())

    def _whole_identity(self) -> dict[str, Any]:
        return {
            "recipe": recipes.to_dict(self.recipe),
            "precision": self.settings["precision"],
            "deterministic": self.settings["deterministic"],
            "data_fingerprint": self.images.fingerprint,
            "training_code": own_code.of_training()[:16],
            **trained.files_of(self.recipe),
        }

    def workdir(self, run: Plan) -> Workdir:
        """Folder of a run."""
        return Workdir(self.path / "runs" / run.name)

    def is_finished(self, run: Plan) -> bool:
        """Whether both stages that tables show are complete."""
        shown = (rows.REAL_WEIGHTS, rows.BINARY_WEIGHTS)
        return all(self.workdir(run).result(number) for number in shown)

    def failure(self, run: Plan) -> str | None:
        """Why a run has failed, None where it has not, or has been finished since.

        Raises:
          InputError: the record is damaged.
        """
        return None if self.is_finished(run) else self.workdir(run).failure()

    def outcome(self, run: Plan) -> Outcome | None:
        """What a run gave, None while it is not finished.

        Raises:
          InputError: what lies in its folder is another run.
        """
        workdir = self.workdir(run)
        if workdir.has_recipe:
            workdir.claim(self._identity(run), alone=False)
        before = workdir.result(rows.REAL_WEIGHTS)
        last = workdir.result(rows.BINARY_WEIGHTS)
        if before is None or last is None:
            return None
        return Outcome(
            run.row.name,
            run.downsample,
            run.seed,
            before.top1,
            last.top1,
            last.validation_top1,
            last.bytes,
            before.seconds + last.seconds,
            self.images.num_test,
        )

    def outcomes(self) -> list[Outcome]:
        """All finished runs of the folder, also those of earlier commands."""
        return [outcome for run in self._begun() if (outcome := self.outcome(run))]

    def failures(self) -> list[tuple[Plan, str]]:
        """All failed runs of the folder, also of earlier commands, and why."""
        return [(run, why) for run in self._begun() if (why := self.failure(run))]

    def _begun(self) -> Iterator[Plan]:
        """Runs that have a folder, in the tables' order."""
        for row in rows.ROWS:
            for downsample in rows.DOWNSAMPLES:
                start = f"{row.name}_{downsample}_"
                folders = (self.path / "runs").glob(f"{start}*")
                seeds = [folder.name.removeprefix(start) for folder in folders]
                for seed in sorted(int(seed) for seed in seeds if seed.isdecimal()):
                    yield Plan(row, downsample, seed)

    def train(self, run: Plan) -> None:
        """Trains a run to its end; what is finished, of it or shared, is reused.

        Raises:
          folders.FolderInUseError: another process is at it.
          InputError: bad data or settings.
          NonFiniteLossError: the loss left the reals.
          MemoryLackError: a stage does not fit into memory.
        """
        train_chain(
            self._recipe(run),
            rows.BINARY_WEIGHTS,
            self.workdir(run),
            dataset=self.images,
            seed=run.seed,
            precision=self.settings["precision"],
            deterministic=self.settings["deterministic"],
            library=self.library,
        )

    def _recipe(self, run: Plan) -> Recipe:
        return rows.make_recipe(self.recipe, run.row, run.downsample)

    def train_all(
        self, runs: Sequence[Plan], report: Callable[[], object] = lambda: None
    ) -> list[Plan]:
        """Trains all of these runs, each until it is finished or has failed.

        Several processes may work in one folder: each takes the next run that is free,
        of which no stage is being trained by another. One that has failed is left alone
        for as long as its record is there.

        Args:
          runs: what to train.
          report: called after each run that this process has trained.

        Returns:
          Those that have failed, now or earlier.

        Raises:
          InputError: bad data or settings.
        """
        while missing := [run for run in runs if not self._is_over(run)]:
            print(f"{len(runs) - len(missing)} of {len(runs)} runs done", flush=True)
            while not any(self._took(run, report) for run in missing):
                time.sleep(_PAUSE)
        return [run for run in runs if self.failure(run)]

    def _is_over(self, run: Plan) -> bool:
        return self.is_finished(run) or self.failure(run) is not None

    def _took(self, run: Plan, report: Callable[[], object]) -> bool:
        """Whether the run is over, if need be by training it now."""
        if self._is_over(run):
            return True
        if any(map(self.library.is_claimed, self.missing_keys(run))):
            return False
        try:
            self.train(run)
        except folders.FolderInUseError:
            return False
        except RUN_FAILURES as error:
            self.workdir(run).note_failure(run.name, error)
        report()
        return True

    def missing_keys(self, run: Plan) -> list[str]:
        """The library's keys of the stages that a run has yet to train or to fetch."""
        recipe, workdir = self._recipe(run), self.workdir(run)
        identity = self._identity(run)
        return [
            stage_key(identity, recipe, number)
            for number in recipe.stages_needed(rows.BINARY_WEIGHTS)
            if workdir.result(number) is None
        ]

    def _identity(self, run: Plan) -> dict[str, Any]:
        return run_identity(
            self._recipe(run),
            run.seed,
            self.settings["precision"],
            self.settings["deterministic"],
            self.images.fingerprint,
        )
