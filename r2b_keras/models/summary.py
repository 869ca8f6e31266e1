"""Sizes and operation counts of a model, from larq's own profile."""

from dataclasses import dataclass

from r2b_keras.environment import lq, tf
from r2b_keras.models import integers


@dataclass(frozen=True)
class ModelSize:
    """What a deployed model holds and computes.

    Attributes:
      parameters: weights, real and binary, as `lq.models.summary` counts them
        (BatchNorm as the scale and offset that remain of it).
      binary_parameters: how many of them are one bit wide.
      bytes: binary weights at one bit, those of integer layers at 8, all others at 32,
        rounded up.
      macs: multiply-accumulates of one image.
      binary_macs: how many of them have one-bit inputs and one-bit weights.
    """

    parameters: int
    binary_parameters: int
    bytes: int
    macs: int
    binary_macs: int


def profile(model: tf.keras.Model) -> lq.models.ModelProfile:
    """Larq's profile of a network, with the multiplications that there are.

    To larq every weight but a bias takes part in them; the range of an integer layer's
    inputs does not.
    """
    found = lq.models.ModelProfile(model)
    for layer, counted in zip(model.layers, found.layer_profiles, strict=True):
        if isinstance(layer, integers.INTEGER_LAYERS):
            # The kernel comes first.
            counted.op_profiles = counted.op_profiles[:1]
    return found


def model_size(model: tf.keras.Model) -> ModelSize:
    """Counts parameters, bytes and multiply-accumulates of `model`."""
    found = profile(model)
    return ModelSize(
        parameters=found.weight_count(),
        binary_parameters=found.weight_count(1),
        bytes=-(-found.memory // 8),
        macs=found.op_count("mac"),
        binary_macs=found.op_count("mac", 1),
    )
