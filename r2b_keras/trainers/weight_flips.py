"""How many binary weights change their sign: how far training has settled."""

from typing import Any

import numpy as np

from r2b_keras.environment import lq, tf
from r2b_keras.models.quantized import quantized_kernels

NAME = "flipped_weights"


def binary_kernels(model: tf.keras.Model) -> list[tf.Variable]:
    """The latent weights behind one-bit quantizers, in the order of the layers."""
    return [
        kernel
        for layer in model.submodules
        if isinstance(layer, tf.keras.layers.Layer)
        for kernel, quantizer in quantized_kernels(layer)
        if getattr(quantizer, "precision", None) == 1
    ]


def signs(kernels: list[tf.Variable]) -> list[np.ndarray]:
    """Whether each latent weight is positive when binarized."""
    with lq.context.quantized_scope(True):
        return [tf.convert_to_tensor(kernel).numpy() >= 0 for kernel in kernels]


def share_flipped(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    """Share of all weights whose sign differs, 0 to 1."""
    flipped = sum(int(np.sum(a != b)) for a, b in zip(before, after, strict=True))
    return flipped / sum(array.size for array in before)


class WeightFlips(tf.keras.callbacks.Callback):
    """Logs `flipped_weights`, the share of binary weights that an epoch has turned.

    That is, whose sign at the end of the epoch is not the one of its start; a weight
    that turns twice in an epoch does not count. Both are looked at within the epoch, so
    a resumed stage logs the same numbers as one that was not interrupted.

    Give it before the callbacks that write logs. A student without binary weights has
    no such number.
    """

    def __init__(self) -> None:
        """Begins without signs."""
        super().__init__()
        self._kernels: list[tf.Variable] = []
        self._before: list[np.ndarray] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Finds the binary weights."""
        self._kernels = binary_kernels(self.model)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Remembers the signs."""
        self._before = signs(self._kernels)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Adds the share to the logs."""
        if logs is not None and self._kernels:
            logs[NAME] = share_flipped(self._before, signs(self._kernels))
