"""Examples that lie in memory as one array of images."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from r2b_keras.data import decoding, seeds
from r2b_keras.data.augmentation import crop_and_resize
from r2b_keras.data.config import Augmentation
from r2b_keras.data.examples import Examples, in_parallel
from r2b_keras.data.seeds import Epochs
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Sets that could stay encoded are held in memory up to this.
MEMORY_BYTES = 2**30


def fit_in_memory(num_images: int, image_shape: tuple[int, ...]) -> bool:
    """Whether so many images are held in memory rather than encoded."""
    return num_images * int(np.prod(image_shape)) <= MEMORY_BYTES


@dataclasses.dataclass(frozen=True, eq=False)
class ArrayExamples(Examples):
    """Images and labels in memory.

    The images keep the size they came in, and become the network's when they are used:
    memory is bounded by the set, whatever the network's size. Parts of a set share the
    array of its images.

    Attributes:
      images: `[M, h, w, c]` uint8, c being 1 or 3.
      labels: see `Examples`.
      image_shape: see `Examples`.
      framing: see `Examples`.
      rows: `[N]` int64, which of the images these are; None for all of them.
    """

    images: np.ndarray
    labels: np.ndarray
    image_shape: tuple[int, int, int]
    framing: str = "whole"
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Refuses arrays, of a source of one's own, that are no images or labels.

        Raises:
          InputError: a kind or a shape is another.
        """
        images, labels = self.images, self.labels
        if (
            images.dtype != np.uint8
            or images.ndim != 4
            or images.shape[3] not in (1, 3)
        ):
            raise InputError(
                f"The images of a source are {images.dtype} of shape {images.shape}, "
                "expected uint8 [number, height, width, 1 or 3]."
            )
        count = len(images) if self.rows is None else len(self.rows)
        if labels.dtype != np.int64 or labels.shape != (count,):
            raise InputError(
                f"The labels of a source are {labels.dtype} of shape {labels.shape}, "
                f"expected int64 [{count}], one for each image."
            )

    def content(self) -> Iterable[bytes | memoryview]:
        """What the fingerprint is taken over: shape, images and labels."""
        yield repr((self.num_examples, *self.images.shape[1:])).encode()
        if self.rows is None:
            yield np.ascontiguousarray(self.images).reshape(-1).data
        else:
            yield from (self.images[row].tobytes() for row in self.rows)
        yield self.labels.astype("<i8").tobytes()

    def take(self, indices: np.ndarray) -> "ArrayExamples":
        """The examples at these indices."""
        rows = indices if self.rows is None else self.rows[indices]
        return dataclasses.replace(self, labels=self.labels[indices], rows=rows)

    def train_batches(
        self, augmentation: Augmentation, epochs: Epochs
    ) -> tf.data.Dataset:
        """See `Examples`; crops are cut from images of the network's size already."""
        height, width, _ = self.image_shape
        aspect = 1.0
        if self.framing == "center":
            aspect = width * self.images.shape[1] / (height * self.images.shape[2])

        def read(indices: Any, batch_seed: Any) -> tuple[Any, Any, Any]:
            batch, labels = self._gather(epochs.share.of_batch(indices))
            batch_seed = epochs.share.seed(batch_seed)
            if not augmentation.random_resized_crop:
                batch = decoding.frame(batch, self.image_shape, self.framing)
                return batch, labels, batch_seed
            crop_seed, batch_seed = seeds.split(batch_seed, 2)
            batch = decoding.frame(batch, self.image_shape, "whole")
            batch = crop_and_resize(batch, aspect, augmentation.crop_area, crop_seed)
            # Whole levels, as encoded images have them after their crop.
            batch = tf.cast(tf.round(batch), tf.uint8)
            return batch, labels, batch_seed

        order = seeds.shuffled_batches(self.num_examples, epochs)
        return in_parallel(order, read)

    def ordered_batches(self, batch_size: int) -> tf.data.Dataset:
        """See `Examples`."""

        def read(indices: Any) -> tuple[Any, Any]:
            batch, labels = self._gather(indices)
            return decoding.frame(batch, self.image_shape, self.framing), labels

        return in_parallel(
            tf.data.Dataset.range(self.num_examples).batch(batch_size), read
        )

    def _gather(self, indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Images [B, h, w, c] uint8 and labels [B] of some examples.

        In NumPy: TensorFlow would keep copies of the whole array.
        """

        def gather(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = chosen if self.rows is None else self.rows[chosen]
            return self.images[rows], self.labels[chosen]

        images, labels = tf.numpy_function(
            gather, [indices], [tf.uint8, tf.int64], stateful=False
        )
        return (
            tf.ensure_shape(images, [*indices.shape, *self.images.shape[1:]]),
            tf.ensure_shape(labels, indices.shape),
        )
