"""Attention maps (Sec. 4.2, Eq. 2) of a student and its teacher, side by side."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras import drawing
from r2b_keras.data import ImageDataset
from r2b_keras.environment import tf
from r2b_keras.networks import BINARIZATIONS
from r2b_keras.recipes import Stage
from r2b_keras.reports import pictures, predictions
from r2b_keras.reports.pictures import Picture
from r2b_keras.reports.predictions import Predictions
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.trainers.attention_images import attention_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# CSS pixels: a map, the words beside a line of maps, those above and below it.
CELL, LABEL, HEAD, FOOT, GAP = 56, 22, 24, 26, 6
# Taps in a line, at most, and points of the words: four pictures fit side by side on
# paper and can be read.
MOST_COLUMNS, FONT_SIZE = 3, 11


def distances(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """`[N]`, a tap's term of Eq. 2: 0 for equal maps, at most the root of 2.

    Args:
      student: `[N, h, w]`, each map of L2 norm 1.
      teacher: the same of the teacher.
    """
    difference = (student - teacher).astype(np.float64)
    distance: np.ndarray = np.sqrt(np.square(difference).sum(axis=(1, 2)))
    return distance


def picture(
    name: str,
    image: np.ndarray,
    taps: Mapping[str, tuple[np.ndarray, np.ndarray]],
    index: int,
) -> Picture:
    """One image and its maps: the teacher's above the student's, then their distance.

    The two maps of a tap have one colour scale, from 0 to the larger maximum.

    Args:
      name: the picture's, unique on the page.
      image: `[H, W, C]` uint8.
      taps: the student's maps and the teacher's, at least of one; by the layer's name,
        or "STUDENT=TEACHER" where their names differ.
      index: the image's place in the maps.
    """
    num_lines = math.ceil(len(taps) / MOST_COLUMNS)
    per_line = math.ceil(len(taps) / num_lines)
    width = LABEL + (per_line + 1) * (CELL + GAP)
    # Two names do not fit beside each other.
    head = 2 * HEAD if any("=" in tap for tap in taps) else HEAD
    line_height = head + 2 * CELL + GAP + FOOT
    height = num_lines * line_height
    figure = drawing.new_figure(width, height, layout=None)

    def place(x: float, y: float, values: np.ndarray, **options: Any) -> "Axes":
        """Draws an array with its upper left corner at (x, y), in CSS pixels."""
        box = (x / width, 1 - (y + CELL) / height, CELL / width, CELL / height)
        axes = figure.add_axes(box)
        axes.imshow(values, interpolation="nearest", **options)
        axes.set_axis_off()
        return axes

    if image.shape[-1] == 1:
        place(0, head, image[..., 0], cmap="gray", vmin=0, vmax=255)
    else:
        place(0, head, image)
    words = {tap: f"{distances(*both)[index]:.2f}" for tap, both in taps.items()}
    for number, (tap, (own, taught)) in enumerate(taps.items()):
        line, column = divmod(number, per_line)
        x = CELL + LABEL + GAP + column * (CELL + GAP)
        y = line * line_height + head
        maps_of_tap = (taught[index], own[index])
        top = max(float(values.max()) for values in maps_of_tap) or 1.0
        scale = {"cmap": drawing.COLOUR_MAP, "vmin": 0, "vmax": top}
        for row, values in enumerate(maps_of_tap):
            axes = place(x, y + row * (CELL + GAP), values, **scale)
            if column == 0:
                _label(axes, -0.06, 0.5, ("teacher", "student")[row], rotation=90)
        title = tap.replace("_", " ").replace("=", "\n")
        _label(axes, 0.5, 2.04 + GAP / CELL, title, va="bottom")
        _label(axes, 0.5, -0.03, words[tap], va="top")
    told = ", ".join(f"{tap} {distance}" for tap, distance in words.items())
    alt = f"A test image with the teacher's and the student's maps; distances: {told}."
    return pictures.draw(name, figure, alt)


def _label(axes: "Axes", x: float, y: float, words: str, **options: Any) -> None:
    """Writes beside a map; x and y in parts of its sides."""
    style = {"fontsize": FONT_SIZE, "color": drawing.SOFT, "va": "center"}
    style["ha"] = "right" if "rotation" in options else "center"
    axes.text(x, y, words, transform=axes.transAxes, **{**style, **options})


def _maps(
    stage: Stage, student: tf.keras.Model, teacher: tf.keras.Model, images: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The maps of the pairs that the stage trains on, and of other blocks."""
    pairs = stage.losses.tap_pairs if stage.losses.attention else []
    teachers = dict(pairs)
    maps = attention_maps(student, teacher, images, pairs)
    return {
        tap if teachers.get(tap, tap) == tap else f"{tap}={teachers[tap]}": both
        for tap, both in maps.items()
    }


def section(
    record: RunRecord,
    networks: Callable[[int], tf.keras.Model],
    dataset: ImageDataset,
    found: Predictions,
    num_images: int,
) -> list[dict[str, Any]]:
    """Maps for every tap of every finished stage that has a teacher, for the template.

    Args:
      record: of the run.
      networks: the students of finished stages.
      dataset: the images.
      found: for their labels.
      num_images: how many are shown.
    """
    chosen = predictions.representatives(found.labels, num_images)
    by_index = predictions.test_images(dataset, chosen)
    images = np.stack([by_index[index] for index in chosen])
    config = record.recipe.data
    shown = config.normalisation.pixels(images)
    stages = []
    for number in record.results:
        stage = record.recipe.stages[number]
        if stage.teacher is None:
            continue
        if isinstance(stage.teacher, str):
            stages.append({"number": number, "file": stage.teacher})
            continue
        taught = record.recipe.stages[stage.teacher].student.binarization
        is_open = stage.teacher not in record.results
        taps = {}
        if not is_open:
            taps = _maps(stage, networks(number), networks(stage.teacher), images)
        drawn = [
            picture(f"stage_{number}_attention_{place + 1}", shown[place], taps, place)
            for place in range(len(chosen))
            if taps
        ]
        classes = [dataset.class_names[found.labels[index]] for index in chosen]
        stages.append(
            {
                "number": number,
                "file": None,
                "teacher": stage.teacher,
                "binary": BINARIZATIONS[taught].binary_parts,
                "is_open": is_open,
                "is_trained_on": bool(stage.losses.attention),
                "pictures": list(zip(drawn, classes, strict=False)),
            }
        )
    return stages
