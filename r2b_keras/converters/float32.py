"""A network of other floats, as one that computes in float32, in all of its bits."""

import contextlib
from typing import Any

from r2b_keras.converters import graph
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import keras_2


def other_types(model: tf.keras.Model) -> list[str]:
    """The floats other than float32 that layers compute in, with weights or without."""
    found = {
        layer.compute_dtype
        for layer in model.submodules
        if isinstance(layer, graph.Layer)
        and not isinstance(layer, tf.keras.metrics.Metric | tf.keras.layers.InputLayer)
        and layer.compute_dtype
        and tf.as_dtype(layer.compute_dtype).is_floating
    }
    return sorted(found - {"float32"})


def exactly() -> contextlib.AbstractContextManager[None]:
    """Has float32 all of its bits inside of the block, on GPUs too.

    Where a GPU has TF32, TensorFlow rounds the factors of convolutions and matrix
    products to 11 bits: hundreds of times what a file may differ from its network by.
    """
    config = tf.config.experimental
    read = config.tensor_float_32_execution_enabled
    return graph.setting(read, config.enable_tensor_float_32_execution, False)


def in_float32(model: tf.keras.Model) -> tf.keras.Model:
    """The same network with the same weights, computing in float32.

    Mixed precision keeps its weights in float32, so that none of them is rounded; what
    the network computes differs by the rounding of its 16-bit activations. Weights of
    64 bits are rounded.

    Args:
      model: a graph of layers; a model of another kind is returned as it is.

    Returns:
      A new network, or the given one where it computes in float32 already.

    Raises:
      InputError: it is no model of Keras 2, or its configuration does not make it
        again.
    """
    keras_2.check(model, "model")
    if not other_types(model) or not graph.is_graph(model):
        return model
    copy = type(model).from_config(_with_float32(model.get_config()))
    try:
        copy.set_weights(model.get_weights())
    except ValueError as error:
        # Of a layer that several models share Keras makes one for each.
        raise InputError(
            f"Model {model.name!r} computes in {', '.join(sorted(other_types(model)))} "
            "and cannot be rebuilt in float32 from its configuration, whose weights "
            "are others: build it with the policy float32 and load its weights."
        ) from error
    return copy


def _with_float32(config: Any) -> Any:
    """A configuration whose policies of computing in another type are exchanged."""
    if isinstance(config, dict):
        return {
            key: "float32"
            if key == "dtype" and _is_another(value)
            else _with_float32(value)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(value) for value in config)
    return config


def _is_another(dtype: Any) -> bool:
    name = dtype["config"]["name"] if isinstance(dtype, dict) else dtype
    return isinstance(name, str) and name.endswith(("float16", "float64"))
