"""Rows of an ablation over seeds: means, spreads and paired differences."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from r2b_keras.ablations import rows
from r2b_keras.ablations.rows import Row
from r2b_keras.ablations.runs import Outcome
from r2b_keras.significance import Noise, holm, noise_of, paired_test, spread


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
    that differences are taken seed by seed. How far these spread by chance is estimated
    from all rows of this downsampling, see `significance.noise_of`; but from the pair
    alone where one has another last stage (`Row.last`). Such a row shares the stages
    before with the row "all", so that its noise is not independent, and what it leaves
    out may be what keeps the last stage steady: its noise is not as large either.

    Attributes:
      first: name of a row.
      second: name of another.
      downsample: "real" or "binary".
      num_seeds: how many seeds both have.
      difference: mean of the differences in top-1, a fraction.
      interval: half the width of its 95 % confidence interval (Student's t).
      p_value: two-sided, of the t-test; NaN with fewer than two seeds.
      p_holm_all_pairs: the same after Holm's correction, see `significance.holm`,
        for all pairs of rows of this downsampling.
    """

    first: str
    second: str
    downsample: str
    num_seeds: int
    difference: float
    interval: float
    p_value: float
    p_holm_all_pairs: float


@dataclasses.dataclass(frozen=True)
class Interaction:
    """Whether a part needs attention matching: what it adds with it, less without it.

    Both gains are in top-1 after the last stage, fractions, on the same seeds.

    Attributes:
      part: name of the row that has the part alone.
      downsample: "real" or "binary".
      num_seeds: how many seeds all four rows have.
      without_matching: mean gain over the strong baseline.
      with_matching: mean gain over the row with attention matching alone.
      difference: the second less the first; 0 for a part that needs no matching.
      interval: half the width of its 95 % confidence interval (Student's t).
      p_value: two-sided, of the t-test; NaN with fewer than two seeds.
    """

    part: str
    downsample: str
    num_seeds: int
    without_matching: float
    with_matching: float
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
                    spread(before),
                    float(np.mean(after)),
                    spread(after),
                )
            )
    return found


def compare(outcomes: Sequence[Outcome]) -> list[Comparison]:
    """Compares every two rows of equal downsampling on the seeds that both have."""
    found = []
    for downsample in rows.DOWNSAMPLES:
        noise = _noise(outcomes, downsample)
        own = [
            _compare(outcomes, first, second, downsample, noise)
            for first, second in itertools.combinations(rows.ROWS, 2)
        ]
        pairs = [pair for pair in own if pair]
        adjusted = holm([pair.p_value for pair in pairs])
        found += [
            dataclasses.replace(pair, p_holm_all_pairs=p_value)
            for pair, p_value in zip(pairs, adjusted, strict=True)
        ]
    return found


def _noise(outcomes: Sequence[Outcome], downsample: str) -> Noise:
    own = (
        _by_seed(outcomes, row.name, downsample) for row in rows.ROWS if not row.last
    )
    return noise_of(
        [{seed: run.binary_weights for seed, run in row.items()} for row in own if row]
    )


def _compare(
    outcomes: Sequence[Outcome], first: Row, second: Row, downsample: str, noise: Noise
) -> Comparison | None:
    """Compares two rows, without a correction; None where they share no seed."""
    names = (first.name, second.name)
    (ours, theirs), images = _on_common_seeds(outcomes, downsample, *names)
    if not len(ours):
        return None
    known = None if first.last or second.last else noise
    tested = paired_test(theirs - ours, images, noise=known)
    return Comparison(*names, downsample, len(ours), *tested, math.nan)


def interactions(outcomes: Sequence[Outcome]) -> list[Interaction]:
    """What attention matching changes for each part that has rows with and without."""
    found = []
    noises = {each: _noise(outcomes, each) for each in rows.DOWNSAMPLES}
    for downsample, part in itertools.product(rows.DOWNSAMPLES, rows.MATCHED):
        names = (rows.BASELINE, part, rows.ATTENTION, rows.MATCHED[part])
        top1s, images = _on_common_seeds(outcomes, downsample, *names)
        baseline, alone, attention, both = top1s
        if not len(baseline):
            continue
        without, matched = alone - baseline, both - attention
        gains = (float(np.mean(without)), float(np.mean(matched)))
        noise = noises[downsample]
        tested = paired_test(matched - without, images, num_top1s=4, noise=noise)
        found.append(Interaction(part, downsample, len(baseline), *gains, *tested))
    return found


def _on_common_seeds(
    outcomes: Sequence[Outcome], downsample: str, *names: str
) -> tuple[list[np.ndarray], int]:
    """Top-1 of rows, `[S]` each, on the seeds that all have; and their test images."""
    found = [_by_seed(outcomes, name, downsample) for name in names]
    seeds = [seed for seed in found[0] if all(seed in row for row in found)]
    top1s = [np.array([row[seed].binary_weights for seed in seeds]) for row in found]
    return top1s, found[0][seeds[0]].num_test_images if seeds else 0


def _by_seed(
    outcomes: Sequence[Outcome], row: str, downsample: str
) -> dict[int, Outcome]:
    own = [o for o in outcomes if (o.row, o.downsample) == (row, downsample)]
    return {outcome.seed: outcome for outcome in sorted(own, key=lambda o: o.seed)}
