"""What every part of a set of images can do, in memory or encoded."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from r2b_keras.data.config import Augmentation
from r2b_keras.data.shares import Share

if TYPE_CHECKING:
    import tensorflow as tf


class Examples(Protocol):
    """One part of a set; labels are class indices."""

    @property
    def num_examples(self) -> int:
        """Number of images."""

    @property
    def labels(self) -> np.ndarray | None:
        """Classes [N] int64, None where they are not known before they are read."""

    def content(self) -> Iterable[bytes | memoryview]:
        """What the fingerprint is taken over."""

    def split(self, size: int, kept: int = 0, held_out: int = 0) -> tuple[Any, Any]:
        """Holds out `size` examples, always the same ones; see `stratified_split`."""

    def train_batches(
        self,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        epochs: range,
        share: Share,
    ) -> "tf.data.Dataset":
        """Shuffled (images [B, H, W, C] uint8, labels [B], seed [2]) of a share."""

    def ordered_batches(self, batch_size: int) -> "tf.data.Dataset":
        """Every example once: (images [B, H, W, C] uint8, labels [B])."""

    def find_broken_image(self) -> str | None:
        """Names the first image that cannot be decoded."""
