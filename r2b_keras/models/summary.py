"""Sizes and operation counts of a model, from larq's own profile."""

from dataclasses import dataclass

from r2b_keras.environment import lq, tf


@dataclass(frozen=True)
class ModelSize:
    """What a deployed model holds and computes.

    Attributes:
      parameters: weights, real and binary, as `lq.models.summary` counts them
        (BatchNorm as the scale and offset that remain of it).
      binary_parameters: how many of them are one bit wide.
      bytes: binary weights at one bit, all others at 32, rounded up.
      macs: multiply-accumulates of one image.
      binary_macs: how many of them have one-bit inputs and one-bit weights.
    """

    parameters: int
    binary_parameters: int
    bytes: int
    macs: int
    binary_macs: int


def model_size(model: tf.keras.Model) -> ModelSize:
    """Counts parameters, bytes and multiply-accumulates of `model`."""
    profile = lq.models.ModelProfile(model)
    return ModelSize(
        parameters=profile.weight_count(),
        binary_parameters=profile.weight_count(1),
        bytes=-(-profile.memory // 8),
        macs=profile.op_count("mac"),
        binary_macs=profile.op_count("mac", 1),
    )
