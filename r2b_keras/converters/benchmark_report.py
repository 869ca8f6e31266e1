"""A benchmark's rows as text, as CSV and as a bar chart, with their machine."""

import dataclasses
import datetime
import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from r2b_keras import __version__, drawing, tables
from r2b_keras.board.machine import cpu_name, governor, num_cores, package_version
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.drawing import COLOURS, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PACKAGES = ("ai-edge-litert", "larq-compute-engine", "r2b-runtime")
# An inference that has its core to itself uses more processor time per elapsed time.
BUSY = 0.95
# Pixels of title and axis together, and of a row.
FRAME_HEIGHT, ROW_HEIGHT = 140, 40

_LABEL_LENGTH = 40


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where and when a benchmark ran.

    Attributes:
      cpu: the processor's name, as far as the system tells it.
      num_cores: those that this process may use.
      governor: what chooses the clock of the processor; empty if unknown.
      load_average: of the last minute, before the benchmark; None where the system does
        not tell. A busy machine makes everything slower.
      date: in UTC.
      versions: of Python and of the packages, as text.
    """

    cpu: str
    num_cores: int
    governor: str
    load_average: float | None
    date: str
    versions: str

    def to_text(self) -> str:
        """Describes the machine in two lines."""
        parts = [self.cpu, in_words(self.num_cores, "core")]
        if self.governor:
            parts.append(f"governor {self.governor}")
        if self.load_average is not None:
            parts.append(f"load average {self.load_average:.2f}")
        return f"{', '.join(parts)}, {self.date}\n{self.versions}"


def in_words(count: int, thing: str) -> str:
    """One thing or several, such as "2 threads"."""
    return f"{count} {thing}{'' if count == 1 else 's'}"


def describe_machine() -> Machine:
    """Describes this machine as it is now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    versions = {"Python": platform.python_version(), "r2b_keras": __version__}
    versions |= {name: package_version(name) or "" for name in PACKAGES}
    return Machine(
        cpu=cpu_name(),
        num_cores=num_cores(),
        governor=governor(),
        load_average=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        date=now.strftime("%Y-%m-%d %H:%M UTC"),
        versions=", ".join(f"{name} {v}" for name, v in versions.items() if v),
    )


def to_csv(rows: Sequence[Measurement], machine: Machine) -> str:
    """One line for each row; each says of which machine it is, so files can be joined.

    The columns are the fields of `Measurement` and of `Machine`, numbers unrounded;
    those that a row has not are empty.
    """
    found = []
    for row in rows:
        values = dataclasses.asdict(row) | dataclasses.asdict(machine)
        missing = {x: "" for x in values if values[x] != values[x]}  # NaN is not itself
        found.append(values | missing)
    return tables.to_csv(found)


def to_text(rows: Sequence[Measurement]) -> str:
    """The table for people; what its columns are is written under it."""
    lines: list[tuple[str, ...]] = [
        ("model", "engine", "ms", "10-90 %", "ratio", "10-90 %", "cores", "MiB", "KiB")
    ]
    lines += [_cells(row) for row in rows]
    return "\n".join([tables.aligned(lines, left=(0, 1)), "", *_legend(rows)])


def _legend(rows: Sequence[Measurement]) -> list[str]:
    """What columns and dashes are; one row at least has been measured."""
    problems = [row.problem for row in rows if row.problem]
    rows = [row for row in rows if not row.problem]
    threads = in_words(rows[0].threads, "thread")
    inferences = _range([row.num_inferences for row in rows])
    warmup = _range([row.num_warmup for row in rows])
    lines = [
        f"ms      median latency of one image on {threads}, of {inferences}",
        f"        inferences; {warmup} more were for warm-up",
        "ratio   latency in parts of the first row's, round by round",
        "cores   processor time per elapsed time",
        "MiB     peak memory above that of the idle engine; KiB: size of the file",
    ]
    if any(row.cores_used < BUSY for row in rows):
        lines.append(
            f"Cores below {BUSY}: other processes took time, quiet machines are faster."
        )
    return lines + problems


def _cells(row: Measurement) -> tuple[str, ...]:
    if row.problem:
        return (row.model, row.engine, "fails", *"-----", f"{row.size_kib:.1f}")
    memory = row.peak_memory_mib
    return (
        row.model,
        row.engine,
        number(row.median_ms),
        f"{number(row.p10_ms)}-{number(row.p90_ms)}",
        f"{row.ratio:.2f}",
        f"{row.ratio_p10:.2f}-{row.ratio_p90:.2f}",
        f"{row.cores_used:.2f}",
        "?" if memory is None else f"{memory:.1f}",
        f"{row.size_kib:.1f}",
    )


def number(value: float) -> str:
    """Milliseconds for people: three digits or more, never in powers of ten."""
    return f"{value:.{2 if value >= 1 else 4}f}"


def _range(values: list[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def draw(rows: Sequence[Measurement], machine: Machine) -> "Figure":
    """Draws a bar of the median latency for each row, the first one on top.

    Rows that could not be measured have none and are left out. A line on each bar goes
    from the 10th to the 90th percentile. The figure is `WIDTH` pixels wide and
    `FRAME_HEIGHT + ROW_HEIGHT * number of bars` high.
    """
    rows = [row for row in rows if not row.problem]
    figure = drawing.new_figure(WIDTH, FRAME_HEIGHT + ROW_HEIGHT * len(rows))
    axes = figure.subplots()
    _draw_bars(axes, rows)
    threads = in_words(rows[0].threads, "thread")
    axes.set_title(f"Latency of one image on {threads}", fontsize=11)
    axes.set_xlabel(
        f"milliseconds: median, 10th to 90th percentile\n\n{machine.to_text()}",
        fontsize=8,
    )
    return figure


def _draw_bars(axes: "Axes", rows: Sequence[Measurement]) -> None:
    models = list(dict.fromkeys(row.model for row in rows))
    places = range(len(rows))
    axes.barh(
        places,
        [row.median_ms for row in rows],
        xerr=(
            [row.median_ms - row.p10_ms for row in rows],
            [row.p90_ms - row.median_ms for row in rows],
        ),
        color=[COLOURS[models.index(row.model) % len(COLOURS)] for row in rows],
        height=0.7,
    )
    for place, row in zip(places, rows, strict=True):
        text = f"  {number(row.median_ms)} ms"
        axes.annotate(text, (row.p90_ms, place), va="center", fontsize=9)
    labels = [f"{_shorten(row.model)}\n{row.engine}" for row in rows]
    axes.set_yticks(places, labels, fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    # Room for the last numbers.
    axes.set_xlim(0, 1.2 * max(row.p90_ms for row in rows))
    drawing.open_frame(axes)


def _shorten(name: str) -> str:
    """The end of a long name: of a path, the file."""
    if len(name) > _LABEL_LENGTH:
        name = "..." + name[3 - _LABEL_LENGTH :]
    return name.replace("$", r"\$")  # or matplotlib takes it for mathematics
