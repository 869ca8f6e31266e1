"""Follows a flatbuffer through its Keras network, sign by sign.

Where an activation is all but at its threshold, rounding decides its sign, and each
sign changes what comes after it. So the network is run with the signs that the
flatbuffer took. What is left between the two is rounding alone: a sign that is not
Keras's own belongs to a value next to its threshold, and the scores agree.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from r2b_keras.board import pictures
from r2b_keras.converters import binary_flow, engines, graph
from r2b_keras.converters.sign_taps import Tap, Tapped
from r2b_keras.environment import tf
from r2b_keras.normalisation import Normalisation

# From a layer's name and values `[N, ..., C]` to values to take signs of instead.
Choose = Callable[[str, np.ndarray], np.ndarray]

# Made-up images that run along, so that a channel's signs and size are known where the
# network leaves it one pixel.
_NUM_COMPANIONS = 8


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


@dataclasses.dataclass(frozen=True)
class Followed:
    """A Keras network with the signs of its flatbuffer.

    Attributes:
      scores: `[N, K]` float32.
      num_signs: `[N]`, how many signs are not those that Keras takes.
      margins: `[N]`, the largest distance of such a value from its threshold, by Keras
        or by the flatbuffer, as a share of its channel's root mean square.
      layers: for each image, the layer with this distance; "" without such a sign.
    """

    scores: np.ndarray
    num_signs: np.ndarray
    margins: np.ndarray
    layers: list[str]


def follow(
    network: SignedNetwork,
    tapped: Tapped,
    engine: engines.Engine,
    images: np.ndarray,
    normalisation: Normalisation | None = None,
) -> Followed:
    """Runs images `[N, H, W, C]` through a network, with its flatbuffer's signs.

    Args:
      network: the network.
      tapped: the flatbuffer.
      engine: what runs it.
      images: as the network sees them, float32.
      normalisation: of the images, for an engine that takes pixels.
    """
    generator = np.random.default_rng(0)
    shape = (_NUM_COMPANIONS, *images.shape[1:])
    made_up = generator.normal(images.mean(), images.std(), shape)
    every = np.concatenate([images, made_up.astype(np.float32)])
    taken = every
    if engine.takes_pixels and normalisation is not None:
        taken = normalisation.pixels(every)
        every = pictures.normalize(taken, normalisation)
    follower = _Follower(tapped.run(engine, taken)[1], len(every))
    scores = network.run(every, follower.choose)
    num = len(images)
    return Followed(
        scores=scores[:num],
        num_signs=follower.num_signs[:num],
        margins=follower.margins[:num],
        layers=follower.layers[:num],
    )


class _Follower:
    """Chooses signs, and notes how far values are whose signs it turns."""

    def __init__(self, taps: list[Tap], num_images: int) -> None:
        self._taps = taps
        self.num_signs = np.zeros(num_images, int)
        self.margins = np.zeros(num_images)
        self.layers = [""] * num_images

    def choose(self, layer: str, values: np.ndarray) -> np.ndarray:
        """The flatbuffer's signs for what a layer takes signs of, -1 and +1."""
        flat = values.reshape(len(values), -1, values.shape[-1])
        matches = [
            _match(flat, tap) for tap in self._taps if tap.values.shape == flat.shape
        ]
        if not matches:
            return values
        turned, tap = min(matches, key=lambda match: np.count_nonzero(match[0]))
        self._note(layer, turned, flat, tap)
        negative = (flat < 0) ^ turned
        return np.where(negative, np.float32(-1), np.float32(1)).reshape(values.shape)

    def _note(
        self, layer: str, turned: np.ndarray, values: np.ndarray, tap: Tap
    ) -> None:
        self.num_signs += turned.sum((1, 2))
        margins = _margins(values)
        if tap.real:
            margins = np.maximum(margins, _margins(tap.values))
        else:
            # A whole number at its threshold is not rounded.
            margins[values == 0] = np.inf
        largest = np.where(turned, margins, 0).max((1, 2))
        for image in np.flatnonzero(largest > self.margins):
            self.margins[image], self.layers[image] = largest[image], layer


def _match(values: np.ndarray, tap: Tap) -> tuple[np.ndarray, Tap]:
    """Where the signs of a tap are not those of Keras's values, `[N, P, C]`.

    Conversion may turn all signs of a channel, and the weights that read it.
    """
    other = (tap.values < 0) != (values < 0)
    turned_channels = other.mean((0, 1)) > 0.5
    return other ^ turned_channels, tap


def _margins(values: np.ndarray) -> np.ndarray:
    """Distances from 0 as shares of each channel's root mean square."""
    squares = np.square(values, dtype=np.float64).mean((0, 1))
    return np.abs(values) / np.maximum(np.sqrt(squares), 1e-30)
