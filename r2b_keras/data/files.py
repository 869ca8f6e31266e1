"""Examples that lie in JPEG and PNG files and are decoded when they are needed."""

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras.data import encoded, seeds
from r2b_keras.data.splits import stratified_split
from r2b_keras.environment import tf

if TYPE_CHECKING:
    import tensorflow as tf

    from r2b_keras.data.config import Augmentation

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, eq=False)
class FileExamples:
    """Files of images and their labels.

    Attributes:
      folder: the folder that the fingerprint's names are relative to.
      paths: N files.
      labels: [N] int64, 0 to num_classes - 1.
      image_shape: (height, width, channels) of the decoded images.
    """

    folder: Path
    paths: tuple[Path, ...]
    labels: np.ndarray
    image_shape: tuple[int, int, int]

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.paths)

    def content(self) -> Iterable[bytes]:
        """What the fingerprint is taken over: relative paths, sizes and labels."""
        for path, label in zip(self.paths, self.labels, strict=True):
            relative = path.relative_to(self.folder).as_posix()
            yield os.fsencode(f"{relative} {path.stat().st_size} {label}\n")

    def split(self, size: int) -> tuple["FileExamples", "FileExamples"]:
        """Holds out `size` examples, of each class its share, always the same ones."""
        kept, held_out = stratified_split(self.labels, size)
        return self.take(kept), self.take(held_out)

    def take(self, indices: np.ndarray) -> "FileExamples":
        """The examples at these indices."""
        paths = tuple(self.paths[index] for index in indices)
        return FileExamples(self.folder, paths, self.labels[indices], self.image_shape)

    def train_batches(
        self,
        batch_size: int,
        augmentation: "Augmentation",
        seed: int,
        epochs: range,
    ) -> "tf.data.Dataset":
        """Shuffled batches, a whole number per epoch; see `encoded.train_batches`."""
        paths, labels = self._tensors()
        used = self.num_examples // batch_size * batch_size

        def one_epoch(epoch: Any) -> Any:
            order = seeds.shuffled(self.num_examples, seed, epoch)[:used]
            numbered = tf.data.Dataset.from_tensor_slices(order).enumerate()
            return numbered.map(lambda position, index: (index, epoch, position))

        def read(index: Any, epoch: Any, position: Any) -> Any:
            content = tf.io.read_file(paths[index])
            return content, labels[index], epoch, position

        order = tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)
        examples = order.map(
            read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        return encoded.train_batches(
            examples, self.image_shape, batch_size, augmentation, seed
        )

    def ordered_batches(self, batch_size: int) -> "tf.data.Dataset":
        """Every example once, in order; see `encoded.ordered_batches`."""
        examples = tf.data.Dataset.from_tensor_slices(self._tensors()).map(
            lambda path, label: (tf.io.read_file(path), label),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        return encoded.ordered_batches(examples, self.image_shape, batch_size)

    def find_broken_image(self) -> str | None:
        """Decodes every file; the first that fails, with the reason, or None."""
        check = functools.partial(decoding_problem, channels=self.image_shape[2])
        return first_problem(self.paths, check)

    def _tensors(self) -> "tuple[tf.Tensor, tf.Tensor]":
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


def header_problem(path: Path) -> str | None:
    """Says what is wrong with the first bytes of a file, or None."""
    try:
        with path.open("rb") as file:
            start = file.read(len(PNG_START))
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    if start.startswith((JPEG_START, PNG_START)):
        return None
    return f"{path} is {'neither a JPEG nor a PNG image' if start else 'empty'}"


def decoding_problem(path: Path, channels: int) -> str | None:
    """Says why a file cannot be decoded, or None; decodes at an eighth of the size.

    Args:
      path: the file.
      channels: 1 for grey, 3 for RGB; not every JPEG can be made grey.
    """
    problem = header_problem(path)
    if problem:
        return problem
    try:
        with tf.device("CPU:0"):
            content = path.read_bytes()
            if content.startswith(JPEG_START):
                tf.io.decode_jpeg(content, channels=channels, ratio=8)
            else:
                tf.io.decode_png(content, channels=channels)
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    except tf.errors.OpError:
        kind = "a grey" if channels == 1 else "an RGB"
        return f"{path} is broken or cut off, or cannot be made {kind} image"
    return None


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of a sound JPEG or PNG file, from its header."""
    content = path.read_bytes()
    if content.startswith(PNG_START):
        width, height = np.frombuffer(content, ">u4", count=2, offset=16)
    else:
        with tf.device("CPU:0"):
            height, width, _ = tf.image.extract_jpeg_shape(content).numpy()
    return int(height), int(width)
