"""Loss parts, accuracy and flipping weights over the epochs of a stage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from r2b_keras import drawing
from r2b_keras.recipes import Stage
from r2b_keras.reports import pictures
from r2b_keras.reports.history import FLIPS, History
from r2b_keras.reports.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# CSS pixels; three of them fit side by side, on paper with text that can be read.
WIDTH, HEIGHT = 330, 280
# In the order in which they are drawn, with the words and the colour of each.
PARTS = {
    "loss": ("sum of all", drawing.BLACK),
    "cross_entropy": ("cross-entropy", drawing.BLUE),
    "attention": ("attention", drawing.VERMILLION),
    "logit_matching": ("logit matching", drawing.GREEN),
    "l2": ("weight decay", drawing.PURPLE),
}
_DASHES = (0, (3, 1.6))


@dataclass(frozen=True)
class Line:
    """A line of a figure.

    Attributes:
      values: one for each epoch; what is not finite is left out.
      colour: its colour.
      words: for the legend, empty for none.
      dashed: whether it is dashed.
      width: in points.
    """

    values: Sequence[float]
    colour: str
    words: str = ""
    dashed: bool = False
    width: float = 1.8


def part_weights(stage: Stage) -> dict[str, float]:
    """What each column of the loss is multiplied by in the sum."""
    decay = stage.optimizer
    return {
        "loss": 1.0,
        "cross_entropy": stage.losses.cross_entropy,
        "attention": stage.losses.attention,
        "logit_matching": stage.losses.logit_matching,
        "l2": decay.weight_decay if decay.decay == "l2" else 0.0,
    }


def draw_stage(number: int, stage: Stage, history: History) -> list[Picture]:
    """The figures of a stage that has at least one epoch."""
    count = len(history.epochs)
    drawn = [
        pictures.draw(
            f"stage_{number}_loss",
            draw_losses(part_weights(stage), history),
            f"Stage {number}: the loss and its parts over {count} epochs."
            f" {_last(history, 'loss', '.4g')}",
        ),
        pictures.draw(
            f"stage_{number}_accuracy",
            _draw_accuracy(history),
            f"Stage {number}: accuracy over {count} epochs. "
            f"{_last(history, 'accuracy', '.2%')}",
        ),
    ]
    if history.has(FLIPS):
        line = Line([100 * v for v in history.values[FLIPS]], drawing.VERMILLION)
        known = list(filter(math.isfinite, history.values[FLIPS]))
        title = "Binary weights flipped in the epoch, %"
        words = (
            f"Stage {number}: share of binary weights that each epoch flipped, "
            f"{known[0]:.3%} in the first shown and {known[-1]:.3%} in the last."
        )
        figure = _draw(history, [line], title, from_zero=True)
        drawn.append(pictures.draw(f"stage_{number}_flips", figure, words))
    return drawn


def _last(history: History, name: str, form: str) -> str:
    """The last epoch's numbers in words, as far as they are known."""
    last = {column: numbers[-1] for column, numbers in history.values.items()}
    words = [
        f"{last[prefix + name]:{form}} on {part} images"
        for prefix, part in (("", "training"), ("val_", "validation"))
        if math.isfinite(last.get(prefix + name, math.nan))
    ]
    return f"At the end {' and '.join(words)}." if words else ""


def draw_losses(weights: dict[str, float], history: History) -> "Figure":
    """Every part of the loss, in training and in validation.

    Args:
      weights: see `part_weights`.
      history: at least one epoch.
    """
    lines = [
        Line(
            [weights[name] * v for v in history.values[prefix + name]],
            colour,
            "" if prefix else words,
            bool(prefix),
            # The sum goes below its parts, and shows where one hides it.
            3.2 if name == "loss" else 1.8,
        )
        for name, (words, colour) in PARTS.items()
        if weights[name] and history.has(name)
        for prefix in ("", "val_")
        if history.has(prefix + name)
    ]
    told = "full lines: training"
    if history.has("val_loss"):
        told += "; dashed: validation"
    title = "Loss: each part times its weight"
    return _draw(history, lines, title, told, from_zero=True)


def _draw_accuracy(history: History) -> "Figure":
    lines = [
        Line([100 * v for v in history.values[name]], drawing.BLUE, words, dashed)
        for name, words, dashed in (
            ("accuracy", "training", False),
            ("val_accuracy", "validation", True),
        )
        if history.has(name)
    ]
    return _draw(history, lines, "Accuracy, %")


def _draw(
    history: History,
    lines: Sequence[Line],
    title: str,
    legend_title: str | None = None,
    from_zero: bool = False,
) -> "Figure":
    """Lines over the epochs, with their words below the axes."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    figure = drawing.new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    drawing.open_frame(axes)
    axes.spines[["left", "bottom"]].set_color(drawing.LINE)
    axes.grid(axis="y", color=drawing.LINE, linewidth=0.6)
    axes.tick_params(
        color=drawing.LINE, labelcolor=drawing.SOFT, labelsize=pictures.FONT_SIZE
    )
    axes.set_xlabel("epoch", **pictures.LABEL)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    first, last = history.epochs[0], history.epochs[-1]
    margin = max(0.5, 0.02 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    axes.set_title(title, loc="left", fontsize=pictures.FONT_SIZE)
    for line in lines:
        known = [
            (epoch, value)
            for epoch, value in zip(history.epochs, line.values, strict=True)
            if math.isfinite(value)
        ]
        # One epoch is a point, many are a line.
        style: dict[str, Any] = {
            "marker": "o",
            "markersize": 4 if len(known) < 3 else 0,
        }
        axes.plot(*zip(*known, strict=True), **_style(line, line.width), **style)
    if from_zero:
        axes.set_ylim(bottom=0)
    named = [line for line in lines if line.words]
    if named:
        legend = figure.legend(
            handles=[Line2D([], [], label=n.words, **_style(n, 2)) for n in named],
            title=legend_title,
            loc="outside lower left",
            ncols=2,
            alignment="left",
            frameon=False,
            fontsize=pictures.FONT_SIZE,
            title_fontsize=pictures.FONT_SIZE,
            columnspacing=1.4,
            handlelength=1.8,
            labelspacing=0.3,
        )
        legend.get_title().set_color(drawing.SOFT)
    return figure


def _style(line: Line, width: float) -> dict[str, Any]:
    dashes = _DASHES if line.dashed else "-"
    return {"color": line.colour, "linestyle": dashes, "linewidth": width}
