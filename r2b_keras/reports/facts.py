"""What is known of a run before any network is loaded."""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2b_keras.networks import BINARIZATIONS
from r2b_keras.recipes import Recipe
from r2b_keras.reports import history, provenance
from r2b_keras.reports.history import Metrics
from r2b_keras.trainers.expectations import Verdict, expectation, judge
from r2b_keras.trainers.workdir import StageResult, Workdir


@dataclass(frozen=True)
class Facts:
    """A run's folder, read.

    Attributes:
      workdir: the folder.
      recipe: what it was made for.
      identity: seed, precision and data fingerprint, see `recipe.json`.
      manifest: commands, versions and machines, empty where there is none.
      metrics: the epochs.
      results: of the finished stages, by number.
      num_test: test images.
    """

    workdir: Workdir
    recipe: Recipe
    identity: dict[str, Any]
    manifest: dict[str, Any]
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
        """Epochs of a stage that is not finished, as far as its checkpoint goes."""
        path = self.workdir.checkpoint(number)
        # A stage at work replaces the file, or finishes and removes it.
        with contextlib.suppress(FileNotFoundError):
            with np.load(path) as checkpoint:
                return int(checkpoint["progress/epochs"])
        return 0


def read(workdir: Workdir, num_test: int) -> Facts:
    """Reads a run's folder.

    Raises:
      InputError: it is none, or a file in it is damaged.
    """
    recipe = workdir.recipe()
    found = {number: workdir.result(number) for number in range(len(recipe.stages))}
    return Facts(
        workdir=workdir,
        recipe=recipe,
        identity=workdir.identity(),
        manifest=provenance.read_manifest(workdir),
        metrics=history.read(workdir.path / "metrics.csv"),
        results={number: result for number, result in found.items() if result},
        num_test=num_test,
    )


def percent(share: float, digits: int = 2) -> str:
    """A share for people, "92.53 %"."""
    return f"{100 * share:.{digits}f}\u00a0%"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with its sign."""
    words = f"{100 * difference:+.2f}"
    return "0.00" if words[1:] == "0.00" else words.replace("-", "\u2212")


def kibibytes(num_bytes: int) -> str:
    """A size for people, "227 KiB"."""
    return f"{num_bytes / 1024:,.0f}\u00a0KiB"


def binary_parts(binarization: str) -> str:
    """What of a network is one bit wide."""
    return BINARIZATIONS[binarization].binary_parts
