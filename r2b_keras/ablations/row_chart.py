"""An ablation's rows as a dot chart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from r2b_keras import drawing
from r2b_keras.ablations import rows
from r2b_keras.ablations.comparison import Summary
from r2b_keras.ablations.runs import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FRAME_HEIGHT, _ROW_HEIGHT = 110, 34
_REAL, _BINARY = drawing.SKY, drawing.VERMILLION


def draw(
    summaries: Sequence[Summary], outcomes: Sequence[Outcome], title: str
) -> "Figure":
    """Draws a line for each row, from its mean with real weights to its mean after.

    Small dots are single seeds. Rows with binary downsampling follow the others.
    """
    figure = drawing.new_figure(
        drawing.WIDTH, _FRAME_HEIGHT + _ROW_HEIGHT * len(summaries)
    )
    axes = figure.subplots()
    for place, summary in enumerate(summaries):
        own = [
            outcome
            for outcome in outcomes
            if (outcome.row, outcome.downsample) == (summary.row, summary.downsample)
        ]
        _draw_row(axes, place, summary, own)
    several = len({summary.downsample for summary in summaries}) > 1
    labels = [
        rows.TITLES[s.row] + (f", {s.downsample} downsample" if several else "")
        for s in summaries
    ]
    axes.set_yticks(range(len(summaries)), labels, fontsize=9)
    axes.set_ylim(len(summaries) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    drawing.open_frame(axes, "top", "right", "left")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("top-1 on the test set, %", fontsize=9)
    axes.set_title(title, fontsize=11)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncol=2, frameon=False)
    return figure


def _draw_row(
    axes: "Axes", place: int, summary: Summary, outcomes: Sequence[Outcome]
) -> None:
    first = place == 0
    before, after = 100 * summary.real_weights, 100 * summary.binary_weights
    axes.plot([before, after], [place, place], color="#999999", linewidth=1.2, zorder=1)
    for mean, values, colour, label in (
        (before, [o.real_weights for o in outcomes], _REAL, "real weights"),
        (after, [o.binary_weights for o in outcomes], _BINARY, "binary weights"),
    ):
        scaled = [100 * value for value in values]
        axes.scatter(scaled, [place] * len(scaled), s=12, color=colour, zorder=2)
        axes.scatter(
            [mean],
            [place],
            s=80,
            facecolor="none" if colour == _REAL else colour,
            edgecolor=colour,
            linewidth=1.8,
            label=label if first else None,
            zorder=3,
        )
