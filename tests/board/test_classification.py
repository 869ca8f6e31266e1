"""Scores and what they mean."""

import numpy as np
import pytest

from r2b_keras.board import classification


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # exp(1) / (exp(1) + 1 + exp(-1)) and so on
        ([1.0, 0.0, -1.0], [0.66524096, 0.24472847, 0.09003057]),
        ([1e4, 0.0, -1e4], [1.0, 0.0, 0.0]),
        ([0.5, 0.25, 0.25], [0.5, 0.25, 0.25]),
        ([0.5003, 0.5, 0.0], [0.5003, 0.5, 0.0]),
        ([0.5, 0.6, 0.0], [0.36877214, 0.40755625, 0.22367161]),
        ([1.5, -0.5, 0.0], [0.73612472, 0.09962365, 0.16425163]),
        ([-3.0], [1.0]),
    ],
)
def test_probabilities(scores, expected):
    found = classification.probabilities(np.array(scores, np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-7)
