"""From the scores of a network to the names of what a picture shows."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from r2b_runtime.errors import InputError
from r2b_runtime.interpreter import Interpreter

if TYPE_CHECKING:
    from typing import TypedDict

    from r2b_runtime.card import ModelCard

    class Guess(TypedDict):
        """One class that a picture may show."""

        label: str
        index: int
        probability: float


# Scores this close to a sum of 1 are probabilities already.
_SUM_TOLERANCE = 1e-3


def checked_card(interpreter: Interpreter, name: str) -> ModelCard:
    """The card of a network, which must fit the network.

    Args:
      interpreter: the network.
      name: its file's name, for the message.

    Raises:
      InputError: there is none, or it does not fit.
    """
    card = interpreter.card
    if card is None:
        raise InputError(
            f"{name} has no model card that tells its classes and preprocessing: "
            "convert it with r2b_keras, or give r2b_runtime.Interpreter images that "
            "are prepared for it."
        )
    found = (*interpreter.input_shape[1:], *interpreter.output_shape[1:])
    if (*card.image_shape, len(card.class_names)) != found:
        raise InputError(
            f"{name} takes images of the shape {interpreter.input_shape[1:]} and gives "
            f"scores of {interpreter.output_shape[1:]}, its card says "
            f"{card.image_shape} and {len(card.class_names)} classes: convert the "
            "network again."
        )
    return card


def guess(
    interpreter: Interpreter,
    card: ModelCard,
    path: str | os.PathLike[str],
    top: int,
) -> list[Guess]:
    """The likeliest classes of a picture, the first one first.

    Args:
      interpreter: the network.
      card: its card.
      path: a JPEG, PNG or WebP file.
      top: number of classes, all if there are fewer.

    Raises:
      InputError: the picture is missing or broken, or the network's scores are.
    """
    from r2b_runtime import pictures

    image = pictures.load(path, card)
    scores = interpreter.predict(image[np.newaxis])[0]
    if not np.isfinite(scores).all():
        raise InputError(
            f"The network's scores for {os.fspath(path)} are not finite numbers: "
            "convert it again and verify it."
        )
    shares = probabilities(scores)
    return [
        {
            "label": card.class_names[index],
            "index": int(index),
            "probability": float(shares[index]),
        }
        for index in np.argsort(-shares, kind="stable")[:top]
    ]


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of logits; scores that are probabilities already stay as they are.

    Args:
      scores: `[K]`.

    Returns:
      `[K]` float64, not negative, of sum 1.
    """
    scores = scores.astype(np.float64)
    if scores.min() >= 0 and abs(scores.sum() - 1) <= _SUM_TOLERANCE:
        return scores
    exponentials = np.exp(scores - scores.max())
    shares: np.ndarray = exponentials / exponentials.sum()
    return shares


def to_text(path: str, guesses: list[Guess]) -> str:
    """A picture's name and, below it, a line for each class."""
    lines = (f"{each['probability']:>8.2%}  {each['label']}" for each in guesses)
    return "\n".join((path, *lines))
