"""Examples that lie in memory as one array of images."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras.data import seeds
from r2b_keras.data.augmentation import crop_and_resize
from r2b_keras.data.splits import stratified_split
from r2b_keras.environment import tf

if TYPE_CHECKING:
    import tensorflow as tf

    from r2b_keras.data.config import Augmentation


@dataclass(frozen=True, eq=False)
class ArrayExamples:
    """Images and labels in memory.

    Attributes:
      images: [N, H, W, C] uint8.
      labels: [N] int64, 0 to num_classes - 1.
    """

    images: np.ndarray
    labels: np.ndarray

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.labels)

    def content(self) -> Iterable[bytes]:
        """What the fingerprint is taken over: shape, images and labels."""
        yield repr(self.images.shape).encode()
        yield np.ascontiguousarray(self.images).tobytes()
        yield self.labels.astype("<i8").tobytes()

    def split(self, size: int) -> tuple["ArrayExamples", "ArrayExamples"]:
        """Holds out `size` examples, of each class its share, always the same ones."""
        kept, held_out = stratified_split(self.labels, size)
        return self.take(kept), self.take(held_out)

    def take(self, indices: np.ndarray) -> "ArrayExamples":
        """The examples at these indices."""
        return ArrayExamples(self.images[indices], self.labels[indices])

    def train_batches(
        self,
        batch_size: int,
        augmentation: "Augmentation",
        seed: int,
        epochs: range,
    ) -> "tf.data.Dataset":
        """Shuffled batches, a whole number per epoch.

        Of the augmentation only the random resized crop is done here; it cuts from
        images that have the network's size already.

        Returns:
          A dataset of (images [B, H, W, C] uint8, labels [B] int64, seed [2] int64).
        """
        images, labels = self._tensors()

        def read(indices: Any, batch_seed: Any) -> tuple[Any, Any, Any]:
            batch = tf.gather(images, indices)
            if augmentation.random_resized_crop:
                crop_seed, batch_seed = seeds.split(batch_seed, 2)
                batch = crop_and_resize(batch, crop_seed)
                # Whole levels, as encoded images have them after their crop.
                batch = tf.cast(tf.round(batch), tf.uint8)
            return batch, tf.gather(labels, indices), batch_seed

        order = seeds.shuffled_batches(self.num_examples, batch_size, seed, epochs)
        return order.map(read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)

    def ordered_batches(self, batch_size: int) -> "tf.data.Dataset":
        """Every example once, in order: (images [B, H, W, C] uint8, labels [B])."""
        images, labels = self._tensors()
        starts = tf.data.Dataset.range(0, self.num_examples, batch_size)
        return starts.map(
            lambda start: (
                images[start : start + batch_size],
                labels[start : start + batch_size],
            ),
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )

    def find_broken_image(self) -> str | None:
        """None: these images are decoded already."""
        return None

    def _tensors(self) -> "tuple[tf.Tensor, tf.Tensor]":
        with tf.device("CPU:0"):
            return tf.constant(self.images), tf.constant(self.labels, tf.int64)
