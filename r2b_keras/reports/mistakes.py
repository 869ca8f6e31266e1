"""The confusion matrix, and the images that cost the most."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from r2b_keras.reports import figures
from r2b_keras.reports.page import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

# More classes than these have no numbers in the cells, and no names beside them.
MOST_COUNTED, MOST_NAMED = 20, 40
# Up to so many, the matrix fits on a phone.
MOST_NARROW = 10
# Pixels of the shorter side of a picture, at least.
SIDE = 160


@dataclass(frozen=True)
class Mistake:
    """A test image that is taken for another class.

    Attributes:
      index: its number in the test part.
      true: its class.
      predicted: the class with the highest logit.
      true_probability: what the network gives its class, 0 to 1.
      predicted_probability: what it gives the other.
      loss: cross-entropy, in nats.
    """

    index: int
    true: int
    predicted: int
    true_probability: float
    predicted_probability: float
    loss: float


def worst(logits: np.ndarray, labels: np.ndarray, count: int) -> list[Mistake]:
    """The mistakes with the highest loss, the worst one first.

    Args:
      logits: `[N, K]`.
      labels: `[N]`, true classes.
      count: how many at most.
    """
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    losses = -logs[rows, labels]
    predicted = logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-losses[wrong], kind="stable")][:count]
    return [
        Mistake(
            index=int(i),
            true=int(labels[i]),
            predicted=int(predicted[i]),
            true_probability=float(np.exp(logs[i, labels[i]])),
            predicted_probability=float(np.exp(logs[i, predicted[i]])),
            loss=float(losses[i]),
        )
        for i in order
    ]


def photograph(name: str, image: np.ndarray, alt: str) -> Picture:
    """An image as it is, small ones enlarged by repeating pixels.

    Args:
      name: the picture's file name.
      image: `[H, W, C]` uint8, C of 1 or 3.
      alt: what it shows.
    """
    times = max(1, round(SIDE / min(image.shape[:2])))
    large = image.repeat(times, axis=0).repeat(times, axis=1)
    content = io.BytesIO()
    Image.fromarray(large.squeeze(-1) if large.shape[-1] == 1 else large).save(
        content, format="PNG", optimize=True
    )
    return Picture(name, content.getvalue(), alt)


def most_confused(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The pairs (true, predicted, images) that are confused most often."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(wrong)) for place in order]
    return [(t, p, int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def confusion_picture(confusion: np.ndarray, class_names: tuple[str, ...]) -> Picture:
    """The matrix as shares of each row, with the counts where they fit.

    Args:
      confusion: `[K, K]` counts, true class by row, predicted class by column.
      class_names: K names.
    """
    size = len(class_names)
    side = min(680, 80 + 32 * max(size, 8))
    figure = figures.new_figure(side, side)
    axes = figure.subplots()
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # The square root shows the rare mistakes beside the many right answers.
    drawn = axes.imshow(np.sqrt(confusion / totals), cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted class", color=figures.SOFT, fontsize=figures.FONT_SIZE)
    axes.set_ylabel("true class", color=figures.SOFT, fontsize=figures.FONT_SIZE)
    axes.spines[:].set_color(figures.LINE)
    axes.tick_params(length=0, labelcolor=figures.SOFT, labelsize=figures.SMALL)
    names = [figures.drawable(name, 16) for name in class_names]
    if size <= MOST_NAMED:
        axes.set_xticks(range(size), names, rotation=90 if _long(names) else 0)
        axes.set_yticks(range(size), names)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if size <= MOST_COUNTED:
        _write_counts(axes, confusion, drawn)
    right, total = int(np.trace(confusion)), int(confusion.sum())
    alt = (
        f"Confusion matrix of {size} classes: {right:,} of {total:,} test images are "
        "on its diagonal, classified correctly."
    )
    return figures.draw("confusion", figure, alt)


def _long(names: list[str]) -> bool:
    return max(map(len, names)) > 3


def _write_counts(axes: "Axes", confusion: np.ndarray, drawn: "AxesImage") -> None:
    shown = np.asarray(drawn.get_array())
    for row, column in np.argwhere(confusion):
        axes.text(
            column,
            row,
            str(confusion[row, column]),
            ha="center",
            va="center",
            fontsize=figures.SMALL,
            color=figures.ink_on(drawn.cmap(drawn.norm(shown[row, column]))),
        )
