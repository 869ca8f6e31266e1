"""Orders and seeds: every random draw follows from (seed, epoch, position) alone.

An epoch is therefore the same whether the training was interrupted before it or not.
"""

from dataclasses import dataclass

from r2b_keras.data.shares import WHOLE, Share
from r2b_keras.environment import tf

# What a seed is for, so that no two draws share one.
ORDER, BATCH, EXAMPLE, CHUNK = range(4)


@dataclass(frozen=True)
class Epochs:
    """Epochs of whole batches, as one host reads them.

    Attributes:
      numbers: which, counted from 0.
      batch_size: images of a batch, over all hosts.
      seed: of the whole training.
      share: the images of each batch that are wanted.
    """

    numbers: range
    batch_size: int
    seed: int
    share: Share = WHOLE


def derive(
    seed: int,
    epoch: tf.Tensor | int,
    purpose: int,
    position: tf.Tensor | int = 0,
) -> tf.Tensor:
    """The seed [2] int64 of one thing in an epoch.

    Args:
      seed: of the whole training.
      epoch: counted from 0.
      purpose: ORDER, BATCH, EXAMPLE or CHUNK.
      position: number of the batch, example or chunk in its epoch.
    """
    fold_in = tf.random.experimental.stateless_fold_in
    mixed = tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])
    mixed = fold_in(mixed, tf.constant(purpose, tf.int64))
    return tf.ensure_shape(fold_in(mixed, tf.cast(position, tf.int64)), [2])


def split(seed: tf.Tensor, num: int) -> list[tf.Tensor]:
    """`num` independent seeds [2] from one."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, num), num=num)


def shuffled(num_examples: int, seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """The order [N] int64 of the examples in an epoch."""
    return tf.random.experimental.stateless_shuffle(
        tf.range(num_examples, dtype=tf.int64), derive(seed, epoch, ORDER)
    )


def shuffled_batches(num_examples: int, epochs: Epochs) -> tf.data.Dataset:
    """Batches of indices in a new order each epoch; the rest of an epoch is dropped.

    Returns:
      A dataset of (indices [B] int64, seed of the batch [2] int64).
    """
    steps = num_examples // epochs.batch_size

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = shuffled(num_examples, epochs.seed, epoch)
        order = order[: steps * epochs.batch_size]
        batches = tf.reshape(order, [steps, epochs.batch_size])
        numbered = tf.data.Dataset.from_tensor_slices(batches).enumerate()
        return numbered.map(
            lambda step, indices: (indices, derive(epochs.seed, epoch, BATCH, step))
        )

    numbers = epochs.numbers
    return tf.data.Dataset.range(numbers.start, numbers.stop).flat_map(one_epoch)
