"""Exponential moving average of the weights (Polyak and Juditsky, 1992).

Keras's optimizers keep the average of what they train. BatchNorm's moving statistics
are of the activations that the weights of each step gave, not of those that averaged
weights give: they are measured anew (as in Izmailov et al., 2018).
"""

from collections.abc import Iterable

from r2b_keras.environment import tf

# Batches over which BatchNorm's statistics are measured.
NUM_BATCHES = 100


def take_average(
    optimizer: tf.keras.optimizers.Optimizer, student: tf.keras.Model
) -> None:
    """Gives a student the average of its weights that the optimizer has kept."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner.finalize_variable_values(student.trainable_variables)


def measure_statistics(student: tf.keras.Model, batches: Iterable[tf.Tensor]) -> None:
    """Sets BatchNorm's moving statistics to their mean over some batches.

    Args:
      student: the network, on one device.
      batches: images `[B, H, W, C]` as it is trained on, normalised; each counts the
        same.
    """
    normalising = [
        layer
        for layer in student.submodules
        if isinstance(layer, tf.keras.layers.BatchNormalization) and layer.trainable
    ]
    momenta = [layer.momentum for layer in normalising]
    try:
        for number, images in enumerate(batches):
            for layer in normalising:
                # The mean over number + 1 batches, each of one share.
                layer.momentum = number / (number + 1)
            student(images, training=True)
    finally:
        for layer, momentum in zip(normalising, momenta, strict=True):
            layer.momentum = momentum
