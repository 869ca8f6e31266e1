"""Names frame after frame, and tells how many a second."""

from __future__ import annotations

import collections
import dataclasses
import json
import time
from typing import TYPE_CHECKING

from r2b_runtime.board import classification, pictures
from r2b_runtime.board.errors import InputError
from r2b_runtime.board.terminal import on_one_line, tell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2b_runtime.board.card import ModelCard
    from r2b_runtime.board.classification import Guess, Network
    from r2b_runtime.frames import Frame

# The rate is that of the last frames.
NUM_RECENT = 30
_PARTS = ("waiting", "preparing", "network")


@dataclasses.dataclass(frozen=True)
class Named:
    """A frame with its classes.

    Attributes:
      number: how many frames there were, with this one.
      frames_per_second: of the last `NUM_RECENT` frames; 0 for the first.
      guesses: the likeliest classes.
      name: the frame's file, or empty.
    """

    number: int
    frames_per_second: float
    guesses: Sequence[Guess]
    name: str

    def to_text(self) -> str:
        """A line for people."""
        classes = ", ".join(
            f"{each['label']} {each['probability']:.1%}" for each in self.guesses
        )
        rate = f"{self.frames_per_second:.1f}"
        line = f"{self.number:>6}  {rate:>7}/s  {classes}  {self.name}"
        return on_one_line(line.rstrip())


class Rate:
    """Frames per second, and where the time of all of them went."""

    def __init__(self) -> None:
        """Starts the clock."""
        self._recent: collections.deque[float] = collections.deque(maxlen=NUM_RECENT)
        self.count = 0
        self._seconds = dict.fromkeys(_PARTS, 0.0)
        self._last = time.perf_counter()

    def spent(self, what: str) -> None:
        """Counts the time since the last call for one of `_PARTS`."""
        now = time.perf_counter()
        self._seconds[what] += now - self._last
        self._last = now

    def was_decoded(self, seconds: float) -> None:
        """Counts seconds of a wait as those of a picture's decoding."""
        self._seconds["waiting"] -= seconds
        self._seconds["preparing"] += seconds

    def frame(self) -> float:
        """Counts a frame that is done; returns the rate of the last ones."""
        self.count += 1
        self._recent.append(self._last)
        seconds = self._recent[-1] - self._recent[0]
        return (len(self._recent) - 1) / seconds if seconds > 0 else 0.0

    def summary(self) -> dict[str, float]:
        """Frames, their rate over all the time, and milliseconds of each part."""
        seconds = sum(self._seconds.values())
        parts = {
            f"{name}_ms": 1e3 * each / max(self.count, 1)
            for name, each in self._seconds.items()
        }
        rate = self.count / seconds if seconds > 0 else 0.0
        return {"frames": self.count, "frames_per_second": rate, **parts}


def watch(
    network: Network, card: ModelCard, source: Iterator[Frame], top: int, rate: Rate
) -> Iterator[Named]:
    """Names the frames of a source.

    Args:
      network: the network.
      card: its card.
      source: see `frames.frames`.
      top: number of classes, all if there are fewer.
      rate: keeps the time.

    Raises:
      InputError: the source ends badly, a frame without a name is too large, or the
        network's scores are no numbers.
    """
    for frame in source:
        rate.spent("waiting")
        rate.was_decoded(frame.decode_seconds)
        subject = frame.name or f"frame {rate.count + 1}"
        try:
            image = pictures.prepare_frame(frame.image, card, subject)
        except InputError as error:
            if not frame.name:
                raise
            tell(str(error))  # of a folder's pictures the others go on
            continue
        rate.spent("preparing")
        guesses = classification.likeliest(network, card, image, subject, top)
        rate.spent("network")
        yield Named(rate.count + 1, rate.frame(), guesses, frame.name)


def print_named(
    named: Iterator[Named], rate: Rate, num_frames: int | None, as_json: bool
) -> None:
    """Prints a line for each frame, and a last one about all.

    Args:
      named: what `watch` gives.
      rate: the one that `watch` keeps.
      num_frames: stops after so many; None goes on to the end.
      as_json: one JSON object a line.

    Raises:
      InputError: there was no frame, or see `watch`.
    """
    try:
        for each in named:
            print(
                json.dumps(dataclasses.asdict(each)) if as_json else each.to_text(),
                flush=True,
            )
            if each.number == num_frames:
                break
        if not rate.count:
            raise InputError("There was no frame: see whether the source has any.")
    finally:
        if rate.count:
            found = rate.summary()
            print(json.dumps(found) if as_json else _summary(found), flush=True)


def _summary(found: dict[str, float]) -> str:
    parts = ", ".join(f"{each} {found[f'{each}_ms']:.2f} ms" for each in _PARTS)
    return (
        f"{found['frames']} frames, {found['frames_per_second']:.1f} a second; of a "
        f"frame: {parts}"
    )
