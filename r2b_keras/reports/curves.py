"""Loss parts, accuracy and flipping weights over the epochs of a stage."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from r2b_keras.recipes import Stage
from r2b_keras.reports import figures
from r2b_keras.reports.history import FLIPS, History
from r2b_keras.reports.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# CSS pixels; three of them fit side by side, on paper with text that can be read.
WIDTH, HEIGHT = 330, 280
# In the order in which they are drawn, with the words and the colour of each.
PARTS = {
    "loss": ("sum of all", figures.BLACK),
    "cross_entropy": ("cross-entropy", figures.BLUE),
    "attention": ("attention", figures.VERMILLION),
    "logit_matching": ("logit matching", figures.GREEN),
    "l2": ("weight decay", figures.PURPLE),
}
_TITLE: dict[str, Any] = {"loc": "left", "fontsize": figures.FONT_SIZE}
_DASHES = (0, (3, 1.6))


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


def pictures(number: int, stage: Stage, history: History) -> list[Picture]:
    """The figures of a stage that has at least one epoch."""
    drawn = [
        figures.draw(
            f"stage_{number}_loss",
            draw_losses(part_weights(stage), history),
            f"Stage {number}: the loss and its parts over {len(history.epochs)} epochs."
            f" {_last(history, 'loss', '{:.4g}')}",
        ),
        figures.draw(
            f"stage_{number}_accuracy",
            _draw_accuracy(history),
            f"Stage {number}: accuracy over {len(history.epochs)} epochs. "
            f"{_last(history, 'accuracy', '{:.2%}')}",
        ),
    ]
    if history.has(FLIPS):
        drawn.append(
            figures.draw(
                f"stage_{number}_flips",
                _draw_flips(history),
                f"Stage {number}: share of binary weights that each epoch flipped, "
                f"{history.values[FLIPS][0]:.3%} in the first shown and "
                f"{history.values[FLIPS][-1]:.3%} in the last.",
            )
        )
    return drawn


def _last(history: History, name: str, form: str) -> str:
    """The last epoch's numbers in words."""
    words = []
    for prefix, place in (("", "on training images"), ("val_", "on validation images")):
        if history.has(prefix + name):
            value = form.format(history.values[prefix + name][-1])
            words.append(f"{value} {place}")
    return f"At the end {' and '.join(words)}." if words else ""


def _new(history: History) -> "tuple[Figure, Axes]":
    from matplotlib.ticker import MaxNLocator

    figure = figures.new_figure(WIDTH, HEIGHT)
    axes = figure.subplots()
    figures.tidy(axes)
    axes.set_xlabel("epoch", color=figures.SOFT, fontsize=figures.FONT_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
    first, last = history.epochs[0], history.epochs[-1]
    margin = max(0.5, 0.02 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    return figure, axes


def _plot(
    axes: "Axes",
    history: History,
    values: Sequence[float],
    colour: str,
    dashed: bool = False,
    linewidth: float = 1.8,
) -> None:
    known = [
        (e, v) for e, v in zip(history.epochs, values, strict=True) if math.isfinite(v)
    ]
    axes.plot(
        *zip(*known, strict=True),
        color=colour,
        linestyle=_DASHES if dashed else "-",
        linewidth=linewidth,
        marker="o",
        # One epoch is a point, many are a line.
        markersize=4 if len(known) < 3 else 0,
    )


def draw_losses(weights: dict[str, float], history: History) -> "Figure":
    """Every part of the loss, in training and in validation.

    Args:
      weights: see `part_weights`.
      history: at least one epoch.
    """
    figure, axes = _new(history)
    shown = [name for name in PARTS if weights[name] and history.has(name)]
    parts = [PARTS[name] for name in shown]
    for name in shown:
        for prefix in ("", "val_"):
            if history.has(prefix + name):
                values = [weights[name] * v for v in history.values[prefix + name]]
                # The sum goes below its parts, and shows where one hides it.
                width = 3.2 if name == "loss" else 1.8
                _plot(axes, history, values, PARTS[name][1], bool(prefix), width)
    axes.set_ylim(bottom=0)
    axes.set_title("Loss: each part times its weight", **_TITLE)
    lines = "full lines: training"
    if history.has("val_loss"):
        lines += "; dashed: validation"
    _legend(figure, [(words, colour, False) for words, colour in parts], lines)
    return figure


def _draw_accuracy(history: History) -> "Figure":
    figure, axes = _new(history)
    for prefix in ("", "val_"):
        if history.has(f"{prefix}accuracy"):
            values = [100 * v for v in history.values[f"{prefix}accuracy"]]
            _plot(axes, history, values, figures.BLUE, bool(prefix))
    axes.set_title("Accuracy, %", **_TITLE)
    entries = (("", "training"), ("val_", "validation"))
    drawn = [
        (words, figures.BLUE, bool(prefix))
        for prefix, words in entries
        if history.has(f"{prefix}accuracy")
    ]
    _legend(figure, drawn)
    return figure


def _draw_flips(history: History) -> "Figure":
    figure, axes = _new(history)
    _plot(axes, history, [100 * v for v in history.values[FLIPS]], figures.VERMILLION)
    axes.set_ylim(bottom=0)
    axes.set_title("Binary weights flipped in the epoch, %", **_TITLE)
    return figure


def _legend(
    figure: "Figure", entries: Sequence[tuple[str, str, bool]], title: str | None = None
) -> None:
    """Below the axes: (words, colour, whether dashed) of each line."""
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            linewidth=2,
            linestyle=_DASHES if dashed else "-",
            color=colour,
            label=words,
        )
        for words, colour, dashed in entries
    ]
    legend = figure.legend(
        handles=handles,
        title=title,
        loc="outside lower left",
        ncols=2,
        alignment="left",
        frameon=False,
        fontsize=figures.FONT_SIZE,
        title_fontsize=figures.FONT_SIZE,
        columnspacing=1.4,
        handlelength=1.8,
        labelspacing=0.3,
    )
    legend.get_title().set_color(figures.SOFT)
