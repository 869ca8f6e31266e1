"""A few of the random networks; with other seeds, `random_networks` makes more."""

import pytest
import random_networks

# Ways to refuse a network that it may end in; anything else is a defect.
REFUSALS = ("is binary, but would not be a binary operator: expected",)
NUM_NETWORKS = 12


@pytest.mark.slow
def test_networks_are_right_or_refused_in_a_sentence():
    reasons = [random_networks.check(seed) for seed in range(NUM_NETWORKS)]
    refused = [reason for reason in reasons if reason is not None]
    for reason in refused:
        assert any(words in reason for words in REFUSALS), reason
    # Most of them can be converted.
    assert len(refused) <= NUM_NETWORKS / 4
