"""Converted networks: what their files hold, and how fast they run here."""

import pathlib
from dataclasses import dataclass
from typing import Any

from r2b_keras import files
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import (
    benchmark_report,
    benchmarking,
    card,
    engines,
    tflite_file,
)
from r2b_keras.converters.benchmark_report import number
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.errors import InputError
from r2b_keras.reports.operations import Part, total
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.tables import kibibytes, percent

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
    """The `.tflite` files that lie in a run's folder, by name.

    Without those that another process is still writing.
    """
    found = (path for path in workdir.rglob("*.tflite") if path.is_file())
    return sorted(path for path in found if not path.name.startswith(files.PARTIAL))


def inspect(flatbuffers: dict[str, bytes]) -> tuple[list[Deployed], list[str]]:
    """Reads files and measures them, side by side in one run.

    Args:
      flatbuffers: contents by the names that the files get.

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
        measured = benchmarking.benchmark(flatbuffers, chosen, 1, ROUNDS, SECONDS)
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


def mismatch(file: Deployed, record: RunRecord) -> str | None:
    """A sentence where a file's card speaks of another run; None where it does not."""
    card = file.card
    if card is None:
        return None
    if card.recipe not in (None, record.recipe.name):
        return (
            f"{file.name} is of the recipe {card.recipe}, this run of "
            f"{record.recipe.name}."
        )
    if card.stage not in record.results or card.accuracy is None:
        return None
    recorded = record.results[card.stage].top1
    if card.accuracy == recorded:
        return None
    return (
        f"{file.name} says {percent(card.accuracy)} of stage {card.stage}, this folder "
        f"{percent(recorded)}: it is of another run."
    )


def is_of_run(file: Deployed, record: RunRecord) -> bool:
    """Whether a file's card says that it was made of one of this run's stages."""
    card = file.card
    named = (
        card is not None and card.recipe is not None and card.stage in record.results
    )
    return named and mismatch(file, record) is None


def section(
    record: RunRecord, files: list[Deployed], problems: list[str]
) -> dict[str, Any]:
    """Each converted file: what it is, and how fast it runs here, for the template.

    Args:
      record: of the run.
      files: what was measured.
      problems: sentences about engines that were not.
    """
    strangers = [told for file in files if (told := mismatch(file, record))]
    machine = benchmark_report.describe_machine().to_text()
    return {
        "files": list(map(_file_cells, files)),
        "notices": [*strangers, *problems],
        "latencies": [
            [
                file.name,
                row.engine,
                number(row.median_ms),
                f"{number(row.p10_ms)} to {number(row.p90_ms)}",
                f"{row.num_inferences:,}",
                f"{row.cores_used:.2f}",
            ]
            for file in files
            for row in file.latencies
        ],
        "machine": machine.replace("\n", "; "),
    }


def _file_cells(file: Deployed) -> list[object]:
    card, none = file.card, "\u2013"
    kinds = dict(file.operators)
    told: list[object] = ["no model card", *([none] * 5)]
    if card is not None:
        told = [
            card.real_weights,
            card.recipe or none,
            none if card.stage is None else card.stage,
            none if card.accuracy is None else percent(card.accuracy),
            " \u00d7 ".join(map(str, card.image_shape)),
            len(card.class_names),
        ]
    counts = (kinds.get("LceBconv2d", 0), sum(kinds.values()))
    return [file.name, f"{file.num_bytes:,}", *told, *counts]


def key_figures(
    record: RunRecord, parts: dict[int, list[Part]], files: list[Deployed]
) -> list[tuple[str, str]]:
    """The figures of the last finished stage that stand at the top.

    Size and latency are of one file, the fastest of those that were made of this stage.

    Args:
      record: of the run.
      parts: of each finished stage.
      files: what was measured.
    """
    last = record.last
    if last is None:
        return []
    macs = total(parts[last.stage])
    kind = "binary" if macs.binary_macs else "real"
    found = [
        ("test top-1", percent(last.top1)),
        (f"{kind} MACs an image", _large(macs.binary_macs or macs.real_macs)),
        ("weights, packed", kibibytes(last.bytes, ",.0f")),
    ]
    measured = [
        (row.median_ms, file, row.engine)
        for file in files
        if file.card and file.card.stage == last.stage and is_of_run(file, record)
        for row in file.latencies
    ]
    if measured:
        median, file, engine = min(measured, key=lambda each: each[0])
        found += [
            (f"size of {file.name}", kibibytes(file.num_bytes, ",.0f")),
            (f"median latency of {file.name}, {engine}", f"{number(median)} ms"),
        ]
    return found


def _large(value: int) -> str:
    for power, name in ((9, "G"), (6, "M"), (3, "k")):
        if value >= 10**power:
            return f"{value / 10**power:.1f} {name}"
    return str(value)
