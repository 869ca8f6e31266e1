"""Orders and seeds: every random draw follows from (seed, epoch, position) alone.

An epoch is therefore the same whether the training was interrupted before it or not.
"""

from typing import TYPE_CHECKING

from r2b_keras.environment import tf

if TYPE_CHECKING:
    import tensorflow as tf


def shuffled_batches(
    num_examples: int, batch_size: int, seed: int, epochs: range
) -> "tf.data.Dataset":
    """Batches of indices in a new order each epoch; the rest of an epoch is dropped.

    Returns:
      A dataset of (indices [B] int64, seed of the batch [2] int64).
    """
    steps = num_examples // batch_size

    def one_epoch(epoch: "tf.Tensor") -> "tf.data.Dataset":
        order = tf.random.experimental.stateless_shuffle(
            tf.range(num_examples, dtype=tf.int64), epoch_seed(seed, epoch)
        )
        batches = tf.reshape(order[: steps * batch_size], [steps, batch_size])
        numbered = tf.data.Dataset.from_tensor_slices(batches).enumerate()
        return numbered.map(lambda step, indices: (indices, fold(seed, epoch, step)))

    return tf.data.Dataset.range(epochs.start, epochs.stop).flat_map(one_epoch)


def epoch_seed(seed: int, epoch: "tf.Tensor | int") -> "tf.Tensor":
    """The seed [2] of an epoch's order."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])


def fold(
    seed: int, epoch: "tf.Tensor | int", position: "tf.Tensor | int"
) -> "tf.Tensor":
    """The seed [2] of one batch or example of an epoch."""
    mixed = tf.random.experimental.stateless_fold_in(
        epoch_seed(seed, epoch), tf.cast(position, tf.int64)
    )
    return tf.ensure_shape(mixed, [2])


def split(seed: "tf.Tensor", num: int) -> "list[tf.Tensor]":
    """`num` independent seeds [2] from one."""
    return tf.unstack(tf.random.experimental.stateless_split(seed, num), num=num)
