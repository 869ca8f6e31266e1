"""What a run's folder says before any network is loaded."""

from dataclasses import dataclass
from typing import Any

from r2b_keras.recipes import Recipe
from r2b_keras.reports import history
from r2b_keras.reports.history import Metrics
from r2b_keras.trainers import checkpoints, manifest
from r2b_keras.trainers.expectations import Verdict, expectation, judge
from r2b_keras.trainers.workdir import StageResult, Workdir


@dataclass(frozen=True)
class RunRecord:
    """A run's folder, read.

    Attributes:
      workdir: the folder.
      recipe: what it was made for.
      identity: seed, precision and data fingerprint, see `recipe.json`.
      runs: the manifest's: commands, versions and machines; none without a manifest.
      metrics: the epochs.
      results: of the finished stages, by number.
      num_test: test images.
    """

    workdir: Workdir
    recipe: Recipe
    identity: dict[str, Any]
    runs: list[dict[str, Any]]
    metrics: Metrics
    results: dict[int, StageResult]
    num_test: int

    @property
    def last(self) -> StageResult | None:
        """The last finished stage."""
        return self.results[max(self.results)] if self.results else None

    def verdict(self, number: int) -> Verdict:
        """What the accuracy of a finished stage is worth."""
        expected = expectation(self.recipe, number, self.identity)
        return judge(self.results[number].top1, expected)

    def epochs_done(self, number: int) -> int:
        """Epochs of a stage that is not finished, as far as its checkpoint goes.

        Raises:
          InputError: the checkpoint is damaged.
        """
        return checkpoints.epochs_done(self.workdir.checkpoint(number))


def read(workdir: Workdir, num_test: int) -> RunRecord:
    """Reads a run's folder.

    Raises:
      InputError: it is none, or a file in it is damaged.
    """
    recipe = workdir.recipe()
    found = {number: workdir.result(number) for number in range(len(recipe.stages))}
    return RunRecord(
        workdir=workdir,
        recipe=recipe,
        identity=workdir.identity(),
        runs=manifest.runs_of(workdir.path / "manifest.json"),
        metrics=history.read(workdir.path / "metrics.csv"),
        results={number: result for number, result in found.items() if result},
        num_test=num_test,
    )
