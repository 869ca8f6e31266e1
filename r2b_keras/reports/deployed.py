"""Converted networks: what their files hold, and how fast they run here."""

import pathlib
from dataclasses import dataclass

from r2b_keras.board.card import ModelCard
from r2b_keras.converters import benchmarking, card, engines, tflite_file
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.errors import InputError
from r2b_keras.reports.facts import Facts, percent

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
) -> tuple[list[Deployed], list[str]]:
    """Reads files and measures them, side by side in one run.

    Args:
      flatbuffers: contents by the names that the files get.
      rounds: see `benchmarking.benchmark`.
      seconds: the same.

    Returns:
      The files, and a sentence for each engine that should run one and does not.

    Raises:
      InputError: a file is damaged, or no engine runs it; the message names it.
    """
    cards, operators, problems = {}, {}, []
    chosen: list[str] = []
    for name, content in flatbuffers.items():
        try:
            cards[name] = card.read(content)
            operators[name] = tflite_file.count_operators(content)
            able, sentences = engines.able(content, ENGINES)
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        chosen += [engine for engine in able if engine not in chosen]
        problems += [sentence for sentence in sentences if sentence not in problems]
    rows: list[Measurement] = []
    if flatbuffers:
        measured = benchmarking.benchmark(flatbuffers, chosen, 1, rounds, seconds)
        rows = [row for row in measured if not row.problem]
        problems += [row.problem for row in measured if row.problem]
    return [
        Deployed(
            name,
            len(content),
            cards[name],
            tuple(operators[name].most_common()),
            tuple(row for row in rows if row.model == name),
        )
        for name, content in flatbuffers.items()
    ], problems


def mismatch(file: Deployed, facts: Facts) -> str | None:
    """A sentence where a file's card speaks of another run; None where it does not."""
    card = file.card
    if card is None:
        return None
    if card.recipe not in (None, facts.recipe.name):
        return (
            f"{file.name} is of the recipe {card.recipe}, this run of "
            f"{facts.recipe.name}."
        )
    if card.stage not in facts.results or card.accuracy is None:
        return None
    recorded = facts.results[card.stage].top1
    if card.accuracy == recorded:
        return None
    return (
        f"{file.name} says {percent(card.accuracy)} of stage {card.stage}, this folder "
        f"{percent(recorded)}: it is of another run."
    )


def is_of_run(file: Deployed, facts: Facts) -> bool:
    """Whether a file's card says that it was made of one of this run's stages."""
    card = file.card
    named = card is not None and card.recipe is not None and card.stage in facts.results
    return named and mismatch(file, facts) is None
