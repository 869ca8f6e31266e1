"""Examples that lie in files of pictures and are decoded when they are needed."""

import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from r2b_keras.board import exif, pictures
from r2b_keras.data import decoding, seeds
from r2b_keras.data.encoded import EncodedExamples
from r2b_keras.data.examples import in_parallel
from r2b_keras.data.seeds import Epochs
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Bytes at either end of a file that tell whether it is a picture, and a whole one.
END_BYTES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class FileExamples(EncodedExamples):
    """Files of images and their labels.

    Attributes:
      folder: the folder that the fingerprint's names are relative to.
      paths: N files.
      labels: see `Examples`.
      image_shape: see `Examples`.
      framing: see `Examples`.
    """

    folder: Path
    paths: tuple[Path, ...]
    labels: np.ndarray
    image_shape: tuple[int, int, int]
    framing: str

    def content(self) -> Iterable[bytes]:
        """What the fingerprint is taken over: relative paths, sizes and labels."""
        for path, label in zip(self.paths, self.labels, strict=True):
            relative = path.relative_to(self.folder).as_posix()
            yield os.fsencode(f"{relative} {path.stat().st_size} {label}\n")

    def take(self, indices: np.ndarray) -> "FileExamples":
        """The examples at these indices."""
        paths = tuple(self.paths[index] for index in indices)
        return dataclasses.replace(self, paths=paths, labels=self.labels[indices])

    def _read(self) -> tf.data.Dataset:
        return in_parallel(
            tf.data.Dataset.from_tensor_slices(self._tensors()),
            lambda path, label: (tf.io.read_file(path), label),
        )

    def _shuffled(self, epochs: Epochs) -> tf.data.Dataset:
        paths, labels = self._tensors()
        batch_size, numbers = epochs.batch_size, epochs.numbers
        used = self.num_examples // batch_size * batch_size

        def one_epoch(epoch: Any) -> Any:
            order = seeds.shuffled(self.num_examples, epochs.seed, epoch)[:used]
            numbered = tf.data.Dataset.from_tensor_slices(order).enumerate()
            return numbered.map(lambda position, index: (index, epoch, position))

        def read(index: Any, epoch: Any, position: Any) -> Any:
            return tf.io.read_file(paths[index]), labels[index], epoch, position

        order = tf.data.Dataset.range(numbers.start, numbers.stop).flat_map(one_epoch)
        # Other hosts' files are not even read.
        return in_parallel(epochs.share.of_examples(order, batch_size), read)

    def _problem(self, number: int) -> str:
        path = self.paths[number]
        return decoding_problem(path) or f"{path} could not be read"

    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.device("CPU:0"):
            names = tf.constant([os.fsencode(path) for path in self.paths], tf.string)
            return names, tf.constant(self.labels, tf.int64)


def first_problem(
    paths: Sequence[Path], check: Callable[[Path], str | None]
) -> str | None:
    """The first of the texts that `check(path)` gives, in the order of the paths."""
    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        results: Iterator[str | None] = pool.map(check, paths)
        return next((problem for problem in results if problem), None)


def quick_problem(path: Path) -> str | None:
    """Says what is wrong with a file, or None, from its two ends if they are plain."""
    try:
        with path.open("rb") as file:
            start = file.read(END_BYTES)
            file.seek(max(path.stat().st_size - END_BYTES, 0))
            end = file.read()
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if not pictures.is_picture(start):
        kind = "neither a JPEG nor a PNG nor a WebP image" if start else "empty"
        return f"{path} is {kind}"
    # JPEG's and PNG's marks of an end; something else may follow them.
    whole = b"\xff\xd9" in end or b"IEND" in end
    return None if whole else decoding_problem(path)


def decoding_problem(path: Path) -> str | None:
    """Says why a file cannot be decoded, or None; see `decoding.check`."""
    try:
        content = path.read_bytes()
        if not pictures.is_picture(content):
            return quick_problem(path)
        with tf.device("CPU:0"):
            decoding.check(content)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    except (tf.errors.OpError, InputError):
        return f"{path} is broken or cut off"
    return None


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a sound picture once it is upright, from its header.

    Raises:
      InputError: it has more pixels than `predict` and the board take, or its header
        is broken.
    """
    content = path.read_bytes()
    try:
        with Image.open(io.BytesIO(content), formats=pictures.FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{path} has too many pixels ({error}): make it smaller or remove it."
        ) from error
    # Pillow has no kind of its own for every broken file.
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(
            f"{path} is broken or cut off: replace or remove it."
        ) from error
    turned = exif.orientation(content) > 4
    return (width, height) if turned else (height, width)
