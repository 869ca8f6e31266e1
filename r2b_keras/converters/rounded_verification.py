"""Compares a flatbuffer whose real weights are rounded with the float32 one.

Rounded weights change every score, so such a file is judged in three steps: the float32
file is what Keras is (`verification`), the rounded one differs from that by rounded
weights alone, and an engine makes of these weights what they stand for. How many
answers rounding costs is then a matter of quality, with a bound of its own.
"""

import dataclasses

import numpy as np

from r2b_keras.converters import engines, rounded_weights, verification

# Share of images whose best class has to stay.
LEAST_AGREEMENT = 0.98
# Images that are run with rounded weights and with float32 constants of these values.
_NUM_COMPARED = 20


@dataclasses.dataclass(frozen=True)
class RoundedVerification:
    """How well a flatbuffer with rounded weights agrees.

    Attributes:
      engine: what ran the flatbuffer.
      real_weights: how its real-valued weights are stored.
      num_images: images compared.
      agreement: share of images with Keras's best class.
      largest_difference: of all scores.
      largest_score: the largest magnitude among Keras's scores.
      problem: why it is refused, None where it is not.
    """

    engine: str
    real_weights: str
    num_images: int
    agreement: float
    largest_difference: float
    largest_score: float
    problem: str | None

    @property
    def accepted(self) -> bool:
        """Whether it is the float32 file with rounded weights, and a good one."""
        return self.problem is None

    def to_text(self) -> str:
        """Two lines for people."""
        return (
            f"{self.num_images} images, engine {self.engine}: top-1 agreement "
            f"{self.agreement:.2%}, largest difference {self.largest_difference:.2g} "
            f"of scores up to {self.largest_score:.3g}\n"
            + (f"REJECTED: {self.problem}" if self.problem else "accepted")
        )


def verify(
    reference: verification.Reference,
    exact: bytes,
    rounded: bytes,
    engine: str,
    real_weights: str,
) -> RoundedVerification:
    """Compares a flatbuffer of rounded weights with the float32 one it is made of.

    Args:
      reference: the Keras network and its scores.
      exact: the float32 flatbuffer, which has been verified.
      rounded: the one to be judged.
      engine: what runs the flatbuffers.
      real_weights: how `rounded` stores its real weights.

    Raises:
      InputError: the images have another shape, or the engine cannot run them.
    """
    images, expected = reference.images[:], reference.scores
    scores = engines.load(rounded, engine).predict(images)
    agreement = verification.agreement(expected, scores)
    return RoundedVerification(
        engine=engine,
        real_weights=real_weights,
        num_images=len(images),
        agreement=agreement,
        largest_difference=float(np.abs(scores - expected).max()),
        largest_score=float(np.abs(expected).max()),
        problem=rounded_weights.problem(exact, rounded)
        or _problem_of_engine(rounded, images, scores, engine)
        or problem_of_quality(agreement, len(images)),
    )


def _problem_of_engine(
    rounded: bytes, images: np.ndarray, scores: np.ndarray, engine: str
) -> str | None:
    """Whether the engine computes with other weights than the file has.

    All scores would then be others; a sign next to its threshold turns in few images.
    """
    part = images[:_NUM_COMPARED]
    wide = engines.load(rounded_weights.widen(rounded), engine).predict(part)
    differs = verification.differs(wide, scores[:_NUM_COMPARED])
    if np.mean(differs) <= 0.5:
        return None
    return "the engine computes with other weights than the file has"


def problem_of_quality(agreement: float, num_images: int) -> str | None:
    """Why too many answers change: more than chance explains, three deviations of it.

    Args:
      agreement: share of images with the same best class.
      num_images: images compared.

    Returns:
      What is wrong, for people; None where it is good.
    """
    expected = (1 - LEAST_AGREEMENT) * num_images
    changed = (1 - agreement) * num_images
    if changed <= expected + 3 * np.sqrt(expected):
        return None
    return (
        f"rounding changes the answers of {round(changed)} of {num_images} images, "
        f"expected at most {1 - LEAST_AGREEMENT:.0%} and what chance adds"
    )
