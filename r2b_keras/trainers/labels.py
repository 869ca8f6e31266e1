"""Labels as class numbers or as probabilities, whichever way they come."""

from r2b_keras.environment import tf


def probabilities(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns labels as class probabilities `[B, K]`.

    Args:
      labels: class numbers `[B]` or `[B, 1]`, or probabilities `[B, K]`.
      logits: `[B, K]`, for the number of classes.
    """
    num_classes = logits.shape[-1]
    if labels.shape.rank == 2 and labels.shape[-1] == num_classes:
        return labels
    if labels.shape.rank == 2 and labels.shape[-1] is None:
        # Keras knows no sizes of what a Python generator gives.
        return tf.cond(
            tf.shape(labels)[-1] == 1,
            lambda: tf.one_hot(tf.cast(labels[:, 0], tf.int64), num_classes),
            lambda: tf.cast(labels, tf.float32),
        )
    return tf.one_hot(classes(labels), num_classes)


def classes(labels: tf.Tensor) -> tf.Tensor:
    """Returns labels as class numbers `[B]`; of probabilities, the most likely."""
    if labels.shape.rank == 1:
        return tf.cast(labels, tf.int64)
    if labels.shape[-1] == 1:
        return tf.cast(labels[:, 0], tf.int64)
    if labels.shape[-1] is None:
        return tf.cond(
            tf.shape(labels)[-1] == 1,
            lambda: tf.cast(labels[:, 0], tf.int64),
            lambda: tf.argmax(labels, axis=-1),
        )
    return tf.argmax(labels, axis=-1)
