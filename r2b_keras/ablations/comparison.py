"""Rows of an ablation over seeds: means, spreads and paired differences."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from r2b_keras.ablations import rows
from r2b_keras.ablations.runs import Outcome

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Summary:
    """A row with one kind of downsampling; accuracies are top-1, fractions.

    Attributes:
      row: name of the row.
      downsample: "real" or "binary".
      seeds: seeds of the finished runs, rising.
      real_weights: mean after the stage with binary activations.
      real_weights_spread: standard deviation of it over seeds; NaN for a single one.
      binary_weights: mean after the last stage.
      binary_weights_spread: standard deviation of it.
    """

    row: str
    downsample: str
    seeds: tuple[int, ...]
    real_weights: float
    real_weights_spread: float
    binary_weights: float
    binary_weights_spread: float


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two rows on the same seeds, after the last stage: `second` minus `first`.

    Runs of one seed share the teacher and see the same images in the same order, so
    that differences are taken seed by seed.

    Attributes:
      first: name of a row.
      second: name of another.
      downsample: "real" or "binary".
      num_seeds: how many seeds both have.
      difference: mean of the differences in top-1, a fraction.
      interval: half the width of its 95 % confidence interval (Student's t).
      p_value: two-sided, of the paired t-test; NaN with fewer than two seeds.
    """

    first: str
    second: str
    downsample: str
    num_seeds: int
    difference: float
    interval: float
    p_value: float


def summarise(outcomes: Sequence[Outcome]) -> list[Summary]:
    """Means and spreads of all rows that have a finished run, in the table's order."""
    found = []
    for downsample, row in itertools.product(rows.DOWNSAMPLES, rows.ROWS):
        own = _by_seed(outcomes, row.name, downsample)
        if own:
            before = [outcome.real_weights for outcome in own.values()]
            after = [outcome.binary_weights for outcome in own.values()]
            found.append(
                Summary(
                    row.name,
                    downsample,
                    tuple(own),
                    float(np.mean(before)),
                    _spread(before),
                    float(np.mean(after)),
                    _spread(after),
                )
            )
    return found


def compare(outcomes: Sequence[Outcome]) -> list[Comparison]:
    """Compares every two rows of equal downsampling on the seeds that both have."""
    found = []
    for downsample in rows.DOWNSAMPLES:
        for first, second in itertools.combinations(rows.ROWS, 2):
            ours = _by_seed(outcomes, first.name, downsample)
            theirs = _by_seed(outcomes, second.name, downsample)
            differences = [
                theirs[seed].binary_weights - ours[seed].binary_weights
                for seed in ours
                if seed in theirs
            ]
            if differences:
                found.append(
                    Comparison(
                        first.name,
                        second.name,
                        downsample,
                        len(differences),
                        *paired_test(differences),
                    )
                )
    return found


def paired_test(differences: Sequence[float]) -> tuple[float, float, float]:
    """Student's t-test of the hypothesis that paired differences are 0 on average.

    Args:
      differences: one per pair.

    Returns:
      Their mean, half the width of its 95 % confidence interval, and the two-sided
      p-value; the last two are NaN for a single pair. Equal differences have an
      interval of 0, and a p-value of 0, or of 1 where they are 0.
    """
    from scipy import stats

    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return mean, math.nan, math.nan
    error = _spread(differences) / math.sqrt(count)
    if error == 0.0:
        return mean, 0.0, float(mean == 0.0)
    freedom = count - 1
    interval = error * float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))
    return mean, interval, float(2 * stats.t.sf(abs(mean) / error, freedom))


def _by_seed(
    outcomes: Sequence[Outcome], row: str, downsample: str
) -> dict[int, Outcome]:
    own = [o for o in outcomes if (o.row, o.downsample) == (row, downsample)]
    return {outcome.seed: outcome for outcome in sorted(own, key=lambda o: o.seed)}


def _spread(values: Sequence[float]) -> float:
    """Standard deviation of the values as a sample; NaN for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
