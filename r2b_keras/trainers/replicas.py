"""Replicas of a network: what each of them measures by itself becomes their mean."""

from collections.abc import Iterable
from typing import Any

from r2b_keras.environment import tf


def share_means(variables: Iterable[tf.Variable]) -> None:
    """Gives all replicas the mean of what each has: statistics, which no step shares.

    Of BatchNorm, and the ranges of integer layers. All processes take part.

    Args:
      variables: of a network; those that are equal on all replicas stay as they are.
    """
    for variable in variables:
        if variable.synchronization == tf.VariableSynchronization.ON_READ:
            variable.assign(variable.numpy())


class ShareMeans(tf.keras.callbacks.Callback):
    """Shares them before an epoch's validation, and where an epoch ends.

    So what is validated is what is saved, and training goes on from what a resumed run
    would start with. Give it before all that looks at weights.
    """

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Before validation."""
        share_means(self.model.student.weights)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Where there may have been no validation."""
        share_means(self.model.student.weights)
