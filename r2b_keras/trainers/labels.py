"""Labels as class numbers or as probabilities, whichever way they come."""

from r2b_keras.environment import tf

# Of a row's sum; a smoothed label of 1000 classes in bfloat16 is off by 0.4 %.
_ROUNDING = 0.01


def probabilities(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns labels as class probabilities `[B, K]`.

    Args:
      labels: class numbers `[B]` or `[B, 1]`, or probabilities `[B, K]`.
      logits: `[B, K]`, for the number of classes.

    Raises:
      ValueError: labels of another shape.
      InvalidArgumentError: a class number that is not one of 0 to K - 1, or a row
        that is no distribution, where the step runs. XLA knows no errors: there the
        row is NaN.
    """
    num_classes = logits.shape[-1]
    if labels.shape.rank is None:
        # A step that has had labels of both ranks is traced for any.
        size = tf.shape(labels)
        check = tf.debugging.Assert(
            tf.rank(labels) <= 2,
            ["Labels have one or two dimensions, found the shape", size],
        )
        with tf.control_dependencies([check]):
            labels = tf.reshape(labels, [size[0], -1])
    if labels.shape.rank == 1:
        return _one_hot(labels, num_classes)
    width = labels.shape[-1] if labels.shape.rank == 2 else 0
    if width not in (1, num_classes, None):
        # A plain one: of others, a function that is being traced keeps no type.
        raise ValueError(
            f"Labels have the shape {tuple(labels.shape)}, expected class numbers [B] "
            f"or [B, 1], or probabilities [B, {num_classes}], one for each class of "
            "the network."
        )
    if width == num_classes:
        return _distributions(labels)
    if width == 1:
        return _one_hot(labels[:, 0], num_classes)
    # Keras knows no sizes of what a Python generator gives.
    return tf.cond(
        tf.shape(labels)[-1] == 1,
        lambda: _one_hot(labels[:, 0], num_classes),
        lambda: tf.ensure_shape(
            _distributions(tf.cast(labels, tf.float32)), [None, num_classes]
        ),
    )


def _one_hot(numbers: tf.Tensor, num_classes: int) -> tf.Tensor:
    """One-hot rows `[B, K]` of class numbers `[B]`, NaN where there is no such class.

    By itself `tf.one_hot` makes zeros of them, whose cross-entropy is 0.
    """
    whole = tf.cast(numbers, tf.int64)
    known = (whole >= 0) & (whole < num_classes)
    known &= tf.cast(whole, numbers.dtype) == numbers
    wrong = tf.boolean_mask(numbers, ~known)
    message = f"Labels are class numbers from 0 to {num_classes - 1}, found"
    check = tf.debugging.Assert(tf.reduce_all(known), [message, wrong[:5]])
    with tf.control_dependencies([check] if check is not None else []):
        rows = tf.one_hot(whole, num_classes)
    return tf.where(known[:, None], rows, float("nan"))


def _distributions(rows: tf.Tensor) -> tf.Tensor:
    """Rows `[B, K]` of probabilities as they are, NaN where they are none.

    Rows of zeros, as `tf.one_hot` makes of class numbers from 1, have a cross-entropy
    of 0 whatever the network says.
    """
    rows = rows if rows.dtype.is_floating else tf.cast(rows, tf.float32)
    sums = tf.reduce_sum(tf.cast(rows, tf.float32), axis=-1)
    known = (tf.abs(sums - 1.0) <= _ROUNDING) & tf.reduce_all(rows >= 0, axis=-1)
    message = "Labels are probabilities of 0 or more that sum to 1, found rows"
    check = tf.debugging.Assert(
        tf.reduce_all(known), [message, tf.boolean_mask(rows, ~known)[:5]]
    )
    with tf.control_dependencies([check] if check is not None else []):
        rows = tf.identity(rows)
    return tf.where(known[:, None], rows, tf.cast(float("nan"), rows.dtype))


def is_correct(probabilities: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Returns `[B]`, 1 where the most likely class is found, NaN for labels of NaN."""
    same = tf.argmax(probabilities, -1) == tf.argmax(logits, -1)
    unknown = tf.math.is_nan(probabilities[:, 0])
    return tf.where(unknown, float("nan"), tf.cast(same, tf.float32))
