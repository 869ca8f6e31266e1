"""The distiller: a Keras model that trains a student under an optional teacher."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from r2b_keras.checks import (
    is_number,
    require,
    require_choice,
    require_fraction_below_1,
    require_positive,
    require_range,
)
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import keras_2
from r2b_keras.recipes.stage_parts import ATTENTION_FORMS
from r2b_keras.trainers import losses
from r2b_keras.trainers.labels import is_correct, probabilities
from r2b_keras.trainers.logits import require_logits
from r2b_keras.trainers.taps import (
    LOGITS,
    Outputs,
    check_fit,
    forward,
    pair_taps,
)


class Distiller(tf.keras.Model):
    """Trains a student with labels and, if there is one, a teacher (Sec. 4.2).

    The loss is `cross_entropy_weight` times the cross-entropy with the labels, plus
    `attention_weight` times Eq. 2 over the taps, plus `logit_weight` times the
    distillation loss, plus L2 decay and the student's own regularisation losses. Each
    part but the last is logged under its own name, before its weight multiplies it: the
    parts do not add up to the loss unless all weights are 1.

    One forward pass of the student and one of the teacher (in inference mode) a step.
    Only the student is differentiated, saved and listed among the variables.

    Use it as any Keras model: `compile(optimizer)`, then `fit`, `evaluate` and
    `predict`. Targets are class numbers `[B]` or probabilities `[B, K]`.

    Args:
      student: functional or sequential Keras model from images to logits.
      teacher: the same, already trained; None trains with labels only.
      taps: names of the student's layers whose attention maps are matched.
      teacher_taps: names in the teacher, the student's when None.
      cross_entropy_weight: weight of the labels.
      label_smoothing: share of the labels that is spread over all classes.
      class_weights: factor of the labels' cross-entropy for each class, None for 1.
      attention_weight: weight of Eq. 2.
      logit_weight: weight of the distillation loss.
      temperature: T of the distillation loss.
      attention_form: see `losses.attention_matching`.
      l2: L2 decay added to the loss, `l2 / 2 * sum(w^2)` over `l2_variables`, whose
        gradient is `l2 * w` (the coupled weight decay of Sec. 4.1's Adam).
      l2_variables: what L2 decay acts on.
      l2_factors: factor of `l2` for each of them, 1 where None.
      student_logits: name of the layer that gives the student's logits, where its
        output is something else (a softmax, say).
      teacher_logits: the same for the teacher.
      preprocess: what makes of a batch of images the one that both networks see, on the
        device where they run; None where the images come so.

    Attributes:
      tap_pairs: layers whose attention is matched, the student's and the teacher's.

    Raises:
      InputError: taps that are missing or do not fit, a teacher's loss without a
        teacher, a teacher or taps without their loss, a negative weight, no loss at
        all, an unknown form or temperature, an output that is no logits, L2 of no
        variables or with other factors than these have, or a student with
        `add_loss(tensor)`.
    """

    def __init__(
        self,
        student: tf.keras.Model,
        teacher: tf.keras.Model | None = None,
        taps: Sequence[str] = (),
        teacher_taps: Sequence[str] | None = None,
        *,
        cross_entropy_weight: float = 1.0,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        attention_weight: float = 0.0,
        logit_weight: float = 0.0,
        temperature: float = 1.0,
        attention_form: str = "norm",
        l2: float = 0.0,
        l2_variables: Sequence[tf.Variable] = (),
        l2_factors: Sequence[float] | None = None,
        student_logits: str | None = None,
        teacher_logits: str | None = None,
        preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Checks that student and teacher fit, and joins their taps."""
        super().__init__(**kwargs)
        keras_2.check(student, "student")
        _refuse_symbolic_losses(student)
        if teacher is not None:
            keras_2.check(teacher, "teacher")
        self.student = student
        for name, weight in (
            ("cross_entropy_weight", cross_entropy_weight),
            ("attention_weight", attention_weight),
            ("logit_weight", logit_weight),
            ("l2", l2),
        ):
            require_range(name, weight, 0)
        self._part_weights = {
            "cross_entropy": cross_entropy_weight,
            "attention": attention_weight,
            "logit_matching": logit_weight,
            "l2": l2,
        }
        if not (self._active_parts() or student.losses):
            raise InputError(
                "All weights of losses are 0, expected at least one above 0: there is "
                "nothing to train with."
            )
        require_choice("attention_form", attention_form, ATTENTION_FORMS)
        require_positive("temperature", temperature)
        require_fraction_below_1("label_smoothing", label_smoothing)
        self._label_smoothing = label_smoothing
        self._class_weights = _ordered(class_weights)
        self._check_teacher(teacher, taps)
        self._temperature, self._attention_form = temperature, attention_form
        # Tuples and closures: Keras would track layers and variables, and the teacher
        # would be saved and counted with the student.
        self.tap_pairs = pair_taps(taps, teacher_taps or taps)
        factors = [1.0] * len(l2_variables) if l2_factors is None else list(l2_factors)
        if l2 and not l2_variables or len(factors) != len(l2_variables):
            raise InputError(
                f"l2 is {l2}, with {len(l2_variables)} l2_variables and {len(factors)} "
                "l2_factors, expected some of the first and a factor for each."
            )
        decaying = list(zip(l2_variables, factors, strict=True))
        self._l2_terms = lambda: decaying
        self._preprocess = preprocess or (lambda images: images)
        self._join(teacher, student_logits, teacher_logits)
        self._check_class_weights()
        self._trackers = {
            name: tf.keras.metrics.Mean(name=name)
            for name in ("loss", "accuracy", *self._active_parts())
        }
        # All variables are there: `summary` and `load_weights` need no first step.
        self.built = True

    def _join(
        self,
        teacher: tf.keras.Model | None,
        student_logits: str | None,
        teacher_logits: str | None,
    ) -> None:
        """Makes both forward passes, to taps and logits that fit."""
        active, pairs = set(self._active_parts()), self.tap_pairs
        own, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        self._student_outputs = forward(self.student, own, student_logits)
        self._teacher_outputs = None
        if teacher is not None and active & {"attention", "logit_matching"}:
            self._teacher_outputs = forward(teacher, others, teacher_logits)
            check_fit(self._student_outputs, self._teacher_outputs, pairs)
        if active & {"cross_entropy", "logit_matching"}:
            require_logits(self.student, "student", student_logits)
        if teacher is not None and "logit_matching" in active:
            require_logits(teacher, "teacher", teacher_logits)

    def compile(self, optimizer: Any = "adam", **options: Any) -> None:
        """Sets the optimizer; losses and metrics are the distiller's own.

        Args:
          optimizer: a Keras optimizer or its name.
          **options: as `keras.Model.compile`, but for losses and metrics.

        Raises:
          InputError: a loss or a metric, which would not be used.
        """
        unused = {"loss", "loss_weights", "metrics", "weighted_metrics"} & set(options)
        if unused:
            raise InputError(
                f"Distiller.compile got {', '.join(sorted(unused))}, expected none: "
                "the loss parts and their weights are arguments of Distiller itself."
            )
        super().compile(optimizer, **options)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the student's output for images `[B, H, W, C]`."""
        return self.student(self._preprocess(inputs), training=training)

    @property
    def metrics(self) -> list[tf.keras.metrics.Metric]:
        """Means over the epoch: the loss, each of its parts, the accuracy.

        And what the student's layers measure themselves, larq's `flip_ratio` for
        example.
        """
        own = list(self._trackers.values())
        return own + [m for m in super().metrics if all(m is not one for one in own)]

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch; returns the running means."""
        images, labels, sample_weight = tf.keras.utils.unpack_x_y_sample_weight(data)
        images = self._preprocess(images)
        taught = self._teach(images)
        with tf.GradientTape() as tape:
            outputs = self._student_outputs(images, training=True)
            targets = probabilities(labels, outputs[LOGITS])
            parts = self._parts(targets, outputs, taught, sample_weight)
            loss = self._total(parts)
            # Gradients are summed over replicas, and each replica has its own mean.
            scaled = loss / tf.distribute.get_strategy().num_replicas_in_sync
        self.optimizer.minimize(scaled, self.student.trainable_variables, tape=tape)
        return self._track(loss, parts, targets, outputs[LOGITS], sample_weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The same losses in inference mode; nothing is changed but the means."""
        images, labels, sample_weight = tf.keras.utils.unpack_x_y_sample_weight(data)
        images = self._preprocess(images)
        outputs, taught = self._infer(images)
        targets = probabilities(labels, outputs[LOGITS])
        parts = self._parts(targets, outputs, taught, sample_weight)
        loss = self._total(parts)
        return self._track(loss, parts, targets, outputs[LOGITS], sample_weight)

    def _infer(self, images: tf.Tensor) -> tuple[Outputs, Outputs]:
        """What student and teacher give in inference mode.

        The last batch of an evaluation may leave a replica without images, which not
        every kernel can compute with: replicas get one more, which is then dropped.
        """
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return self._student_outputs(images, training=False), self._teach(images)
        images = tf.pad(images, [[0, 1], [0, 0], [0, 0], [0, 0]])
        outputs = self._student_outputs(images, training=False)
        return _without_last(outputs), _without_last(self._teach(images))

    def _active_parts(self) -> list[str]:
        return [name for name, weight in self._part_weights.items() if weight]

    def _check_teacher(
        self, teacher: tf.keras.Model | None, taps: Sequence[str]
    ) -> None:
        active = self._active_parts()
        taught = [name for name in ("attention", "logit_matching") if name in active]
        if teacher is not None and not taught:
            raise InputError(
                "There is a teacher but no loss that listens to it: give "
                "attention_weight or logit_weight, or leave the teacher out."
            )
        if taps and "attention" not in taught:
            raise InputError(
                f"There are the taps {', '.join(taps)} but attention_weight is 0: give "
                "one, or leave them out."
            )
        if taught and teacher is None:
            raise InputError(
                f"The loss {' and '.join(taught)} has a weight but there is no "
                "teacher: give one, or set the weight to 0."
            )
        if "attention" in taught and not taps:
            raise InputError(
                "The attention loss has a weight but no taps: name the layers whose "
                "attention maps should match, for example taps=['block_1', 'block_2']."
            )

    def _check_class_weights(self) -> None:
        num_classes = self._student_outputs.shapes[LOGITS][-1]
        if self._class_weights is not None:
            losses.require_class_weights(
                "class_weights", self._class_weights, num_classes
            )

    def _teach(self, images: tf.Tensor) -> Outputs:
        if self._teacher_outputs is None:
            return {}
        return self._teacher_outputs(images, training=False)

    def _parts(
        self, targets: tf.Tensor, outputs: Outputs, taught: Outputs, sample_weight: Any
    ) -> dict[str, tf.Tensor]:
        """Batch means of the active loss parts, not yet multiplied by their weights."""
        active = self._active_parts()
        logits = outputs[LOGITS]
        values: dict[str, tf.Tensor] = {}
        if "cross_entropy" in active:
            values["cross_entropy"] = losses.cross_entropy(
                targets, logits, self._class_weights, self._label_smoothing
            )
        if "attention" in active:
            values["attention"] = losses.attention_matching(
                [outputs[student] for student, _ in self.tap_pairs],
                [taught[teacher] for _, teacher in self.tap_pairs],
                self._attention_form,
            )
        if "logit_matching" in active:
            values["logit_matching"] = losses.logit_matching(
                logits, taught[LOGITS], self._temperature
            )
        parts = {name: _mean(value, sample_weight) for name, value in values.items()}
        if "l2" in active:
            halves = [
                tf.nn.l2_loss(variable) * factor
                for variable, factor in self._l2_terms()
                if factor
            ]
            parts["l2"] = tf.add_n(halves) if halves else tf.zeros([])
        return parts

    def _total(self, parts: dict[str, tf.Tensor]) -> tf.Tensor:
        weighted = [self._part_weights[name] * parts[name] for name in parts]
        own = [tf.cast(loss, tf.float32) for loss in self.student.losses]
        return tf.add_n([*weighted, *own])

    def _track(
        self,
        loss: tf.Tensor,
        parts: dict[str, tf.Tensor],
        targets: tf.Tensor,
        logits: tf.Tensor,
        sample_weight: Any,
    ) -> dict[str, tf.Tensor]:
        correct = is_correct(targets, logits)
        # Weighted by the batch's size, so that a smaller last batch counts for less.
        size = tf.shape(logits)[0]
        # A replica without any has a mean of NaN.
        some = tf.cast(size > 0, tf.float32)
        for name, value in {"loss": loss, **parts}.items():
            value = tf.math.multiply_no_nan(value, some)
            self._trackers[name].update_state(value, sample_weight=size)
        self._trackers["accuracy"].update_state(correct, sample_weight=sample_weight)
        return {metric.name: metric.result() for metric in self.metrics}


def _ordered(class_weights: Sequence[float] | None) -> tuple[float, ...] | None:
    """The weights of the classes, refused where they are none."""
    if class_weights is None:
        return None
    holds = not isinstance(class_weights, Mapping) and all(
        is_number(weight) and weight >= 0 for weight in class_weights
    )
    expected = "a number of at least 0 for each class in their order, not all 0"
    require(holds and any(class_weights), "class_weights", class_weights, expected)
    return tuple(class_weights)


def _without_last(outputs: Outputs) -> Outputs:
    return {name: value[:-1] for name, value in outputs.items()}


def _mean(values: tf.Tensor, sample_weight: Any) -> tf.Tensor:
    """Mean over the batch, as Keras's losses: weights do not change the divisor."""
    if sample_weight is not None:
        values = values * tf.cast(tf.reshape(sample_weight, [-1]), values.dtype)
    return tf.reduce_mean(values)


def _refuse_symbolic_losses(student: tf.keras.Model) -> None:
    """Such a loss is of the student's own graph, which is not the one that is run."""
    found = [x.name for x in student.submodules if type(x).__name__ == "AddLoss"]
    if found:
        raise InputError(
            f"Student {student.name!r} was given a loss as a tensor ({found[0]}), "
            "expected a layer that calls `add_loss` in its `call`."
        )
