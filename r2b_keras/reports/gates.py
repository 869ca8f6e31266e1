"""What the gates G (Eq. 3, Sec. 4.3) let through, by class."""

from typing import TYPE_CHECKING

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.models import ChannelGating
from r2b_keras.reports import figures
from r2b_keras.reports.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# CSS pixels: what fits on paper, and what a cell needs for "0.50" in it.
WIDTH, CELL = 680, 36
# More classes than this have no name beside their row.
MOST_NAMED = 40
# Colours span at least so much of a gate's range of 1, or noise would look like more.
LEAST_SPAN = 0.2


class GateMeans:
    """Mean of a gate's outputs over the images of each class.

    Args:
      num_classes: K.
    """

    def __init__(self, num_classes: int) -> None:
        """Begins with no image."""
        self._num_classes = num_classes
        self._counts = np.zeros(num_classes)
        self._sums: np.ndarray | None = None

    def add(self, values: np.ndarray, labels: np.ndarray) -> None:
        """Takes in a batch: outputs `[B, 1, 1, C]` and classes `[B]`."""
        flat = values.reshape(len(values), -1).astype(np.float64)
        if self._sums is None:
            self._sums = np.zeros((self._num_classes, flat.shape[1]))
        np.add.at(self._sums, labels, flat)
        np.add.at(self._counts, labels, 1)

    def result(self) -> np.ndarray:
        """`[K, C]`; NaN for a class without images."""
        if self._sums is None:
            return np.zeros((self._num_classes, 0))
        counts = np.where(self._counts, self._counts, np.nan)
        means: np.ndarray = self._sums / counts[:, None]
        return means


def gate_names(model: tf.keras.Model) -> list[str]:
    """Names of the gates, in the order of the network."""
    return [layer.name for layer in model.layers if isinstance(layer, ChannelGating)]


def half_block(gate: str) -> str:
    """The half block that a gate belongs to, for people: "block_3a_gate" is 3a."""
    return gate.removeprefix("block_").removesuffix("_gate")


def channel_order(means: np.ndarray) -> np.ndarray:
    """Channels by how much they differ between classes, the most telling one first.

    Args:
      means: `[K, C]`.

    Returns:
      `[C]`, numbers of channels; by the standard deviation over the classes.
    """
    spread = np.nan_to_num(np.nanstd(means, axis=0))
    return np.argsort(-spread, kind="stable")


def colour_scale(values: np.ndarray) -> tuple[float, float]:
    """What the darkest and the brightest colour stand for.

    The smallest and the largest value, or a span of `LEAST_SPAN` about their middle
    within 0 and 1.
    """
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    span = max(high - low, LEAST_SPAN)
    low = min(max((low + high - span) / 2, 0.0), 1.0 - span)
    return low, low + span


def pictures(
    gates: dict[str, np.ndarray], class_names: tuple[str, ...]
) -> tuple[tuple[Picture, str], tuple[Picture, str]]:
    """One figure of all gates, averaged over channels, and one of the last in detail.

    Each with a caption.

    Args:
      gates: `[K, C]` by layer, in the order of the network; at least one.
      class_names: K names.
    """
    overall = np.stack([means.mean(axis=1) for means in gates.values()], axis=1)
    blocks = [half_block(name) for name in gates]
    last = list(gates)[-1]
    detail = gates[last][:, channel_order(gates[last])]
    return (
        (
            figures.draw(
                "gates_by_class",
                draw_overall(overall, blocks, class_names),
                f"Mean gate value of {len(class_names)} classes in the half blocks "
                f"{', '.join(blocks)}: from {np.nanmin(overall):.2f} to "
                f"{np.nanmax(overall):.2f}.",
            ),
            f"Each half block, averaged over its channels; {_scale_in_words(overall)}",
        ),
        (
            figures.draw(
                "gates_last",
                _draw_detail(detail, class_names),
                f"Mean value of each of the {detail.shape[1]} channels of the gate in "
                f"half block {half_block(last)}, by class, channels that differ most "
                f"between classes first: from {np.nanmin(detail):.2f} to "
                f"{np.nanmax(detail):.2f}.",
            ),
            f"Every channel of the last gate, half block {half_block(last)}; "
            f"{_scale_in_words(detail)}",
        ),
    )


def _scale_in_words(values: np.ndarray) -> str:
    low, high = colour_scale(values)
    return f"colours from {low:.2f}, dark, to {high:.2f}, bright"


def _height(num_classes: int) -> float:
    row = 24 if num_classes <= MOST_NAMED else 400 / num_classes
    return 90 + max(3, num_classes) * row


def draw_overall(
    values: np.ndarray, blocks: list[str], class_names: tuple[str, ...]
) -> "Figure":
    """A row for each class, a column for each half block, with the values.

    Args:
      values: `[K, B]`, NaN for what is unknown.
      blocks: B names.
      class_names: K names.
    """
    width = min(WIDTH, 240 + 44 * len(blocks))
    figure = figures.new_figure(width, _height(len(class_names)))
    axes = figure.subplots()
    drawn = _heatmap(axes, values, class_names, "mean gate value")
    axes.set_xticks(range(len(blocks)), blocks)
    axes.set_xlabel("half block", color=figures.SOFT, fontsize=figures.FONT_SIZE)
    if len(class_names) <= MOST_NAMED:
        _write_values(axes, drawn, (width - 240) / len(blocks) < CELL)
    return figure


def _draw_detail(values: np.ndarray, class_names: tuple[str, ...]) -> "Figure":
    width = min(WIDTH, 260 + 14 * values.shape[1])
    figure = figures.new_figure(width, _height(len(class_names)))
    axes = figure.subplots()
    _heatmap(axes, values, class_names, "mean gate value")
    axes.set_xlabel(
        "channels, those that differ most between classes first",
        color=figures.SOFT,
        fontsize=figures.FONT_SIZE,
    )
    axes.set_xticks([])
    return figure


def _heatmap(
    axes: "Axes", values: np.ndarray, class_names: tuple[str, ...], label: str
) -> "AxesImage":
    low, high = colour_scale(values)
    drawn = axes.imshow(
        values,
        cmap=figures.COLOUR_MAP,
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
    )
    if len(class_names) <= MOST_NAMED:
        names = [figures.drawable(name) for name in class_names]
        axes.set_yticks(range(len(names)), names)
    else:
        axes.set_ylabel(f"{len(class_names)} classes", color=figures.SOFT)
    axes.tick_params(length=0, labelcolor=figures.SOFT, labelsize=figures.SMALL)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, fraction=0.05)
    bar.set_label(label, color=figures.SOFT, fontsize=figures.FONT_SIZE)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=figures.SMALL, labelcolor=figures.SOFT)
    return drawn


def _write_values(axes: "Axes", drawn: "AxesImage", narrow: bool) -> None:
    """Writes each number into its cell, without its zero where that is narrow."""
    values = np.ma.filled(drawn.get_array(), np.nan)
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        words = f"{value:.2f}"
        axes.text(
            column,
            row,
            words.removeprefix("0") if narrow else words,
            ha="center",
            va="center",
            fontsize=figures.SMALL,
            color=figures.ink_on(drawn.cmap(drawn.norm(value))),
        )
