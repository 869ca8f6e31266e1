"""Comparisons in turns, and the table that each study prints and writes."""

import argparse
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r2b_keras import files


def seconds(step: Callable[[], object], steps: int) -> float:
    """Duration of a step, the mean of some."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def take_turns(
    turns: Sequence[Callable[[], float]], rounds: int
) -> list[tuple[float, ...]]:
    """Lets each have its turn in every round, another one first each time.

    Whoever always came second would always find the caches that the first has left.

    Args:
      turns: each takes its turn and returns what it has measured.
      rounds: how many turns each has.

    Returns:
      What they have measured by round, always in the order of `turns`.
    """
    found = []
    for number in range(rounds):
        first = number % len(turns)
        order = [*range(first, len(turns)), *range(first)]
        measured = {place: turns[place]() for place in order}
        found.append(tuple(measured[place] for place in range(len(turns))))
    return found


def rounds_of(doc: str, output: pathlib.Path) -> argparse.Namespace:
    """What a study that times converted networks in rounds is told.

    Args:
      doc: of the study; its first line is the command's help.
      output: where its table goes unless told otherwise.

    Returns:
      `folder`, `rounds`, `runs` and `output`.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="of the converted networks")
    parser.add_argument("--rounds", type=int, default=20, help="at least 2")
    parser.add_argument("--runs", type=int, default=20, help="inferences of a turn")
    parser.add_argument("--output", type=pathlib.Path, default=output)
    given = parser.parse_args()
    if given.rounds < 2 or given.runs < 1:
        sys.exit(
            f"--rounds is {given.rounds} and --runs {given.runs}, expected at least 2 "
            "for quartiles and at least 1."
        )
    return given


def ratio_columns(ratios: Sequence[float]) -> dict[str, float]:
    """Median and quartiles of the ratios of at least two rounds, as columns."""
    lower, median, upper = statistics.quantiles(ratios, n=4)
    return {
        "ratio": round(median, 3),
        "ratio_lower_quartile": round(lower, 3),
        "ratio_upper_quartile": round(upper, 3),
    }


def keep(rows: Sequence[Mapping[str, Any]], output: pathlib.Path | None) -> None:
    """Prints the rows, and writes them as CSV where a file is named."""
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    write(rows, output)


def write(rows: Sequence[Mapping[str, Any]], output: pathlib.Path | None) -> None:
    """Writes the rows as CSV where a file is named; its folder is made."""
    if output:
        output.parent.mkdir(parents=True, exist_ok=True)
        files.write_csv(output, rows)
