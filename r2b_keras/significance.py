"""Student's t-test of paired differences, and Holm's correction for many of them."""

import math
from collections.abc import Sequence

import numpy as np

CONFIDENCE = 0.95


def paired_test(
    differences: Sequence[float] | np.ndarray, num_images: int, num_top1s: int = 2
) -> tuple[float, float, float]:
    """Student's t-test of the hypothesis that paired differences are 0 on average.

    Deviation: the mean's standard error is at least what rounding leaves unknown, so
    that a few differences that happen to be equal are no proof.

    Args:
      differences: of two top-1, one per pair; or of two such differences.
      num_images: on which each top-1 was counted.
      num_top1s: from how many top-1 each difference is.

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
    error = max(spread(differences) / math.sqrt(count), rounding)
    freedom = count - 1
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
