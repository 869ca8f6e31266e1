"""Examples that stay encoded, in files or in tfds's records, until they are used."""

import abc
from typing import Any

from r2b_keras.data import decoding, seeds
from r2b_keras.data.config import Augmentation
from r2b_keras.data.examples import Examples, in_parallel
from r2b_keras.data.seeds import Epochs
from r2b_keras.environment import tf


class EncodedExamples(Examples):
    """What the two kinds have in common: decode, then batch.

    A kind says how its examples are read: in order, and shuffled.
    """

    @abc.abstractmethod
    def _read(self) -> tf.data.Dataset:
        """Every example once, in order: (encoded, label), scalars."""

    @abc.abstractmethod
    def _shuffled(self, epochs: Epochs) -> tf.data.Dataset:
        """This host's examples, in a new order each epoch.

        Returns:
          A dataset of (encoded, label, epoch, position in the epoch), scalars.
        """

    @abc.abstractmethod
    def _problem(self, number: int) -> str:
        """What is wrong with an example that cannot be decoded."""

    def train_batches(
        self, augmentation: Augmentation, epochs: Epochs
    ) -> tf.data.Dataset:
        """See `Examples`; crops are cut from the pictures as they are stored."""
        shape, framing = self.image_shape, self.framing

        def decode(encoded: Any, label: Any, epoch: Any, position: Any) -> Any:
            if augmentation.random_resized_crop:
                example_seed = seeds.derive(epochs.seed, epoch, seeds.EXAMPLE, position)
                image = decoding.decode_random_crop(
                    encoded, shape, framing, augmentation.crop_area, example_seed
                )
            else:
                image = decoding.decode_framed(encoded, shape, framing)
            return image, label, epoch, position

        def add_seed(images: Any, labels: Any, numbers: Any, positions: Any) -> Any:
            step = positions[0] // epochs.batch_size
            batch_seed = seeds.derive(epochs.seed, numbers[0], seeds.BATCH, step)
            return images, labels, epochs.share.seed(batch_seed)

        examples = self._shuffled(epochs)
        size = epochs.share.size(epochs.batch_size)
        return in_parallel(examples, decode).batch(size, True).map(add_seed)

    def ordered_batches(self, batch_size: int) -> tf.data.Dataset:
        """See `Examples`."""

        def decode(encoded: Any, label: Any) -> Any:
            image = decoding.decode_framed(encoded, self.image_shape, self.framing)
            return image, label

        return in_parallel(self._read(), decode).batch(batch_size)

    def find_broken_image(self) -> str | None:
        """Decodes every image; says what the first that fails is, or None."""

        def height(encoded: Any, label: Any) -> tf.Tensor:
            return tf.shape(decoding.decode(encoded, 3))[0]

        if not self.num_examples:  # TensorFlow Datasets reads no empty part
            return None
        number = 0
        try:
            for _ in in_parallel(self._read(), height):
                number += 1
        except tf.errors.OpError:
            return self._problem(number)
        return None
