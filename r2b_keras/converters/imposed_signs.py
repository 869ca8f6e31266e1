"""Runs a Keras network with the signs of its binary layers' inputs given from outside.

Every place where one of larq's quantizers of one bit takes signs of activations calls
back: a layer's `input_quantizer` or `activation`, or the quantizer as a layer of its
own; in nested networks and networks that are code too; once for each time it is used.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras.environment import lq, tf

# From a layer's name and values `[N, ..., C]` to values to take signs of instead.
Choose = Callable[[str, np.ndarray], np.ndarray]


def run(model: tf.keras.Model, images: np.ndarray, choose: Choose) -> np.ndarray:
    """Scores `[N, K]` of images `[N, H, W, C]`, with signs by `choose`.

    It is called once for each binarization, in the order in which the network runs.
    """
    with contextlib.ExitStack() as stack:
        for layer, attribute in _places(model):
            stack.enter_context(_called_back(layer, attribute, choose))
        scores: np.ndarray = model(tf.constant(images), training=False).numpy()
    return scores


@contextlib.contextmanager
def _called_back(layer: Any, attribute: str, choose: Choose) -> Iterator[None]:
    own = getattr(layer, attribute)

    def replaced(values: tf.Tensor) -> tf.Tensor:
        return own(tf.constant(choose(layer.name, values.numpy())))

    # Past Keras, which would track what it is given.
    before = dict(vars(layer))
    vars(layer)[attribute] = replaced
    try:
        yield
    finally:
        del vars(layer)[attribute]
        vars(layer).update(before)


def _places(model: tf.keras.Model) -> list[tuple[Any, str]]:
    layers = [x for x in model.submodules if isinstance(x, tf.keras.layers.Layer)]
    found = [
        (layer, attribute)
        for layer in layers
        for attribute in ("input_quantizer", "activation")
        if _takes_signs(getattr(layer, attribute, None))
    ]
    # A quantizer that is a layer has a place in a graph, one of a layer has none.
    return found + [
        (layer, "call")
        for layer in layers
        if _takes_signs(layer) and layer.inbound_nodes
    ]


def _takes_signs(quantizer: Any) -> bool:
    binary = getattr(quantizer, "precision", None) == 1
    return binary and not isinstance(quantizer, lq.quantizers.NoOp)
