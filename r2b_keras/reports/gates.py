"""What the gates G (Eq. 3, Sec. 4.3) let through, by class."""

from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras import drawing
from r2b_keras.environment import tf
from r2b_keras.models import ChannelGating
from r2b_keras.reports import pictures
from r2b_keras.reports.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# CSS pixels: what fits on paper, and what a cell needs for "0.50" in it.
WIDTH, CELL = 680, 36
# More classes than this have no name beside their row.
MOST_NAMED = 40
# Colours span at least so much of a gate's range of 1, or noise would look like more.
LEAST_SPAN = 0.2


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


def draw_both(
    gates: dict[str, np.ndarray], class_names: tuple[str, ...]
) -> list[tuple[Picture, str]]:
    """One figure of all gates, averaged over channels, and one of the last in detail.

    Each with a caption.

    Args:
      gates: `[K, C]` by layer, in the order of the network; at least one.
      class_names: K names.
    """
    overall = np.stack([means.mean(axis=1) for means in gates.values()], axis=1)
    blocks = [half_block(name) for name in gates]
    last = gates[list(gates)[-1]]
    detail = last[:, channel_order(last)]
    return [
        (
            pictures.draw(
                "gates_by_class",
                draw_overall(overall, blocks, class_names),
                f"Mean gate value of {len(class_names)} classes in the half blocks "
                f"{', '.join(blocks)}: {_range_in_words(overall)}.",
            ),
            f"Each half block, averaged over its channels; {_scale_in_words(overall)}",
        ),
        (
            pictures.draw(
                "gates_last",
                _draw_detail(detail, class_names),
                f"Mean value of each of the {detail.shape[1]} channels of the gate in "
                f"half block {blocks[-1]}, by class, channels that differ most "
                f"between classes first: {_range_in_words(detail)}.",
            ),
            f"Every channel of the last gate, half block {blocks[-1]}; "
            f"{_scale_in_words(detail)}",
        ),
    ]


def _range_in_words(values: np.ndarray) -> str:
    return f"from {np.nanmin(values):.2f} to {np.nanmax(values):.2f}"


def _scale_in_words(values: np.ndarray) -> str:
    low, high = colour_scale(values)
    return f"colours from {low:.2f}, dark, to {high:.2f}, bright"


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
    axes = _heatmap(width, values, class_names, "half block")
    axes.set_xticks(range(len(blocks)), blocks)
    if len(class_names) <= MOST_NAMED:
        # Without its zero where a cell is narrow.
        zero = "0" if (width - 240) / len(blocks) < CELL else ""
        words = {
            (row, column): f"{values[row, column]:.2f}".removeprefix(zero)
            for row, column in np.argwhere(np.isfinite(values))
        }
        pictures.write_in_cells(axes, words)
    return axes.get_figure(root=True)  # type: ignore[return-value]


def _draw_detail(values: np.ndarray, class_names: tuple[str, ...]) -> "Figure":
    width = min(WIDTH, 260 + 14 * values.shape[1])
    label = "channels, those that differ most between classes first"
    axes = _heatmap(width, values, class_names, label)
    axes.set_xticks([])
    return axes.get_figure(root=True)  # type: ignore[return-value]


def _heatmap(
    width: float, values: np.ndarray, class_names: tuple[str, ...], label: str
) -> "Axes":
    num_classes = len(class_names)
    row = 24 if num_classes <= MOST_NAMED else 400 / num_classes
    figure = drawing.new_figure(width, 90 + max(3, num_classes) * row)
    axes: Axes = figure.subplots()
    low, high = colour_scale(values)
    drawn = axes.imshow(
        values,
        cmap=drawing.COLOUR_MAP,
        vmin=low,
        vmax=high,
        aspect="auto",
        interpolation="nearest",
    )
    if num_classes <= MOST_NAMED:
        names = [drawing.drawable(name) for name in class_names]
        axes.set_yticks(range(num_classes), names)
    else:
        axes.set_ylabel(f"{num_classes} classes", color=drawing.SOFT)
    small: dict[str, Any] = {"labelcolor": drawing.SOFT, "labelsize": pictures.SMALL}
    axes.tick_params(length=0, **small)
    axes.set_xlabel(label, **pictures.LABEL)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=30, fraction=0.05)
    bar.set_label("mean gate value", **pictures.LABEL)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(**small)
    return axes
