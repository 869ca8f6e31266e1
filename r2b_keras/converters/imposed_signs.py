"""Runs a Keras network with the signs that its layers take given from outside."""

import functools
from collections.abc import Callable
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
        self._flow = binary_flow.trace(model)

    def run(self, images: np.ndarray, choose: Choose) -> np.ndarray:
        """Scores `[N, K]` of images `[N, H, W, C]`, with signs by `choose`.

        It is called wherever a layer takes signs of real numbers, by itself, by its
        input quantizer or as its activation; once for each time that the layer is
        used, in the order in which the network runs. Signs that are taken in between
        layers, in code, stay as they are.
        """
        wrap = functools.partial(_with_chosen_signs, choose)
        with graph.eagerly(), self._flow.around_signs(wrap):
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
    return call(tf.constant(choose(layer.name, inputs.numpy())), *args, **more)
