"""Fixed, stratified splits of a labelled set; the training seed has no part in them."""

import numpy as np

from r2b_keras.errors import InputError

# Any number will do, but it may never change: the held-out images would change.
SPLIT_SEED = 20200403
TEST_SHARE = 0.2


def stratified_split(
    labels: np.ndarray, size: int, kept: int = 0, held_out: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Holds out `size` examples, of each class its share.

    Args:
      labels: [N], the class of each example.
      size: number of examples to hold out, 0 to N.
      kept: examples of each class that are kept at least.
      held_out: examples of each class that are held out at least, as far as `kept`
        leaves any; it may make them more than `size`.

    Returns:
      The indices kept and the indices held out, each in ascending order; together they
      are 0 to N - 1.

    Raises:
      InputError: there are too few examples.
    """
    generator = np.random.default_rng(SPLIT_SEED)
    classes, counts = np.unique(labels, return_counts=True)
    most = np.maximum(counts - kept, 0)
    if size > most.sum():
        raise InputError(
            f"{size} of {counts.sum()} images are to be held out, and each of the "
            f"{len(counts)} classes is to keep {kept}: hold out fewer."
        )
    shares = np.minimum(np.maximum(_shares(counts, size, most), held_out), most)
    taken = [
        generator.permutation(np.flatnonzero(labels == label))[:share]
        for label, share in zip(classes, shares, strict=True)
    ]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate([*taken, np.zeros(0, np.int64)])] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def size_of_test_part(num_examples: int) -> int:
    """Number of examples held out for the test where a set has no test part."""
    return round(TEST_SHARE * num_examples)


def _shares(counts: np.ndarray, size: int, most: np.ndarray) -> np.ndarray:
    """Splits `size` in proportion to `counts`, by largest remainder.

    What a share has above `most` is taken from the classes with the most left.
    """
    exact = counts * (size / counts.sum())
    shares = np.floor(exact).astype(np.int64)
    largest = np.argsort(shares - exact, kind="stable")
    shares[largest[: size - shares.sum()]] += 1
    shares = np.minimum(shares, most)
    while shares.sum() < size:
        shares[np.argmax(most - shares)] += 1
    return shares
