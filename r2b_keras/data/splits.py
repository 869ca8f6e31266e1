"""Fixed, stratified splits of a labelled set; the training seed has no part in them."""

import numpy as np

# Any number will do, but it may never change: the held-out images would change.
SPLIT_SEED = 20200403
TEST_SHARE = 0.2


def stratified_split(labels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Holds out `size` examples, of each class its share.

    Args:
      labels: [N], the class of each example.
      size: number of examples to hold out, 0 to N.

    Returns:
      The indices kept and the indices held out, each in ascending order; together they
      are 0 to N - 1.
    """
    generator = np.random.default_rng(SPLIT_SEED)
    classes, counts = np.unique(labels, return_counts=True)
    held_out = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, _shares(counts, size), strict=True)
    ]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate([*held_out, np.zeros(0, np.int64)])] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def size_of_test_part(num_examples: int) -> int:
    """Number of examples held out for the test where a set has no test part."""
    return round(TEST_SHARE * num_examples)


def _shares(counts: np.ndarray, size: int) -> np.ndarray:
    """Splits `size` in proportion to `counts`, by largest remainder."""
    exact = counts * (size / counts.sum())
    shares = np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")
    shares[largest[: size - shares.sum()]] += 1
    return shares
