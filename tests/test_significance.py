"""The paired test and the correction, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from r2b_keras.significance import Noise, holm, noise_of, paired_test


def test_equal_differences_are_known_to_a_rounding():
    """2 images of 359 with each of 3 seeds: the error is 1 / sqrt(6) image."""
    first, second = np.array([336, 336, 337]) / 359, np.array([338, 338, 339]) / 359
    differences = list(second - first)
    # Not equal to the bit: without a floor, p would be 0 for all that can be told.
    assert 0 < np.std(differences) < 1e-15
    mean, interval, p_value = paired_test(differences, 359)
    assert mean == pytest.approx(2 / 359)
    assert interval == pytest.approx(4.302653 / math.sqrt(6) / 359, rel=1e-6)
    t = 2 * math.sqrt(6)
    assert p_value == pytest.approx(1 - t / math.sqrt(2 + t * t), rel=1e-9)
    assert paired_test([0.0, 0.0], 359)[2] == 1.0


def test_noise_of_two_rows_is_that_of_their_differences():
    first, second = {0: 0.80, 1: 0.81, 2: 0.79}, {2: 0.82, 0: 0.82, 1: 0.82, 7: 0.9}
    noise = noise_of([first, second])
    # Differences 0.02, 0.01, 0.03; seed 7 has nothing to be compared with.
    assert noise.freedom == 2
    assert noise.deviation == pytest.approx(0.01 / math.sqrt(2))
    differences = [second[seed] - first[seed] for seed in first]
    alone, pooled = (paired_test(differences, 1000, noise=x) for x in (None, noise))
    assert pooled == pytest.approx(alone)


def test_noise_of_three_rows_by_hand():
    """Without the means of rows and seeds -0.01, 0 and 0.01 are left of seed 0."""
    rows = [{0: 0.50, 1: 0.52}, {0: 0.60, 1: 0.60}, {0: 0.70, 1: 0.68}]
    noise = noise_of(rows)
    assert noise.freedom == 2
    assert noise.deviation == pytest.approx(math.sqrt(4 * 0.01**2 / 2))
    mean, interval, _ = paired_test([0.1, 0.08], 10**6, noise=noise)
    assert mean == pytest.approx(0.09)
    assert interval == pytest.approx(4.302653 * noise.deviation, rel=1e-6)


def test_noise_that_nothing_tells():
    for rows in ([], [{0: 0.5}], [{0: 0.5, 1: 0.6}], [{0: 0.5}, {0: 0.6}]):
        noise = noise_of(rows)
        assert math.isnan(noise.deviation) and noise.freedom == 0
    assert math.isnan(paired_test([0.1], 100, noise=Noise(0.01, 8))[1])


def test_noise_of_rows_and_seeds_that_are_not_all_there():
    """Of random effects and gaps, the mean square of what was drawn, 2 %."""
    generator = np.random.default_rng(0)
    squares, freedoms = [], []
    for _ in range(400):
        of_rows, of_seeds = generator.normal(size=6), generator.normal(size=4)
        drawn = of_rows[:, None] + of_seeds + generator.normal(scale=0.02, size=(6, 4))
        kept = generator.random((6, 4)) < 0.7
        noise = noise_of(
            [
                {seed: drawn[row, seed] for seed in range(4) if kept[row, seed]}
                for row in range(6)
            ]
        )
        if noise.freedom:
            squares.append(noise.freedom * noise.deviation**2)
            freedoms.append(noise.freedom)
    # Some 3,300 squares: their mean is known to 2.5 %.
    assert sum(freedoms) > 2500
    assert sum(squares) / sum(freedoms) == pytest.approx(0.02**2, rel=0.1)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1 are 0.04, 0.06, 0.06, 0.5.
    assert holm([0.03, 0.01, math.nan, 0.5, 0.02]) == pytest.approx(
        [0.06, 0.04, math.nan, 0.5, 0.06], nan_ok=True
    )
    # The second, 2 * 0.021, must not be smaller than the first, 3 * 0.02.
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
