"""Converted networks: what their files hold, and how fast they run here."""

import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

from r2b_keras.converters import benchmarking, card, engines, tflite_file
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.converters.card import ModelCard
from r2b_keras.errors import InputError

# One for each way to run a file: the delegate, Larq Compute Engine, stock LiteRT.
ENGINES = ("r2b_runtime", "lce_indirect", "litert")
ROUNDS, SECONDS = 10, 0.2


@dataclass(frozen=True)
class Deployed:
    """A `.tflite` file.

    Attributes:
      name: of the file.
      num_bytes: its size.
      card: what it says about itself, or None.
      operators: how many of each kind, the most frequent first.
      latencies: one for each engine.
    """

    name: str
    num_bytes: int
    card: ModelCard | None
    operators: tuple[tuple[str, int], ...]
    latencies: tuple[Measurement, ...]


def find(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The `.tflite` files that lie in a run's folder, by name."""
    return sorted(path for path in workdir.rglob("*.tflite") if path.is_file())


def inspect(
    flatbuffers: dict[str, bytes], rounds: int = ROUNDS, seconds: float = SECONDS
) -> list[Deployed]:
    """Reads files and measures them, side by side in one run.

    Args:
      flatbuffers: contents by the names that the files get.
      rounds: see `benchmarking.benchmark`.
      seconds: the same.

    Raises:
      InputError: a file is damaged, or no engine that is installed runs it; the message
        names it.
    """
    cards, operators = {}, {}
    for name, content in flatbuffers.items():
        try:
            cards[name] = card.read(content)
            operators[name] = tflite_file.count_operators(content)
            if not engines.names_for(content):
                engines.load(content)  # tells why not
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    rows: list[Measurement] = []
    if flatbuffers:
        chosen = _engines(list(flatbuffers.values()))
        rows = benchmarking.benchmark(flatbuffers, chosen, 1, rounds, seconds)
    return [
        Deployed(
            name,
            len(content),
            cards[name],
            tuple(operators[name].most_common()),
            tuple(row for row in rows if row.model == name),
        )
        for name, content in flatbuffers.items()
    ]


def _engines(flatbuffers: Sequence[bytes]) -> list[str]:
    """Engines to measure: those of `ENGINES` that fit, or whatever else runs a file."""
    chosen: list[str] = []
    for content in flatbuffers:
        able = engines.names_for(content)
        wanted = [name for name in ENGINES if name in able] or list(able[:1])
        chosen += [name for name in wanted if name not in chosen]
    return chosen
