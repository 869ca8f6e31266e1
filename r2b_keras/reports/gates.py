"""What the gates G (Eq. 3, Sec. 4.3) let through, by class."""

from typing import TYPE_CHECKING

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.models import ChannelGating
from r2b_keras.reports import figures
from r2b_keras.reports.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 1060
# More classes than this have no name beside their row.
MOST_NAMED = 40


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


def pictures(
    gates: dict[str, np.ndarray], class_names: tuple[str, ...]
) -> tuple[Picture, Picture]:
    """One figure of all gates, averaged over channels, and one of the last in detail.

    Args:
      gates: `[K, C]` by layer, in the order of the network; at least one.
      class_names: K names.
    """
    overall = np.stack([means.mean(axis=1) for means in gates.values()], axis=1)
    blocks = [half_block(name) for name in gates]
    last = list(gates)[-1]
    detail = gates[last][:, channel_order(gates[last])]
    return (
        Picture(
            "gates_by_class",
            _draw_overall(overall, blocks, class_names),
            f"Mean gate value of {len(class_names)} classes in the half blocks "
            f"{', '.join(blocks)}: from {np.nanmin(overall):.2f} to "
            f"{np.nanmax(overall):.2f}.",
        ),
        Picture(
            "gates_last",
            _draw_detail(detail, class_names),
            f"Mean value of each of the {detail.shape[1]} channels of the gate in half "
            f"block {half_block(last)}, by class, channels that differ most between "
            f"classes first: from {np.nanmin(detail):.2f} to {np.nanmax(detail):.2f}.",
        ),
    )


def _height(num_classes: int) -> float:
    row = 24 if num_classes <= MOST_NAMED else 400 / num_classes
    return 90 + max(3, num_classes) * row


def _draw_overall(
    values: np.ndarray, blocks: list[str], class_names: tuple[str, ...]
) -> bytes:
    width = min(WIDTH, 260 + 44 * len(blocks))
    figure = figures.new_figure(width, _height(len(class_names)))
    axes = figure.subplots()
    _heatmap(axes, values, class_names, "mean gate value")
    axes.set_xticks(range(len(blocks)), blocks)
    axes.set_xlabel("half block", color=figures.SOFT)
    if len(class_names) <= MOST_NAMED:
        _write_values(axes, values)
    return figures.to_png(figure)


def _draw_detail(values: np.ndarray, class_names: tuple[str, ...]) -> bytes:
    width = min(WIDTH, 260 + 14 * values.shape[1])
    figure = figures.new_figure(width, _height(len(class_names)))
    axes = figure.subplots()
    _heatmap(axes, values, class_names, "mean gate value")
    axes.set_xlabel(
        "channels, those that differ most between classes first", color=figures.SOFT
    )
    axes.set_xticks([])
    return figures.to_png(figure)


def _heatmap(
    axes: "Axes", values: np.ndarray, class_names: tuple[str, ...], label: str
) -> None:
    drawn = axes.imshow(
        values, cmap=figures.COLOUR_MAP, aspect="auto", interpolation="nearest"
    )
    if len(class_names) <= MOST_NAMED:
        names = [figures.drawable(name) for name in class_names]
        axes.set_yticks(range(len(names)), names)
    else:
        axes.set_ylabel(f"{len(class_names)} classes", color=figures.SOFT)
    axes.tick_params(length=0, labelcolor=figures.SOFT, labelsize=figures.FONT_SIZE - 1)
    axes.spines[:].set_visible(False)
    bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, fraction=0.05)
    bar.set_label(label, color=figures.SOFT)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=figures.FONT_SIZE - 1, labelcolor=figures.SOFT)


def _write_values(axes: "Axes", values: np.ndarray) -> None:
    """Writes each number into its cell, white on dark ones."""
    low, high = np.nanmin(values), np.nanmax(values)
    middle = (low + high) / 2
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        axes.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=figures.FONT_SIZE - 2,
            color="white" if value <= middle else "black",
        )
