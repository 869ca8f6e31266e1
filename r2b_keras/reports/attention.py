"""Attention maps (Sec. 4.2, Eq. 2) of a student and its teacher, side by side."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.reports import figures
from r2b_keras.reports.page import Picture
from r2b_keras.trainers.attention_images import attention_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# CSS pixels: a map, the words beside a line of maps, those above and below it.
CELL, LABEL, HEAD, FOOT, GAP = 56, 22, 24, 26, 6
# Taps in a line, at most, and points of the words: four pictures fit side by side on
# paper and can be read.
MOST_COLUMNS, FONT_SIZE = 3, 11


@dataclass(frozen=True)
class TapMaps:
    """One tap of both networks.

    Attributes:
      tap: the layer's name.
      teacher: `[N, h, w]`, each map of L2 norm 1.
      student: the same of the student.
    """

    tap: str
    teacher: np.ndarray
    student: np.ndarray

    @property
    def distances(self) -> np.ndarray:
        """`[N]`, the tap's term of Eq. 2: 0 for equal maps, at most the root of 2."""
        difference = (self.student - self.teacher).astype(np.float64)
        distance: np.ndarray = np.sqrt(np.square(difference).sum(axis=(1, 2)))
        return distance


def maps(
    student: tf.keras.Model, teacher: tf.keras.Model, images: np.ndarray
) -> list[TapMaps]:
    """Maps of all blocks that both have in the same size; see `attention_maps`."""
    found = attention_maps(student, teacher, images)
    return [TapMaps(tap, taught, own) for tap, (own, taught) in found.items()]


def picture(name: str, image: np.ndarray, taps: list[TapMaps], index: int) -> Picture:
    """One image and its maps: the teacher's above the student's, then their distance.

    The two maps of a tap have one colour scale, from 0 to the larger maximum.

    Args:
      name: the picture's file name.
      image: `[H, W, C]` uint8.
      taps: at least one.
      index: the image's place in the maps.
    """
    num_lines = math.ceil(len(taps) / MOST_COLUMNS)
    per_line = math.ceil(len(taps) / num_lines)
    width = LABEL + (per_line + 1) * (CELL + GAP)
    line_height = HEAD + 2 * CELL + GAP + FOOT
    height = num_lines * line_height
    figure = figures.new_figure(width, height, layout=None)

    def place(x: float, y: float, values: np.ndarray, **options: Any) -> "Axes":
        """Draws an array with its upper left corner at (x, y), in CSS pixels."""
        box = (x / width, 1 - (y + CELL) / height, CELL / width, CELL / height)
        axes = figure.add_axes(box)
        axes.imshow(values, interpolation="nearest", **options)
        axes.set_axis_off()
        return axes

    if image.shape[-1] == 1:
        place(0, HEAD, image[..., 0], cmap="gray", vmin=0, vmax=255)
    else:
        place(0, HEAD, image)
    for number, tap in enumerate(taps):
        line, column = divmod(number, per_line)
        x = CELL + LABEL + GAP + column * (CELL + GAP)
        y = line * line_height + HEAD
        maps_of_tap = (tap.teacher[index], tap.student[index])
        top = max(float(values.max()) for values in maps_of_tap) or 1.0
        scale = {"cmap": figures.COLOUR_MAP, "vmin": 0, "vmax": top}
        for row, values in enumerate(maps_of_tap):
            axes = place(x, y + row * (CELL + GAP), values, **scale)
            if column == 0:
                _label(axes, -0.06, 0.5, ("teacher", "student")[row], rotation=90)
        _label(axes, 0.5, 2.04 + GAP / CELL, tap.tap.replace("_", " "), va="bottom")
        _label(axes, 0.5, -0.03, f"{tap.distances[index]:.2f}", va="top")
    words = ", ".join(f"{tap.tap} {tap.distances[index]:.2f}" for tap in taps)
    alt = f"A test image with the teacher's and the student's maps; distances: {words}."
    return figures.draw(name, figure, alt)


def _label(axes: "Axes", x: float, y: float, words: str, **options: Any) -> None:
    """Writes beside a map; x and y in parts of its sides."""
    options = {"ha": "center", "va": "center", **options}
    options["fontsize"] = FONT_SIZE
    if "rotation" in options:
        options["ha"] = "right"
    axes.text(x, y, words, transform=axes.transAxes, color=figures.SOFT, **options)
