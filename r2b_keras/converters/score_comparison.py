"""Scores of a flatbuffer beside those of Keras: what is rounding, what answers cost."""

import dataclasses
from typing import Any

import numpy as np

# Of scores, as a share of the image's largest one, or of the root mean square of all
# where that is more; without those of `_large_constants`. Intact files of random
# networks, of up to 16 binary layers, were off by up to 2.4e-5 with the same signs
# (twenty seeds, 72 images each), and those of larq-zoo's network at 224x224 by 1.2e-6.
ROUNDING = 1e-4


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


def limits(expected: np.ndarray) -> np.ndarray:
    """How far rounding may move the scores, `[N, K]`."""
    others = expected[:, ~_large_constants(expected)]
    overall = float(np.sqrt(np.mean(np.square(others, dtype=np.float64))))
    of_image = np.maximum(np.abs(others).max(axis=1), max(overall, 1e-30))
    return ROUNDING * np.maximum(of_image[:, np.newaxis], np.abs(expected))


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
