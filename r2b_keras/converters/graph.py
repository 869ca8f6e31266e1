"""Keras networks as graphs: who reads what, and layers exchanged for others."""

import collections
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

Layer: TypeAlias = tf.keras.layers.Layer


def is_graph(model: tf.keras.Model) -> bool:
    """Whether the network is a graph of layers; a subclass of `Model` may be code."""
    return bool(getattr(model, "_is_graph_network", False))


def nodes(model: tf.keras.Model, layer: Layer) -> list[Any]:
    """The places in this network where a layer is used.

    A layer can also be part of other networks, in other places.
    """
    own = {id(node) for depth in model._nodes_by_depth.values() for node in depth}
    return [node for node in layer.inbound_nodes if id(node) in own]


def parents(model: tf.keras.Model, layer: Layer) -> list[Layer]:
    """The layers whose outputs a layer takes, wherever the network uses it."""
    return [
        parent
        for node in nodes(model, layer)
        for parent in tf.nest.flatten(node.inbound_layers)
    ]


def readers(model: tf.keras.Model) -> dict[str, list[Layer]]:
    """The layers that take each layer's output, by name.

    The model itself is among the readers of its output layers.
    """
    # A Sequential does not list its input.
    found = collections.defaultdict(list)
    for layer in model.layers:
        for parent in parents(model, layer):
            found[parent.name].append(layer)
    for tensor in tf.nest.flatten(model.outputs):
        found[tensor.node.layer.name].append(model)
    return found


def takes_signs(model: tf.keras.Model, layer: Layer) -> bool:
    """Whether a layer gets or makes an input of -1 and +1, by a quantizer of larq."""
    quantizer = getattr(layer, "input_quantizer", None)
    if quantizer is not None or not is_graph(model):
        return getattr(quantizer, "precision", None) == 1
    found = parents(model, layer)
    return bool(found) and all(
        isinstance(parent, lq.quantizers.Quantizer) and parent.precision == 1
        for parent in found
    )


def with_nested(
    model: tf.keras.Model, change: Callable[[tf.keras.Model], tf.keras.Model]
) -> tf.keras.Model:
    """A network whose nested models have been changed; itself where none was."""
    nested = {x.name: x for x in model.layers if isinstance(x, tf.keras.Model)}
    changed = {name: change(inner) for name, inner in nested.items()}
    makers = {
        name: lambda inner: changed[inner.name]
        for name, inner in nested.items()
        if changed[name] is not inner
    }
    return exchange(model, makers) if makers else model


def exchange(
    model: tf.keras.Model, makers: Mapping[str, Callable[[Layer], Layer]]
) -> tf.keras.Model:
    """A copy of a network with some layers exchanged.

    Args:
      model: a graph of layers; it is not changed.
      makers: for each layer to be exchanged, by name, what makes the new one of the
        old one. It must have the same name, and gets no weights here.

    Returns:
      The copy; layers that stay have copies of their weights.

    Raises:
      InputError: a layer cannot be made again from its configuration.
    """

    def make(layer: Layer) -> Layer:
        if layer.name in makers:
            return makers[layer.name](layer)
        return clone(layer)

    copy = tf.keras.models.clone_model(model, clone_function=make)
    for layer in model.layers:
        if layer.name not in makers:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def clone(layer: Layer) -> Layer:
    """A new layer of the same configuration, without its weights.

    Raises:
      InputError: it cannot be made again from its configuration.
    """
    try:
        new = layer.__class__.from_config(layer.get_config())
    except (NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"Layer {layer.name!r} ({type(layer).__name__}) cannot be copied: expected "
            "its get_config to give every argument of its __init__."
        ) from error
    # Configurations that Keras guesses have no name.
    new._name = layer.name
    return new
