"""Splits are disjoint, complete, stratified and always the same."""

import hashlib

import numpy as np
import pytest

from r2b_keras.data.splits import size_of_test_part, stratified_split

LABELS = np.random.default_rng(1).permutation(np.repeat([0, 1, 2, 3], [50, 30, 15, 6]))


@pytest.mark.parametrize("size", [0, 1, 7, 20, 100, 101])
def test_disjoint_complete_and_of_the_size(size):
    kept, held_out = stratified_split(LABELS, size)
    assert len(held_out) == size
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_out])), range(101))


@pytest.mark.parametrize("counts", [(1,) * 5, (100, 2, 1), (3, 1, 1, 2), (40, 1)])
def test_no_class_loses_its_last_example(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    most = len(labels) - len(counts)
    for size in range(most + 1):
        kept, held_out = stratified_split(labels, size, kept=1)
        assert len(held_out) == size and len(kept) + size == len(labels)
        assert np.bincount(labels[kept]).min() == 1 or size < most
        assert np.bincount(labels[kept], minlength=len(counts)).all()
    with pytest.raises(ValueError, match="each of the . classes is to keep 1"):
        stratified_split(labels, most + 1, kept=1)


def test_a_test_part_has_every_class_that_can_spare_one():
    labels = np.repeat([0, 1, 2], [100, 2, 1])
    kept, held_out = stratified_split(labels, 21, kept=1, held_out=1)
    assert np.bincount(labels[held_out]).tolist() == [20, 1]
    assert np.bincount(labels[kept]).tolist() == [80, 1, 1]


def test_every_class_gives_its_share():
    _, held_out = stratified_split(LABELS, 20)
    counts = np.bincount(LABELS[held_out], minlength=4)
    exact = np.array([50, 30, 15, 6]) * 20 / 101
    assert np.all(np.abs(counts - exact) < 1)


def test_the_split_never_changes():
    """A changed constant would move test images of old runs into training."""
    _, held_out = stratified_split(np.arange(1000) % 10, 100)
    assert held_out[:8].tolist() == PINNED_START
    digest = hashlib.sha256(held_out.astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == PINNED_DIGEST


def test_size_of_test_part():
    assert size_of_test_part(1797) == 359
    # A fifth of it is 359.6: the nearest, not the lower one.
    assert size_of_test_part(1798) == 360


PINNED_START = [7, 13, 21, 25, 40, 63, 66, 87]
PINNED_DIGEST = "57056f290871caba"
