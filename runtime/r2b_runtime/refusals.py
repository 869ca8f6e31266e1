"""What `Interpreter` refuses of a network, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np

from r2b_runtime.board.errors import InputError, one_line

# How far scores of a batch may be from those of its images alone, in parts of the
# largest: sums of real numbers may run in another order.
_BATCH_TOLERANCE = 1e-3
# The same of logarithms, whose largest may be that of a class which is out of question.
_LOGARITHM_TOLERANCE = 1e-4

_WHAT_LITERT_ADDS = (
    *("Restored original execution plan", "Encountered unresolved custom op"),
    "Node number",
)
# The smallest normal number of 32 bits; of what is smaller no logarithm is taken.
_SMALLEST = float(np.finfo(np.float32).tiny)


def only(
    details: list[dict[str, Any]], side: str, types: tuple[str, ...]
) -> dict[str, Any]:
    """The one input or output, of one of these types.

    Raises:
      InputError: there are several, or none, or it is of another type.
    """
    kinds = [np.dtype(each["dtype"]).name for each in details]
    if len(kinds) != 1 or kinds[0] not in types or len(details[0]["shape"]) < 1:
        raise InputError(
            f"The network has the {side}s {', '.join(kinds) or 'none'}, expected one "
            f"of {' or '.join(types)}: run others with ai_edge_litert's own "
            "interpreter and r2b_runtime.delegate()."
        )
    return details[0]


def check_sides(details: dict[str, Any]) -> None:
    """Refuses images of any size: what is there stands for none of them.

    Raises:
      InputError: the network takes images of any size.
    """
    sides = details.get("shape_signature", details["shape"])[1:]
    if any(side < 0 for side in sides):
        shape = ", ".join("any" if side < 0 else str(side) for side in sides)
        raise InputError(
            f"The network takes images of any size, ({shape}), expected one size: "
            "convert it with a fixed one."
        )


def alike(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether scores are the same but for the order of sums.

    Probabilities that are nearly 0 and 1 say little of what they were made of: of these
    the logarithms have to be alike, too.
    """
    limit = _BATCH_TOLERANCE * float(np.abs(expected).max())
    if not np.allclose(found, expected, 0, limit):
        return False
    sums = expected.reshape(len(expected), -1).sum(axis=1)
    if expected.min() < 0 or not np.allclose(sums, 1, 0, _BATCH_TOLERANCE):
        return True
    one, other = (np.log(np.maximum(each, _SMALLEST)) for each in (found, expected))
    limit = _LOGARITHM_TOLERANCE * max(float(np.abs(other).max()), 1)
    return np.allclose(one, other, 0, limit)


def cannot_run(error: Exception, own_batch: int = 1) -> InputError:
    """What to say where LiteRT fails.

    Args:
      error: what it raised.
      own_batch: images of an inference that the file was made for.
    """
    reason = one_line(error)
    _, ours, sentence = reason.partition("r2b_delegate: ")
    if ours:
        # LiteRT goes on in the same line, with what it then did and cannot do alone.
        for follows in _WHAT_LITERT_ADDS:
            sentence = sentence.partition(follows)[0]
        reason = sentence.rstrip(". ")
    if own_batch != 1:
        return InputError(
            f"LiteRT cannot run this .tflite file for one image ({reason}): it was "
            f"made for batches of {own_batch}, convert it for one image."
        )
    return InputError(
        f"LiteRT cannot run this .tflite file ({reason}): copy it again, or convert "
        "the network again."
    )


def cannot_batch(batch_size: int, reason: str) -> InputError:
    """What to say of a network that takes one image at a time."""
    return InputError(
        f"This network does not run batches of {batch_size} images ({reason}): leave "
        "batch_size at 1."
    )


def check_range(images: np.ndarray, low: float, high: float) -> None:
    """Refuses images that no picture would become, whose pixels lie from low to high.

    With three times that range to either side: noise may be added.
    """
    if not images.size:
        return
    least, most, slack = images.min(), images.max(), 3 * (high - low)
    if not (low - slack <= least and most <= high + slack):
        raise InputError(
            f"The images have numbers from {least:g} to {most:g}, and pictures "
            f"{low:.3g} to {high:.3g}: give pixels as uint8, or "
            "(pixel / 255 - mean) / std by the model card."
        )
