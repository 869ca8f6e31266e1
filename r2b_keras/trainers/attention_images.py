"""Attention maps of two networks, and as pictures in TensorBoard."""

import pathlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.models import intermediate_names, with_intermediates
from r2b_keras.models.intermediates import OUTPUT
from r2b_keras.trainers.losses import normalised_attention_map

NUM_IMAGES = 4
# Pixels of a map's side, and of the gaps between maps.
CELL, GAP = 56, 2


def attention_maps(
    student: tf.keras.Model,
    teacher: tf.keras.Model,
    images: np.ndarray,
    pairs: Sequence[tuple[str, str]] = (),
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Attention maps of layers that are matched, and of blocks of equal name and size.

    Args:
      student: a network.
      teacher: the same.
      images: `[N, H, W, C]`, as the networks see them.
      pairs: layers whose attention is matched, the student's and the teacher's.

    Returns:
      By the name of the student's layer: the student's maps and the teacher's, `[N, h,
      w]` each and of L2 norm 1, as Eq. 2 compares them.
    """
    theirs = set(intermediate_names(teacher))
    names = {name: name for name in intermediate_names(student) if name in theirs}
    shown = names | dict(pairs)

    def maps(model: tf.keras.Model, taps: Collection[str]) -> dict[str, np.ndarray]:
        taps = list(dict.fromkeys(taps))
        features = with_intermediates(model, taps, output=OUTPUT)
        found = features(images, training=False)
        return {tap: normalised_attention_map(found[tap]).numpy() for tap in taps}

    own, taught = maps(student, shown.keys()), maps(teacher, shown.values())
    found = {tap: (own[tap], taught[other]) for tap, other in shown.items()}
    return {
        tap: (one, two) for tap, (one, two) in found.items() if one.shape == two.shape
    }


def grid(
    images: np.ndarray, student: np.ndarray, teacher: np.ndarray, cell: int = CELL
) -> np.ndarray:
    """One row for each image: the image, the teacher's map, the student's.

    Both maps of an image have one scale, from 0 (black) to the larger of their maxima
    (white).

    Args:
      images: `[N, H, W, C]`, 0 to 1, C of 1 or 3.
      student: `[N, h, w]`, not negative.
      teacher: the same of the teacher.
      cell: pixels of the side of each of the three.

    Returns:
      `[height, width, 3]`, 0 to 1.
    """
    side = cell + GAP
    canvas = np.ones((len(images) * side - GAP, 3 * side - GAP, 3), np.float32)
    for i, (image, own, other) in enumerate(zip(images, student, teacher, strict=True)):
        top = max(own.max(), other.max(), np.finfo(np.float32).tiny)
        for j, part in enumerate((image, other[..., None] / top, own[..., None] / top)):
            y, x = i * side, j * side
            canvas[y : y + cell, x : x + cell] = _scaled(part, cell)
    return canvas


def _scaled(picture: np.ndarray, size: int) -> np.ndarray:
    """The nearest pixels, such that both sides have `size`."""
    rows, columns = (
        ((np.arange(size) + 0.5) * length // size).astype(int)
        for length in picture.shape[:2]
    )
    return picture[rows[:, None], columns]


class AttentionImages(tf.keras.callbacks.Callback):
    """Writes the attention maps of student and teacher after every epoch.

    One picture for each block, `attention/BLOCK`, of a few images that stay the same:
    see `grid`. Blocks that no loss matches are shown too. Both networks run in
    inference mode, outside the training step, so training stays what it is to the bit.

    Args:
      folder: where the event files go.
      teacher: the distiller's.
      images: `[N, H, W, C]`, as the networks see them.
      shown: the same as they look, `[N, H, W, 1 or 3]`, 0 to 1.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        teacher: tf.keras.Model,
        images: np.ndarray,
        shown: np.ndarray,
    ) -> None:
        """Stores what to show."""
        super().__init__()
        self._folder = folder
        self._teacher = teacher
        self._images = images
        self._shown = shown
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Opens the event file, in the process that writes."""
        if self.model.distribute_strategy.extended.should_save_summary:
            self._writer = tf.summary.create_file_writer(str(self._folder))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes one picture for each block."""
        # On every worker: BatchNorm's averages may be read from all of them together.
        maps = attention_maps(
            self.model.student, self._teacher, self._images, self.model.tap_pairs
        )
        if self._writer is None:
            return
        with self._writer.as_default(step=epoch):
            for block, (student, teacher) in maps.items():
                picture = grid(self._shown, student, teacher)
                tf.summary.image(f"attention/{block}", picture[None])
        self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
