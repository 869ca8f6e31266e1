"""One part of a set of images: what the data set needs of it, in memory or encoded."""

import abc
from collections.abc import Iterable
from typing import Any

import numpy as np

from r2b_keras.data.config import Augmentation
from r2b_keras.data.seeds import Epochs
from r2b_keras.data.splits import stratified_split
from r2b_keras.environment import tf


def in_parallel(dataset: tf.data.Dataset, function: Any) -> tf.data.Dataset:
    """What a function gives for each element, in order, on all cores."""
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE)


class Examples(abc.ABC):
    """Images and their classes.

    Attributes:
      labels: classes `[N]` int64, 0 to num_classes - 1; None where they are not known
        before they are read.
      image_shape: (height, width, channels) at the network's input.
      framing: "whole" or "center"; see `pictures.frame`.
    """

    labels: Any
    image_shape: tuple[int, int, int]
    framing: str

    @property
    def num_examples(self) -> int:
        """Number of images."""
        return len(self.labels)

    @abc.abstractmethod
    def content(self) -> Iterable[bytes | memoryview]:
        """What the fingerprint is taken over."""

    def take(self, indices: np.ndarray) -> Any:
        """The examples at these indices, where the kind splits by class."""
        raise NotImplementedError

    def split(self, size: int, kept: int = 0, held_out: int = 0) -> tuple[Any, Any]:
        """Holds out `size` examples, always the same ones; see `stratified_split`."""
        first, second = stratified_split(self.labels, size, kept, held_out)
        return self.take(first), self.take(second)

    def sample(self, size: int) -> Any:
        """Some examples, always the same ones, for what any will do for."""
        return self.split(size)[1]

    @abc.abstractmethod
    def train_batches(
        self, augmentation: Augmentation, epochs: Epochs
    ) -> tf.data.Dataset:
        """Shuffled batches of a share, a whole number per epoch.

        Of the augmentation only the random resized crop is done here.

        Returns:
          A dataset of (images `[B, H, W, C]` uint8, labels `[B]` int64, seed `[2]`
          int64).
        """

    @abc.abstractmethod
    def ordered_batches(self, batch_size: int) -> tf.data.Dataset:
        """Every example once: (images `[B, H, W, C]` uint8, labels `[B]` int64)."""

    def find_broken_image(self) -> str | None:
        """Names the first image that cannot be decoded; None where all can be."""
        return None
