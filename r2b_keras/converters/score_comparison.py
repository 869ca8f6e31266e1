"""Scores of a flatbuffer beside those of Keras: what is rounding, what answers cost."""

import dataclasses
from typing import Any

import numpy as np

from r2b_keras.board import classification

# Of scores, as a share of the image's largest one, or of the root mean square of all
# where that is more; without those of `_large_constants`. Intact files of random
# networks, of up to 16 binary layers, were off by up to 2.4e-5 with the same signs
# (twenty seeds, 72 images each), and those of larq-zoo's network at 224x224 by 1.2e-6.
ROUNDING = 1e-4
# The smallest normal number of 32 bits: smaller ones are 0 in some engines.
_SMALLEST = float(np.finfo(np.float32).tiny)
# What rounding leaves of a probability when it is taken from 1: eight steps below 1.
_OF_ONE = 4 * float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A flatbuffer's scores beside Keras's.

    Attributes:
      engine: what ran the flatbuffer.
      num_images: images compared.
      agreement: share of images with Keras's best class.
      largest_difference: of all scores.
      largest_score: the largest magnitude among Keras's scores.
    """

    engine: str
    num_images: int
    agreement: float
    largest_difference: float
    largest_score: float

    def first_line(self) -> str:
        """What was compared, for people."""
        return (
            f"{self.num_images} images, engine {self.engine}: top-1 agreement "
            f"{self.agreement:.2%}, largest difference {self.largest_difference:.2g} "
            f"of scores up to {self.largest_score:.3g}"
        )


def compared(engine: str, expected: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    """The fields of a `Comparison`, of scores `[N, K]` by Keras and by an engine."""
    return {
        "engine": engine,
        "num_images": len(expected),
        "agreement": agreement(expected, scores),
        "largest_difference": float(np.abs(scores - expected).max()),
        "largest_score": float(np.abs(expected).max()),
    }


def differs(expected: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Whether each image's scores, of `[N, K]`, differ by more than rounding."""
    # Not finite counts as different too.
    return ~(np.abs(expected - scores) <= limits(expected)).all(axis=1)


def limits(expected: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """How far rounding may move the scores, `[n, K]`.

    Probabilities that are nearly 0 and 1 say little of the logits they were made of: of
    these the logarithms have limits, too.

    Args:
      expected: scores `[n, K]`.
      among: those of all images, `[N, K]`; None where these are all.
    """
    among = expected if among is None else among
    found = _shares(expected, among)
    if among.min() < 0 or not classification.sum_to_1(among).all():
        return found
    logarithms = (np.log(np.maximum(each, _SMALLEST)) for each in (expected, among))
    # As large as those of logits; of classes that are all but alike 1e-4 of each.
    relative = np.maximum(_shares(*logarithms), ROUNDING)
    return np.minimum(found, relative * expected + _least(among))


def _shares(expected: np.ndarray, among: np.ndarray) -> np.ndarray:
    """`ROUNDING` of the largest score of each image, or of what is usual, `[n, K]`."""
    constant = _large_constants(among)
    overall = float(np.sqrt(np.mean(np.square(among[:, ~constant], dtype=np.float64))))
    of_image = np.abs(expected[:, ~constant]).max(axis=1)
    of_image = np.maximum(of_image, max(overall, 1e-30))
    return ROUNDING * np.maximum(of_image[:, np.newaxis], np.abs(expected))


def _least(probabilities: np.ndarray) -> np.ndarray:
    """What probabilities `[N, K]` may be off by, however small they are, `[K]`.

    One that is 1 less the other, as of a sigmoid, has the rounding of a number near 1.
    """
    from_1 = np.float32(1) - probabilities[:, ::-1]
    rest = (probabilities == from_1).all(axis=0) & (probabilities.shape[1] == 2)
    return np.where(rest, _OF_ONE, _SMALLEST)


def _large_constants(expected: np.ndarray) -> np.ndarray:
    """Which classes have much the same score in all images, far beyond the others'.

    As one that a large bias masks. Nothing else is rounded as that is.

    Args:
      expected: scores `[N, K]`.

    Returns:
      `[K]` bool, not all of them true. Of a single image it cannot be told.
    """
    sizes = np.abs(expected).max(axis=0)
    constant = np.ptp(expected, axis=0) <= 0.01 * sizes
    if constant.all():
        return np.zeros(len(sizes), bool)
    # Probabilities may be this far apart, and have their common sum.
    return constant & (sizes > max(10 * sizes[~constant].max(), 1.0))


def agreement(expected: np.ndarray, scores: np.ndarray) -> float:
    """Share of images with the same best class."""
    return float(np.mean(best_class(expected) == best_class(scores)))


def lead_and_loss(
    expected: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far each image's best class leads, and what another answer costs.

    Args:
      expected: scores `[N, K]`.
      scores: others, whose best classes are the answers.

    Returns:
      Of the expected scores, `[N]` each: the best less the second, and the best less
      that of the answer.
    """
    answers = best_class(scores)[:, None]
    ranked = np.sort(expected, axis=1)
    answered = np.take_along_axis(expected, answers, axis=1)[:, 0]
    return ranked[:, -1] - ranked[:, -2], ranked[:, -1] - answered


def best_class(scores: np.ndarray) -> np.ndarray:
    """Best class of each image; the first of several."""
    best: np.ndarray = scores.argmax(axis=1)
    return best
