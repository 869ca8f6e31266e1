"""The paired test and the correction, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from r2b_keras.significance import holm, paired_test


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


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1 are 0.04, 0.06, 0.06, 0.5.
    assert holm([0.03, 0.01, math.nan, 0.5, 0.02]) == pytest.approx(
        [0.06, 0.04, math.nan, 0.5, 0.06], nan_ok=True
    )
    # The second, 2 * 0.021, must not be smaller than the first, 3 * 0.02.
    assert holm([0.02, 0.021, 0.9]) == pytest.approx([0.06, 0.06, 0.9])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
