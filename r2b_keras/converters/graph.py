"""Keras networks as graphs: who reads what, and layers exchanged for others."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from r2b_keras.environment import tf

Layer: TypeAlias = tf.keras.layers.Layer


def is_graph(model: tf.keras.Model) -> bool:
    """Whether the network is a graph of layers; a subclass of `Model` may be code."""
    return bool(getattr(model, "_is_graph_network", False))


def readers(model: tf.keras.Model) -> dict[str, list[Layer]]:
    """The layers that take each layer's output, by name.

    The model itself is among the readers of its output layers.
    """
    found: dict[str, list[Layer]] = {layer.name: [] for layer in model.layers}
    for layer in model.layers:
        for parent in parents(layer):
            # A layer can also be part of another model, with other parents.
            if parent.name in found:
                found[parent.name].append(layer)
    for tensor in tf.nest.flatten(model.outputs):
        found[tensor.node.layer.name].append(model)
    return found


def parents(layer: Layer) -> list[Layer]:
    """The layers whose outputs a layer takes, wherever it is used."""
    return [
        parent
        for node in layer.inbound_nodes
        for parent in tf.nest.flatten(node.inbound_layers)
    ]


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
    """

    def clone(layer: Layer) -> Layer:
        if layer.name in makers:
            return makers[layer.name](layer)
        return layer.__class__.from_config(layer.get_config())

    copy = tf.keras.models.clone_model(model, clone_function=clone)
    for layer in model.layers:
        if layer.name not in makers:
            copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy
