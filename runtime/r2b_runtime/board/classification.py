"""From the scores of a network to the names of what pictures show."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np

from . import pictures
from .errors import InputError
from .terminal import on_one_line, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, TypedDict

    from .card import ModelCard

    class Network(Protocol):
        """What runs a network."""

        def predict(self, images: np.ndarray) -> np.ndarray:
            """Scores `[N, K]` of images `[N, H, W, C]`."""

    class Guess(TypedDict):
        """One class that a picture may show."""

        label: str
        index: int
        probability: float


# Scores this close to a sum of 1 are probabilities, those of 16-bit floats included.
SUM_TOLERANCE = 1e-3


def print_guesses(
    network: Network, card: ModelCard, paths: Sequence[str], top: int, as_json: bool
) -> bool:
    """Prints the likeliest classes of each picture; whether all could be named.

    A picture that cannot gets a sentence on standard error, and the others go on.
    """
    found: dict[str, list[Guess]] = {}
    for path in paths:
        try:
            found[path] = guess(network, card, path, top)
        except InputError as error:
            tell(str(error))
            continue
        if not as_json:
            print(to_text(path, found[path]), flush=True)
    if as_json:
        print(json.dumps(found))
    return all(path in found for path in paths)


def guess(
    network: Network, card: ModelCard, path: str | os.PathLike[str], top: int
) -> list[Guess]:
    """The likeliest classes of a picture, the first one first.

    Args:
      network: the network.
      card: its card.
      path: a JPEG, PNG or WebP file.
      top: number of classes, all if there are fewer.

    Raises:
      InputError: the picture is missing or broken, or the network's scores are.
    """
    image = pictures.load(path, card)
    return likeliest(network, card, image, os.fspath(path), top)


def likeliest(
    network: Network, card: ModelCard, image: np.ndarray, subject: str, top: int
) -> list[Guess]:
    """The likeliest classes of an image, the first one first.

    Args:
      network: the network.
      card: its card.
      image: `[H, W, C]` float32, as the network sees it.
      subject: what to call it in messages.
      top: number of classes, all if there are fewer.

    Raises:
      InputError: the network's scores are no finite numbers.
    """
    scores = network.predict(image[np.newaxis])[0]
    if not np.isfinite(scores).all():
        raise InputError(
            f"The network's scores for {subject} are not finite numbers: convert it "
            "again and verify it."
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
      `[K]` float64, not negative, of sum 1 (within `SUM_TOLERANCE`).
    """
    scores = scores.astype(np.float64)
    if scores.min() >= 0 and sum_to_1(scores):
        return scores
    exponentials = np.exp(scores - scores.max())
    shares: np.ndarray = exponentials / exponentials.sum()
    return shares


def sum_to_1(scores: np.ndarray) -> np.ndarray:
    """Whether scores `[..., K]` have the sum of probabilities, `[...]` bool."""
    sums = scores.sum(axis=-1, dtype=np.float64)
    return np.asarray(np.abs(sums - 1) <= SUM_TOLERANCE)


def to_text(path: str, guesses: Sequence[Guess]) -> str:
    """A picture's name and, below it, a line for each class."""
    lines = (f"{each['probability']:>8.2%}  {each['label']}" for each in guesses)
    return "\n".join(map(on_one_line, (path, *lines)))
