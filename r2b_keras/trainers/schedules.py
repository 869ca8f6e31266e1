"""Learning rate schedules: epochs become steps here, and nowhere else."""

import math
from typing import Any

from r2b_keras.checks import require_choice
from r2b_keras.environment import tf
from r2b_keras.recipes.stage_parts import SCHEDULES, Schedule


def steps(epochs: float, steps_per_epoch: int) -> int:
    """Turns a duration in epochs into steps of the optimizer."""
    return round(epochs * steps_per_epoch)


@tf.keras.utils.register_keras_serializable(package="r2b_keras")
class LearningRate(tf.keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate over the steps of one stage.

    A linear rise from 0 over `warmup_steps`, times one of: 1 ("constant");
    `drop_factor` to the power of the drops behind ("step"); half a cosine or a line
    from 1 to `final_fraction` ("cosine", "linear"), which span the steps after the
    warm-up.

    Args:
      kind: "constant", "step", "cosine" or "linear".
      peak: the learning rate that the factors multiply.
      total_steps: length of the stage.
      warmup_steps: length of the rise, 0 for none.
      drop_steps: for "step".
      drop_factor: for "step".
      final_fraction: for "cosine" and "linear".

    Raises:
      InputError: an unknown kind.
    """

    def __init__(
        self,
        kind: str,
        peak: float,
        total_steps: int,
        warmup_steps: int = 0,
        drop_steps: tuple[int, ...] = (),
        drop_factor: float = 0.1,
        final_fraction: float = 0.0,
    ) -> None:
        """Checks the kind and stores the arguments."""
        require_choice("Schedule", kind, SCHEDULES)
        self.kind = kind
        self.peak = peak
        self.total_steps = total_steps
        self.warmup_steps = warmup_steps
        self.drop_steps = tuple(drop_steps)
        self.drop_factor = drop_factor
        self.final_fraction = final_fraction

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Returns the learning rate for the step, counted from 0."""
        step = tf.cast(step, tf.float32)
        # The first step counts as one of the rise: a rate of 0 would waste it.
        rise = tf.minimum(1.0, (step + 1.0) / max(self.warmup_steps, 1))
        return self.peak * rise * self._factor(step)

    def _factor(self, step: tf.Tensor) -> tf.Tensor:
        if self.kind == "step":
            drops = [tf.cast(step >= drop, tf.float32) for drop in self.drop_steps]
            return self.drop_factor ** tf.add_n(drops)
        if self.kind == "constant":
            return tf.ones([])
        span = max(self.total_steps - self.warmup_steps, 1)
        progress = tf.clip_by_value((step - self.warmup_steps) / span, 0.0, 1.0)
        if self.kind == "cosine":
            remaining = 0.5 * (1.0 + tf.cos(math.pi * progress))
        else:
            remaining = 1.0 - progress
        return self.final_fraction + (1.0 - self.final_fraction) * remaining

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that make this schedule again."""
        return dict(vars(self))


def learning_rate(
    schedule: Schedule, peak: float, epochs: int, steps_per_epoch: int
) -> LearningRate:
    """Makes the learning rate of a stage.

    Args:
      schedule: durations in epochs.
      peak: the optimizer's learning rate.
      epochs: length of the stage.
      steps_per_epoch: steps of the optimizer in one epoch.
    """
    return LearningRate(
        schedule.kind,
        peak,
        total_steps=steps(epochs, steps_per_epoch),
        warmup_steps=steps(schedule.warmup_epochs, steps_per_epoch),
        drop_steps=tuple(steps(e, steps_per_epoch) for e in schedule.drop_epochs),
        drop_factor=schedule.drop_factor,
        final_fraction=schedule.final_fraction,
    )
