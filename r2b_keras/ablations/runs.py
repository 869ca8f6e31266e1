"""The runs of an ablation: which there are, and one folder that holds them all.

DIR/
  ablation.json   recipe, precision and data that the folder is for
  stages/         finished stages that several runs share
  runs/ROW_DOWNSAMPLE_SEED/   a workdir each
  runs.csv, table.md, comparisons.csv, ablation.png
"""

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from r2b_keras import files, recipes
from r2b_keras.ablations import rows
from r2b_keras.ablations.rows import Row
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.library import StageLibrary
from r2b_keras.trainers.workdir import Workdir, WorkdirInUseError

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
    """

    row: str
    downsample: str
    seed: int
    real_weights: float
    binary_weights: float
    validation: float | None
    bytes: int
    seconds: float


def plan(names: Sequence[str], downsamples: Sequence[str], seeds: int) -> list[Plan]:
    """Lists the runs, all rows of a seed before the next seed.

    So a folder whose runs were cut off has rows of equally many seeds.

    Raises:
      InputError: an unknown row.
    """
    found = rows.find(names)
    return [
        Plan(row, downsample, seed)
        for seed in range(seeds)
        for downsample in downsamples
        for row in found
    ]


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

    def claim(self) -> None:
        """Takes the folder for this ablation: creates it, or checks that it is its own.

        Raises:
          InputError: the folder is of another ablation, or holds something else.
        """
        own = self.path / "ablation.json"
        files.check_new_or_marked(self.path, own.name)
        kept = {n: self.settings[n] for n in ("precision", "deterministic")}
        identity = {"recipe": recipes.to_dict(self.recipe), **kept}
        if own.exists():
            found = recipes.differences(files.read_json(own), identity)
            if found:
                raise InputError(
                    f"{self.path} is of another ablation: {'; '.join(found[:5])}. "
                    "Choose another --workdir, or give the same recipe and settings."
                )
        self.path.mkdir(parents=True, exist_ok=True)
        files.write_json(own, identity)

    def workdir(self, run: Plan) -> Workdir:
        """Folder of a run."""
        return Workdir(self.path / "runs" / run.name)

    def outcome(self, run: Plan) -> Outcome | None:
        """What a run gave, None while it is not finished."""
        workdir = self.workdir(run)
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
        )

    def outcomes(self) -> list[Outcome]:
        """All finished runs of the folder, also those of earlier commands."""
        found = []
        for row in rows.ROWS:
            for downsample in rows.DOWNSAMPLES:
                start = f"{row.name}_{downsample}_"
                folders = (self.path / "runs").glob(f"{start}*")
                seeds = [folder.name.removeprefix(start) for folder in folders]
                for seed in sorted(int(seed) for seed in seeds if seed.isdecimal()):
                    outcome = self.outcome(Plan(row, downsample, seed))
                    found += [outcome] if outcome else []
        return found

    def train(self, run: Plan) -> None:
        """Trains a run to its end; what is finished, of it or shared, is reused.

        Raises:
          WorkdirInUseError: another process is at it.
          InputError: bad data or settings.
          NonFiniteLossError: the loss left the reals.
        """
        train_chain(
            rows.make_recipe(self.recipe, run.row, run.downsample),
            rows.BINARY_WEIGHTS,
            self.workdir(run),
            seed=run.seed,
            library=StageLibrary(self.path / "stages"),
            **self.settings,
        )

    def train_all(self, runs: Sequence[Plan]) -> None:
        """Trains all of these runs, leaving out those that another process has taken.

        Several processes may work in one folder: each takes the next run that is free.
        """
        while missing := [run for run in runs if self.outcome(run) is None]:
            print(f"{len(runs) - len(missing)} of {len(runs)} runs done", flush=True)
            while not any(self._took(run) for run in missing):
                time.sleep(_PAUSE)

    def _took(self, run: Plan) -> bool:
        """Whether the run is finished, if need be by training it now."""
        try:
            if self.outcome(run) is None:
                self.train(run)
        except WorkdirInUseError:
            return False
        return True
