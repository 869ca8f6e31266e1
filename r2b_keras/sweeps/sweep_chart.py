"""A sweep as a picture: parallel coordinates, and accuracy over each field."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r2b_keras import drawing
from r2b_keras.sweeps.axes import Axis, make_axes
from r2b_keras.sweeps.results import FAILED, FINISHED, TrialRow, best, ranked
from r2b_keras.sweeps.sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

WIDTH = 1300
# Pixels of the parallel coordinates, and of a row of scatter plots.
LINES_HEIGHT, SCATTER_HEIGHT = 520, 320

_COLUMNS = 3
_MAP = "viridis"
_FAILED, _BEST = drawing.VERMILLION, drawing.PURPLE
_OWN = "black"


def draw(sweep: Sweep, rows: Sequence[TrialRow]) -> "Figure":
    """Draws each trial as a line across one axis a field, and as a point in each field.

    Colour is validation accuracy, as the last axis of the lines. The recipe's own
    setting is black and a square; the best trial is drawn wide and as a star; a failed
    one is a dashed line that ends before the last axis, and a cross at the foot of each
    field. Running trials are left out. A legend says so.

    Args:
      sweep: for the fields and the title.
      rows: at least one trial.
    """
    fields = make_axes(sweep.settings.space, rows)
    num_rows = math.ceil(len(fields) / _COLUMNS)
    height = LINES_HEIGHT + num_rows * SCATTER_HEIGHT
    figure = drawing.new_figure(WIDTH, height)
    heights = [LINES_HEIGHT, *[SCATTER_HEIGHT] * num_rows]
    grid = figure.add_gridspec(1 + num_rows, _COLUMNS, height_ratios=heights)
    lines = figure.add_subplot(grid[0, :])
    lines.set_title(_title(sweep, rows), fontsize=11)
    score = _score_axis(rows)
    _draw_lines(lines, [*fields, score], rows)
    for index, field in enumerate(fields):
        axes = figure.add_subplot(grid[1 + index // _COLUMNS, index % _COLUMNS])
        _draw_points(axes, field, score, rows)
    handles = _legend(rows)
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _legend(rows: Sequence[TrialRow]) -> "list[Line2D]":
    """What each line and sign means, of those that are drawn."""
    from matplotlib import colormaps
    from matplotlib.lines import Line2D

    finished = {row.number for row in rows if row.status == FINISHED}
    has_failed = any(row.status == FAILED for row in rows)
    signs: list[tuple[bool, dict[str, Any]]] = [
        (
            bool(finished),
            {
                "label": "finished, coloured by top-1",
                "color": colormaps[_MAP](0.45),
                "marker": "o",
            },
        ),
        (
            0 in finished,
            {"label": "the recipe's own setting", "color": _OWN, "marker": "s"},
        ),
        (
            bool(finished),
            {"label": "best", "color": _BEST, "marker": "*", "linewidth": 3.0},
        ),
        (
            has_failed,
            {"label": "failed", "color": _FAILED, "linestyle": "--", "marker": "x"},
        ),
    ]
    return [Line2D([], [], **style) for is_drawn, style in signs if is_drawn]


def _title(sweep: Sweep, rows: Sequence[TrialRow]) -> str:
    settings, first = sweep.settings, best(rows)
    failed = sum(row.status == FAILED for row in rows)
    text = (
        f"{settings.recipe.name}, stage {settings.stage}: {len(rows)} trials of "
        f"{settings.tuner} search"
    )
    text += f", {failed} failed" if failed else ""
    return text + (f"; best: trial {first.number}" if first else "")


def _score_axis(rows: Sequence[TrialRow]) -> Axis:
    """Accuracy from the worst trial to the best, with room where they are equal."""
    scores = [100 * row.score for row in rows if row.status == FINISHED] or [0.0, 100.0]
    low, high = min(scores), max(scores)
    margin = max(0.05 * (high - low), 0.5)
    return Axis("validation top-1 (%)", low - margin, high + margin)


def _shade(score: Axis, row: TrialRow) -> Any:
    """Colour of a trial; the lightest yellows are left out, on white."""
    from matplotlib import colormaps

    return colormaps[_MAP](0.9 * score.place(100 * row.score))


def _colour(score: Axis, row: TrialRow) -> Any:
    return _shade(score, row) if row.number else _OWN


def _draw_lines(axes: "Axes", columns: list[Axis], rows: Sequence[TrialRow]) -> None:
    score, first = columns[-1], best(rows)
    # The best last, on top of the others.
    for order, row in enumerate(reversed(ranked(rows))):
        places = [field.place(field.spread(row)) for field in columns[:-1]]
        if row.status == FINISHED:
            places.append(score.place(100 * row.score))
            is_best = first is not None and row.number == first.number
            style: dict[str, Any] = {
                "color": _BEST if is_best else _colour(score, row),
                "linewidth": 3.0 if is_best else 1.3,
            }
        elif row.status == FAILED:
            style = {"color": _FAILED, "linewidth": 1.0, "linestyle": "--"}
        else:
            continue
        axes.plot(
            range(len(places)), places, **style, alpha=0.85, zorder=2 + order / 1000
        )
    _draw_columns(axes, columns)


def _draw_columns(axes: "Axes", columns: list[Axis]) -> None:
    for index, column in enumerate(columns):
        axes.axvline(index, color="black", linewidth=0.8, zorder=1)
        for value, label in column.ticks():
            axes.annotate(
                f" {label}",
                (index, column.place(value)),
                fontsize=8,
                va="center",
                zorder=4,
                bbox={
                    "facecolor": "white",
                    "edgecolor": "none",
                    "alpha": 0.7,
                    "pad": 0,
                },
            )
    names = [column.name.replace(".", ".\n") for column in columns]
    axes.set_xticks(range(len(columns)), names, fontsize=9)
    axes.set_yticks([])
    axes.set_xlim(-0.15, len(columns) - 0.6)
    axes.set_ylim(-0.05, 1.05)
    axes.tick_params(axis="x", length=0)
    axes.spines[:].set_visible(False)


def _draw_points(
    axes: "Axes", field: Axis, score: Axis, rows: Sequence[TrialRow]
) -> None:
    finished = [row for row in ranked(rows) if row.status == FINISHED]
    shades = [_shade(score, row) for row in finished]
    own = [row for row in finished if row.number == 0]
    for label, shown, style in (
        ("finished", finished, {"color": shades, "s": 28}),
        ("own", own, {"color": _OWN, "marker": "s"}),
        ("best", finished[:1], {"color": _BEST, "marker": "*", "s": 170}),
    ):
        places = [field.spread(row) for row in shown]
        heights = [100 * row.score for row in shown]
        axes.scatter(places, heights, label=label, **style)
    _draw_failed(axes, field, score, [row for row in rows if row.status == FAILED])
    if field.log:
        axes.set_xscale("log")
    if field.choices:
        axes.set_xticks(range(len(field.choices)), field.choices)
    axes.set_xlim(*field.limits())
    axes.set_xlabel(field.name, fontsize=9)
    axes.set_ylabel(score.name, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    drawing.open_frame(axes)


def _draw_failed(
    axes: "Axes", field: Axis, score: Axis, failed: Sequence[TrialRow]
) -> None:
    """Crosses below the lowest accuracy, and a line that parts them from it."""
    height = score.high - score.low
    axes.set_ylim(score.low - (0.1 * height if failed else 0.0), score.high)
    if not failed:
        return
    foot = score.low - 0.05 * height
    axes.scatter(
        [field.spread(row) for row in failed],
        [foot] * len(failed),
        color=_FAILED,
        marker="x",
        label="failed",
    )
    axes.axhline(score.low, color=_FAILED, linewidth=0.8, linestyle=":")
    axes.annotate(
        "failed ",
        (1.0, foot),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="center",
        fontsize=8,
        color=_FAILED,
    )
