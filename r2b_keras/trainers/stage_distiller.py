"""A stage's settings as a distiller."""

from collections.abc import Callable, Sequence

from r2b_keras import models
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.recipes import Losses, Stage
from r2b_keras.recipes.stage_parts import BALANCED
from r2b_keras.trainers import optimizers, schedules
from r2b_keras.trainers.distiller import Distiller
from r2b_keras.trainers.execution import Execution
from r2b_keras.trainers.losses import require_class_weights


def make_distiller(
    stage: Stage,
    student: tf.keras.Model,
    teacher: tf.keras.Model | None,
    steps_per_epoch: int,
    execution: Execution,
    preprocess: Callable[[tf.Tensor], tf.Tensor] | None = None,
    class_counts: Sequence[int] | None = None,
) -> Distiller:
    """Makes what trains a student as a stage says, its optimizer built.

    Args:
      stage: losses, optimizer and schedule.
      student: the network that is trained.
      teacher: the one that teaches it, None where no loss needs one.
      steps_per_epoch: for the schedule.
      execution: how steps are executed.
      preprocess: see `Distiller`.
      class_counts: how many images to train on each class has; None where that is not
        known.

    Raises:
      InputError: student, teacher and settings do not fit.
    """
    losses, settings = stage.losses, stage.optimizer
    optimizers.freeze(settings, student)
    blocks = [(name, name) for name in models.intermediate_names(student)]
    pairs = (losses.tap_pairs or blocks) if losses.attention else []
    distiller = Distiller(
        student,
        teacher,
        taps=[own for own, _ in pairs],
        teacher_taps=[other for _, other in pairs],
        cross_entropy_weight=losses.cross_entropy,
        label_smoothing=losses.label_smoothing,
        class_weights=class_weights(losses, student.output_shape[-1], class_counts),
        attention_weight=losses.attention,
        attention_form=losses.attention_form,
        logit_weight=losses.logit_matching,
        temperature=losses.temperature,
        l2=settings.weight_decay if settings.decay == "l2" else 0.0,
        l2_variables=optimizers.decayed_variables(student),
        l2_factors=optimizers.l2_factors(settings, student),
        preprocess=preprocess,
    )
    rate = schedules.learning_rate(
        stage.schedule, settings.learning_rate, stage.epochs, steps_per_epoch
    )
    distiller.compile(
        optimizers.make_optimizer(settings, rate, student, stage.average),
        jit_compile=execution.xla,
        steps_per_execution=execution.steps_per_execution,
    )
    distiller.optimizer.build(student.trainable_variables)
    return distiller


def class_weights(
    losses: Losses, num_classes: int, counts: Sequence[int] | None
) -> list[float] | None:
    """The factor of each class, see `Losses`; None where all are 1.

    Args:
      losses: says which.
      num_classes: how many there are.
      counts: how many images each class has; None where that is not known.

    Raises:
      InputError: there is a number for more or fewer classes, or they are to be
        balanced without it being known what.
    """
    if not losses.class_weights:
        return None
    if losses.class_weights != (BALANCED,):
        found = [float(word) for word in losses.class_weights]
        require_class_weights(
            "losses.class_weights", found, num_classes, f", or {BALANCED!r}"
        )
        return found
    if counts is None:
        raise InputError(
            f"losses.class_weights is {BALANCED!r}, and how many images each class has "
            "is not known before they are read: expected a number for each class."
        )
    return [sum(counts) / (num_classes * count) for count in counts]
