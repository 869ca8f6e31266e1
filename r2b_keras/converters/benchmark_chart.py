"""A benchmark's rows as a bar chart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r2b_keras import drawing
from r2b_keras.converters.benchmark_report import Machine, in_words, number
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.drawing import COLOURS, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Pixels of title and axis together, and of a row.
FRAME_HEIGHT, ROW_HEIGHT = 140, 40

_LABEL_LENGTH = 40


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
