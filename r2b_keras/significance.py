"""Student's t-test of paired differences, and Holm's correction for many of them."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Noise:
    """How far a run's top-1 is from what its row and its seed make of it.

    Attributes:
      deviation: standard deviation, as a fraction; NaN where nothing tells it.
      freedom: its degrees of freedom.
    """

    deviation: float
    freedom: int


def noise_of(rows: Sequence[Mapping[int, float]]) -> Noise:
    """The noise that several rows have, each trained with some seeds.

    A top-1 is taken for the sum of one number for its row, one for its seed, and noise
    that is as large in every row and independent from row to row (two-way analysis of
    variance). With two rows of the same seeds it is the spread of their differences
    over the square root of 2, so that `paired_test` is what it is without it; with more
    rows it is better known: of three seeds, ten rows have 18 degrees of freedom, and
    two have 2.

    Args:
      rows: top-1 by seed, of each row.
    """
    seeds = sorted({seed for row in rows for seed in row})
    runs = [(n, seed, row[seed]) for n, row in enumerate(rows) for seed in row]
    design = np.zeros((len(runs), len(rows) + len(seeds)))
    for place, (row, seed, _) in enumerate(runs):
        design[place, row] = design[place, len(rows) + seeds.index(seed)] = 1
    top1s = np.array([top1 for _, _, top1 in runs])
    effects, _, rank, _ = np.linalg.lstsq(design, top1s, rcond=None)
    freedom = len(runs) - int(rank)
    if freedom < 1:
        return Noise(math.nan, 0)
    squares = float(np.sum(np.square(top1s - design @ effects)))
    return Noise(math.sqrt(squares / freedom), freedom)


def paired_test(
    differences: Sequence[float] | np.ndarray,
    num_images: int,
    num_top1s: int = 2,
    noise: Noise | None = None,
) -> tuple[float, float, float]:
    """Student's t-test of the hypothesis that paired differences are 0 on average.

    Deviation: the mean's standard error is at least what rounding leaves unknown, so
    that a few differences that happen to be equal are no proof.

    Args:
      differences: of two top-1, one per pair; or of two such differences.
      num_images: on which each top-1 was counted.
      num_top1s: from how many top-1 each difference is.
      noise: of each top-1, where more rows than these tell it.

    Returns:
      Their mean, half the width of its 95 % confidence interval, and the two-sided
      p-value; the last two are NaN for a single pair.
    """
    from scipy import stats

    mean, count = float(np.mean(differences)), len(differences)
    if count < 2:
        return mean, math.nan, math.nan
    # A top-1 is a whole number of images over N: rounded to steps of 1/N, its error has
    # the variance 1 / (12 N^2), and a difference of two has twice that. It is not
    # divided by the number of pairs: where the differences are equal, all may be
    # rounded alike, and their mean is then known no better than each of them.
    rounding = math.sqrt(num_top1s / 12) / num_images
    if noise is None:
        noise = Noise(spread(differences) / math.sqrt(num_top1s), count - 1)
    error = max(noise.deviation * math.sqrt(num_top1s / count), rounding)
    freedom = noise.freedom
    interval = error * float(stats.t.ppf(0.5 + CONFIDENCE / 2, freedom))
    return mean, interval, float(2 * stats.t.sf(abs(mean) / error, freedom))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction: p-values that stay honest although there are many of them.

    Of m p-values the smallest is multiplied by m, the next one by m - 1, and so on;
    none becomes smaller than one before it, or larger than 1. If no row differs from
    any other, the smallest of the results is below 0.05 in one ablation of twenty at
    most, whatever their number and however they hang together.

    Args:
      p_values: of one family of tests; NaN where there was no test.

    Returns:
      A corrected value for each, in their order; NaN stays.

    Source: S. Holm, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6 (1979).
    """
    tested = [place for place, p in enumerate(p_values) if not math.isnan(p)]
    adjusted, least = [math.nan] * len(p_values), 0.0
    for rank, place in enumerate(sorted(tested, key=lambda place: p_values[place])):
        least = max(least, min(1.0, (len(tested) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def spread(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation of the values as a sample; NaN for a single one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
