"""Keras networks as graphs: how they are called, and layers that others wrap."""

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from r2b_keras.environment import tf

Layer: TypeAlias = tf.keras.layers.Layer
# What runs a graph of layers; Keras has no public name for its class.
_CALL = tf.keras.Sequential.__base__.call


def is_graph(model: tf.keras.Model) -> bool:
    """Whether the network is a graph of layers; a subclass of `Model` may be code."""
    return bool(getattr(model, "_is_graph_network", False))


def has_own_call(model: tf.keras.Model) -> bool:
    """Whether a class of the user's has code around its graph, or instead of it."""
    return type(model).call not in (_CALL, tf.keras.Sequential.call)


def nodes(model: tf.keras.Model, layer: Layer) -> list[Any]:
    """The places in this network where a layer is used.

    A layer can also be part of other networks, in other places.
    """
    own = {id(node) for depth in model._nodes_by_depth.values() for node in depth}
    return [node for node in layer.inbound_nodes if id(node) in own]


def in_training(model: tf.keras.Model) -> list[str]:
    """Names of the layers that a graph calls with `training=True`, nested ones too."""
    if not is_graph(model):
        return []
    found = []
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            found += in_training(layer)
        calls = nodes(model, layer)
        if not is_frozen(layer) and any(
            trains(layer, node.call_args, node.call_kwargs) for node in calls
        ):
            found.append(layer.name)
    return found


def is_frozen(layer: Layer) -> bool:
    """Whether a layer is a BatchNorm that is not trainable: it infers in training."""
    batch_norm = tf.keras.layers.BatchNormalization
    return isinstance(layer, batch_norm) and not layer.trainable


def trains(layer: Layer, args: Any, kwargs: Any) -> bool:
    """Whether a layer is called with training=True, by name or by position.

    Args:
      layer: the layer.
      args: what it is called with, its inputs first.
      kwargs: the same by name.
    """
    given, spec = (args, kwargs), layer._call_spec
    if not spec.arg_was_passed("training", *given, inputs_in_args=True):
        return False
    value = spec.get_arg_value("training", *given, inputs_in_args=True)
    return value is not None and bool(value)


def inputs(model: tf.keras.Model) -> Any:
    """A `TensorSpec` of each input, nested as the network takes them.

    Raises:
      ValueError: the network was never called and does not name its inputs.
    """
    if is_graph(model):
        named = model.input
    elif model.save_spec() is not None:
        named = model.save_spec()[0][0]
    else:
        raise ValueError("it has no input sizes yet, call it on an image first")
    return tf.nest.map_structure(
        lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name), named
    )


def infer(model: tf.keras.Model, images: Any) -> Any:
    """The network's outputs in inference, whatever its code takes by default."""
    if "training" in inspect.signature(model.call).parameters:
        return model(images, training=False)
    return model(images)


# TensorFlow's settings are the whole process's: threads wait for each other.
_SETTINGS = threading.RLock()


@contextlib.contextmanager
def setting(
    read: Callable[[], bool], write: Callable[[bool], None], value: bool
) -> Iterator[None]:
    """Has a setting of TensorFlow another value inside of the block."""
    with _SETTINGS:
        before = read()
        write(value)
        try:
            yield
        finally:
            write(before)


def eagerly() -> contextlib.AbstractContextManager[None]:
    """Has numbers for symbols inside of the block, in functions of layers too."""
    config = tf.config
    return setting(config.functions_run_eagerly, config.run_functions_eagerly, True)


@contextlib.contextmanager
def around(
    layers: Iterable[Layer], wrap: Callable[..., Any], attribute: str = "call"
) -> Iterator[None]:
    """Calls `wrap` instead of the layers, wherever they are used inside of the block.

    Args:
      layers: layers of any network.
      wrap: `wrap(layer, call, inputs, ...)`, which gives the layer's outputs; `call` is
        what the layer would have done, of inputs and whatever else came.
      attribute: which of the layer's functions is meant.
    """
    own: list[tuple[dict[str, Any], Any]] = []
    try:
        for layer in layers:
            # Past Keras's own bookkeeping of attributes, which would keep the wrapper.
            fields = vars(layer)
            own.append((fields, fields.get(attribute)))
            called = getattr(layer, attribute)
            fields[attribute] = functools.partial(wrap, layer, called)
        yield
    finally:
        for fields, called in reversed(own):
            if called is None:
                del fields[attribute]
            else:
                fields[attribute] = called
