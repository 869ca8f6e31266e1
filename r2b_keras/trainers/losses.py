"""Loss functions: pure, one value per example, in float32.

    cross_entropy        the labels
    attention_matching   Eq. 2: where the teacher looks
    logit_matching       what the teacher says, softened by a temperature

Where a sum of squares goes under a root it is kept at `EPSILON` or above, so that an
all-zero attention map, or two equal ones, has a finite value and gradient.
"""

from collections.abc import Sequence

from r2b_keras.checks import require, require_choice, require_positive
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.recipes.stage_parts import ATTENTION_FORMS

EPSILON = 1e-12


def cross_entropy(
    labels: tf.Tensor,
    logits: tf.Tensor,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> tf.Tensor:
    """Cross-entropy with the labels, -sum over classes of t log(softmax(z)).

    The target t is (1 - s) w y + s / K sum(w y): an image weighs as much as its class,
    and a share of that weight is spread evenly over all classes. Its gradient by the
    logits z is softmax(z) sum(t) - t.

    Args:
      labels: class probabilities `[B, K]`, one-hot or mixed: y.
      logits: `[B, K]`: z.
      class_weights: K factors: w; None for 1 each.
      label_smoothing: the share, from 0 to below 1: s.

    Returns:
      `[B]`, in nats.
    """
    labels = tf.cast(labels, tf.float32)
    if class_weights is not None:
        labels = labels * tf.constant(class_weights, tf.float32)
    if label_smoothing:
        even = tf.reduce_mean(labels, axis=-1, keepdims=True)
        labels = labels * (1 - label_smoothing) + even * label_smoothing
    log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    return -tf.reduce_sum(labels * log_probabilities, axis=-1)


def require_class_weights(
    name: str, weights: Sequence[float], num_classes: int, or_else: str = ""
) -> None:
    """Refuses the setting `name` unless it has a weight for each class.

    Args:
      name: the setting's.
      weights: what it has.
      num_classes: classes.
      or_else: what else it may be, for the message.
    """
    expected = f"{num_classes} numbers, one for each class{or_else}"
    require(len(weights) == num_classes, name, weights, expected)


def attention_map(features: tf.Tensor) -> tf.Tensor:
    """Spatial attention Q of Sec. 4.2: the sum over channels of squared activations.

    Args:
      features: `[B, H, W, C]`.

    Returns:
      `[B, H*W]`, not negative.
    """
    squared = tf.square(tf.cast(features, tf.float32))
    shape = tf.shape(squared)
    return tf.reshape(tf.reduce_sum(squared, axis=-1), [shape[0], shape[1] * shape[2]])


def normalised_attention_map(features: tf.Tensor) -> tf.Tensor:
    """Q / ||Q||_2 of Eq. 2, as a map.

    Args:
      features: `[B, H, W, C]`.

    Returns:
      `[B, H, W]`, of L2 norm 1 (0 where all activations are 0).
    """
    return tf.reshape(_by_norm(attention_map(features)), tf.shape(features)[:3])


def attention_matching(
    student_features: Sequence[tf.Tensor],
    teacher_features: Sequence[tf.Tensor],
    form: str = "norm",
) -> tf.Tensor:
    """Distance between the attention maps of two networks (Sec. 4.2, Eq. 2).

    A tap is a layer whose map is matched, j in Eq. 2. "norm" is Eq. 2 as printed: sum
    over taps of ||Q_S/||Q_S|| - Q_T/||Q_T|| ||, both norms L2, the outer one not
    squared.

    Deviation: "squared_mean" is the form of the authors' later code (the squared
    difference, averaged over positions, summed over taps); "max_normalised" is
    larq-zoo's (maps divided by their maximum, squared difference averaged over
    positions and taps).

    Args:
      student_features: feature maps `[B, H, W, C]`, one for each tap.
      teacher_features: as many; H and W as the student's, C may differ.
      form: "norm", "squared_mean" or "max_normalised".

    Returns:
      `[B]`.

    Raises:
      InputError: an unknown form, lists of different length, or no taps at all.
    """
    require_choice("The form of attention matching", form, ATTENTION_FORMS)
    if not student_features or len(student_features) != len(teacher_features):
        raise InputError(
            f"Attention matching got {len(student_features)} feature maps of the "
            f"student and {len(teacher_features)} of the teacher, expected equally "
            "many and at least one: name the same taps for both."
        )
    normalise = _by_maximum if form == "max_normalised" else _by_norm
    distance = _norm if form == "norm" else _mean_square
    distances = []
    for student, teacher in zip(student_features, teacher_features, strict=True):
        q_student = normalise(attention_map(student))
        q_teacher = normalise(attention_map(tf.stop_gradient(teacher)))
        distances.append(distance(q_student - q_teacher))
    total = tf.add_n(distances)
    return total / len(distances) if form == "max_normalised" else total


def _by_norm(q: tf.Tensor) -> tf.Tensor:
    squares = tf.reduce_sum(tf.square(q), axis=-1, keepdims=True)
    return q * tf.math.rsqrt(tf.maximum(squares, EPSILON))


def _by_maximum(q: tf.Tensor) -> tf.Tensor:
    return q / tf.maximum(tf.reduce_max(q, axis=-1, keepdims=True), EPSILON)


def _norm(difference: tf.Tensor) -> tf.Tensor:
    squares = tf.reduce_sum(tf.square(difference), axis=-1)
    return tf.sqrt(tf.maximum(squares, EPSILON))


def _mean_square(difference: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(tf.square(difference), axis=-1)


def logit_matching(
    student_logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0
) -> tf.Tensor:
    """Distillation loss of Hinton et al. (2015), as Sec. 4.2 uses it.

    T^2 * KL(softmax(teacher / T) || softmax(student / T)), in log-space. Hinton's
    cross-entropy is larger by T^2 times the entropy of the softened teacher, which the
    student does not change: both have the same gradient.

    Args:
      student_logits: `[B, K]`.
      teacher_logits: `[B, K]`; no gradient flows into it.
      temperature: T, positive; the paper prints none.

    Returns:
      `[B]`, in nats times T^2.

    Raises:
      InputError: a temperature that is not positive.
    """
    require_positive("The temperature", temperature)
    teacher = tf.stop_gradient(tf.cast(teacher_logits, tf.float32)) / temperature
    student = tf.cast(student_logits, tf.float32) / temperature
    log_teacher = tf.nn.log_softmax(teacher)
    difference = log_teacher - tf.nn.log_softmax(student)
    divergence = tf.reduce_sum(tf.exp(log_teacher) * difference, axis=-1)
    return temperature**2 * divergence
