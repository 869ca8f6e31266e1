"""Attention maps (Sec. 4.2, Eq. 2) of a student and its teacher, side by side."""

import math
from dataclasses import dataclass

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.models import intermediate_names, with_intermediates
from r2b_keras.reports import figures
from r2b_keras.reports.page import Picture
from r2b_keras.trainers.losses import normalised_attention_map

WIDTH, MOST_COLUMNS = 520, 4
_LOGITS = "(logits)"  # no layer can have this name


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
    """Maps of all taps that both networks have in the same size.

    Args:
      student: a network with blocks.
      teacher: the same.
      images: `[N, H, W, C]`, as the networks see them.
    """
    theirs = set(intermediate_names(teacher))
    taps = [tap for tap in intermediate_names(student) if tap in theirs]
    own, taught = (_maps_of(model, taps, images) for model in (student, teacher))
    return [
        TapMaps(tap, taught[tap], own[tap])
        for tap in taps
        if own[tap].shape == taught[tap].shape
    ]


def _maps_of(
    model: tf.keras.Model, taps: list[str], images: np.ndarray
) -> dict[str, np.ndarray]:
    outputs = with_intermediates(model, taps, output=_LOGITS)(images, training=False)
    return {tap: normalised_attention_map(outputs[tap]).numpy() for tap in taps}


def picture(name: str, image: np.ndarray, taps: list[TapMaps], index: int) -> Picture:
    """One image and its maps: the teacher's above the student's, tap by tap.

    The two maps of a tap have one colour scale, from 0 to the larger maximum.

    Args:
      name: the picture's file name.
      image: `[H, W, C]` uint8.
      taps: at least one.
      index: the image's place in the maps.
    """
    per_line = len(taps) if len(taps) <= MOST_COLUMNS else math.ceil(len(taps) / 2)
    per_line = min(per_line, MOST_COLUMNS)
    num_lines = math.ceil(len(taps) / per_line)
    cell = WIDTH / (per_line + 1)
    figure = figures.new_figure(WIDTH, num_lines * (2 * cell + 34))
    grid = figure.add_gridspec(2 * num_lines, per_line + 1)
    shown = figure.add_subplot(grid[:2, 0])
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if image.shape[-1] == 1 else {}
    shown.imshow(image.squeeze(-1) if grey else image, **grey)
    _bare(shown)
    for place, tap in enumerate(taps):
        line, column = divmod(place, per_line)
        top = max(float(tap.teacher[index].max()), float(tap.student[index].max()))
        pair = (("teacher", tap.teacher[index]), ("student", tap.student[index]))
        for row, (who, values) in enumerate(pair):
            axes = figure.add_subplot(grid[2 * line + row, column + 1])
            axes.imshow(values, cmap=figures.COLOUR_MAP, vmin=0, vmax=top or 1)
            _bare(axes)
            if row == 0:
                axes.set_title(tap.tap.replace("_", " "), fontsize=9.5)
            else:
                distance = f"distance {tap.distances[index]:.2f}"
                axes.set_xlabel(distance, fontsize=8.5, color=figures.SOFT)
            if column == 0:
                axes.set_ylabel(who, fontsize=9, color=figures.SOFT)
    words = ", ".join(f"{tap.tap} {tap.distances[index]:.2f}" for tap in taps)
    alt = f"A test image with the teacher's and the student's maps; distances: {words}."
    return Picture(name, figures.to_png(figure), alt)


def _bare(axes: object) -> None:
    axes.set_xticks([])  # type: ignore[attr-defined]
    axes.set_yticks([])  # type: ignore[attr-defined]
    axes.spines[:].set_visible(False)  # type: ignore[attr-defined]
