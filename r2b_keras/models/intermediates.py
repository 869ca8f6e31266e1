"""Named intermediate outputs of any functional Keras model."""

import re
from collections.abc import Sequence
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import keras_2

# A key for the output of a model that no layer can have as its name.
OUTPUT = "(output)"


def with_intermediates(
    model: tf.keras.Model, names: Sequence[str], output: str = "logits"
) -> tf.keras.Model:
    """Returns a model that gives the outputs of the named layers beside its own.

    It shares all layers and weights with `model`; one forward pass computes everything.

    Args:
      model: a functional or sequential Keras model with one output.
      names: names of layers of `model`, each with one output; a network inside of it
        is such a layer.
      output: key of the model's own output in the result.

    Returns:
      A model from the same inputs to a dictionary of tensors by name.

    Raises:
      InputError: a name that no layer has (the message lists some that exist), one that
        is the output's too, one of a layer that is used several times, or a model
        whose layers' outputs cannot be told (subclassed, or not built yet).
    """
    keras_2.check(model, "model")
    _check_model(model)
    known = {layer.name for layer in model.layers}
    missing = [name for name in names if name not in known]
    if missing:
        raise InputError(
            f"Model {model.name!r} has no layer named {', '.join(map(repr, missing))}; "
            f"its layers are {', '.join(sorted(known)[:40])}."
        )
    if output in names and _output(model, output) is not model.outputs[0]:
        raise InputError(
            f"Layer {output!r} of model {model.name!r} is not its output, expected one "
            "name for each: give the output another one, such as output='scores'."
        )
    outputs = {name: _output(model, name) for name in names}
    outputs[output] = model.outputs[0]
    return tf.keras.Model(
        model.inputs, outputs, name=f"{model.name}_with_intermediates"
    )


def _output(model: tf.keras.Model, name: str) -> Any:
    """What a layer gives in this model; it may have a place in others, too.

    Raises:
      InputError: it is used several times, or gives several tensors.
    """
    own = {id(node) for nodes in model._nodes_by_depth.values() for node in nodes}
    nodes = [node for node in model.get_layer(name)._inbound_nodes if id(node) in own]
    found = [tensor for node in nodes for tensor in tf.nest.flatten(node.outputs)]
    if len(found) != 1:
        raise InputError(
            f"Layer {name!r} of model {model.name!r} gives {len(found)} tensors in it, "
            "expected one: name a layer that is used once."
        )
    return found[0]


def intermediate_names(model: tf.keras.Model) -> list[str]:
    """Names of the block ends, `block_1` ... `block_n`, in order.

    Returns:
      The names, empty for a model that has none.
    """
    found = [
        layer.name for layer in model.layers if re.fullmatch(r"block_\d+", layer.name)
    ]
    return sorted(found, key=lambda name: int(name.split("_")[1]))


def _check_model(model: tf.keras.Model) -> None:
    """Raises `InputError` unless `model` is a graph of layers with one output."""
    if not model.inputs:
        raise InputError(
            f"Model {model.name!r} has no graph of layers to take intermediate outputs "
            "from: expected a functional model, or a sequential one that knows its "
            "input shape (begin it with a layer `Input`)."
        )
    if len(model.outputs) != 1:
        raise InputError(
            f"Model {model.name!r} has {len(model.outputs)} outputs, expected one: "
            "make a model of the one you want, `tf.keras.Model(model.inputs, output)`."
        )
