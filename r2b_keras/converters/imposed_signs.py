"""Runs a Keras network with the signs that its layers take given from outside."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras.converters import binary_flow, graph
from r2b_keras.environment import tf

# From a layer's name and values `[N, ..., C]` to values to take signs of instead.
Choose = Callable[[str, np.ndarray], np.ndarray]


class SignedNetwork:
    """A Keras network whose signs can be chosen."""

    def __init__(self, model: tf.keras.Model) -> None:
        """Finds out which layers take signs, and changes nothing.

        Raises:
          ValueError: the network was never called and does not name its inputs.
        """
        self._model = model
        self._takers = binary_flow.trace(model).sign_takers

    def run(self, images: np.ndarray, choose: Choose) -> np.ndarray:
        """Scores `[N, K]` of images `[N, H, W, C]`, with signs by `choose`.

        It is called wherever a layer takes signs of real numbers, by itself, by its
        input quantizer or as its activation; once for each time that the layer is
        used, in the order in which the network runs. Signs that are taken in between
        layers, in code, stay as they are.
        """
        wrap = functools.partial(_with_chosen_signs, choose)
        with (
            graph.eagerly(),
            graph.around(self._takers, wrap),
            _activations(self._model, choose),
        ):
            scores: np.ndarray = graph.infer(self._model, tf.constant(images)).numpy()
        return scores


def _with_chosen_signs(
    choose: Choose,
    layer: graph.Layer,
    call: Callable[..., Any],
    inputs: tf.Tensor,
    *args: Any,
    **more: Any,
) -> Any:
    # The sign of a sign is that sign.
    return call(_chosen(choose, layer, inputs), *args, **more)


def _chosen(choose: Choose, layer: graph.Layer, values: tf.Tensor) -> tf.Tensor:
    return tf.constant(choose(layer.name, values.numpy()))


@contextlib.contextmanager
def _activations(model: tf.keras.Model, choose: Choose) -> Iterator[None]:
    """Exchanges the activations that take signs, inside of the block."""
    found = [
        (layer, layer.activation)
        for layer in model.submodules
        if isinstance(layer, tf.keras.layers.Layer)
        and binary_flow.takes_sign(getattr(layer, "activation", None))
    ]

    def make(layer: graph.Layer, own: Callable[..., Any]) -> Callable[..., Any]:
        return lambda values: own(_chosen(choose, layer, values))

    try:
        for layer, own in found:
            # Past Keras, which would keep what it is given.
            vars(layer)["activation"] = make(layer, own)
        yield
    finally:
        for layer, own in found:
            vars(layer)["activation"] = own
