"""How several hosts share each batch: every one reads and decodes its own images."""

from dataclasses import dataclass
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError


@dataclass(frozen=True)
class Share:
    """One of equally many consecutive images of each batch.

    Attributes:
      index: which, counted from 0.
      count: how many hosts share a batch.
    """

    index: int = 0
    count: int = 1

    def require_equal(self, batch_size: int) -> None:
        """Raises `InputError` where a batch cannot be shared equally."""
        if batch_size % self.count:
            raise InputError(
                f"batch_size is {batch_size}, expected a multiple of the {self.count} "
                "hosts that share each batch."
            )

    def size(self, batch_size: int) -> int:
        """Images of a batch that are this host's; see `require_equal`."""
        self.require_equal(batch_size)
        return batch_size // self.count

    def of_batch(self, rows: tf.Tensor) -> tf.Tensor:
        """Those rows of a batch `[B, ...]` that are this host's, `[B / count, ...]`."""
        size = self.size(rows.shape[0])
        return rows[self.index * size : (self.index + 1) * size]

    def of_examples(
        self, examples: tf.data.Dataset, batch_size: int
    ) -> tf.data.Dataset:
        """Those examples that are this host's.

        Args:
          examples: tuples that end in the example's position in its epoch.
          batch_size: images of a batch, over all hosts.
        """
        if self.count == 1:
            return examples
        size = self.size(batch_size)

        def is_own(*example: Any) -> tf.Tensor:
            return example[-1] % batch_size // size == self.index

        return examples.filter(is_own)

    def seed(self, batch_seed: tf.Tensor) -> tf.Tensor:
        """A seed `[2]` for this host's images, the batch's own where it has all."""
        if self.count == 1:
            return batch_seed
        return tf.random.experimental.stateless_fold_in(
            batch_seed, tf.constant(self.index, tf.int64)
        )


# Of a batch that one host reads alone.
WHOLE = Share()
