"""Follows a flatbuffer through its Keras network, decision by decision.

Where an activation is all but at its threshold, rounding decides its sign, and each
sign changes what comes after it. So the network is run with the signs that the
flatbuffer took. What is left between the two is rounding alone: a sign that is not
Keras's own belongs to a value next to its threshold, and the scores agree.

The inputs of integer layers are decisions of the same kind, with a threshold between
each whole number and the next.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from r2b_keras.board import pictures
from r2b_keras.converters import binary_flow, engines, graph
from r2b_keras.converters.float32 import exactly
from r2b_keras.converters.sign_taps import Rounding, Tap, Tapped
from r2b_keras.environment import tf
from r2b_keras.models.integers import integer_layers
from r2b_keras.normalisation import Normalisation


class Decisions(Protocol):
    """What to compute with instead of a network's own decisions.

    Both functions take the name of a layer.
    """

    def signs(self, layer: str, values: np.ndarray) -> np.ndarray:
        """Values to take signs of instead of `values`, `[N, ..., C]`."""

    def whole(self, layer: str, steps: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Whole numbers instead of `own`, which `steps` are rounded to."""


# Made-up images that run along, so that a channel's signs and size are known where the
# network leaves it one pixel.
_NUM_COMPANIONS = 8


class SignedNetwork:
    """A Keras network whose signs, and inputs of integer layers, can be chosen."""

    def __init__(self, model: tf.keras.Model) -> None:
        """Finds out which layers take signs or round, and changes nothing.

        Raises:
          ValueError: the network was never called and does not name its inputs.
        """
        self._model = model
        self._flow = binary_flow.trace(model)
        self._rounding = [
            layer for layer in integer_layers(model) if hasattr(layer, "quantize")
        ]

    def run(self, images: np.ndarray, decisions: Decisions) -> np.ndarray:
        """Scores `[N, K]` of images `[N, H, W, C]`, with other decisions.

        They are asked for wherever a layer takes signs of real numbers, by itself, by
        its input quantizer or as its activation, and wherever an integer layer rounds
        activations; once for each time that the layer is used, in the order in which
        the network runs. Signs that are taken in between layers, in code, stay as they
        are.
        """
        signs = functools.partial(_with_chosen_signs, decisions)
        whole = functools.partial(_with_chosen_integers, decisions)
        with (
            exactly(),
            graph.eagerly(),
            self._flow.around_signs(signs),
            graph.around(self._rounding, whole, "quantize"),
        ):
            scores: np.ndarray = graph.infer(self._model, tf.constant(images)).numpy()
        return scores


def _with_chosen_signs(
    decisions: Decisions,
    layer: graph.Layer,
    call: Callable[..., Any],
    inputs: tf.Tensor,
    *args: Any,
    **more: Any,
) -> Any:
    # The sign of a sign is that sign.
    values = decisions.signs(layer.name, inputs.numpy())
    return call(tf.constant(values), *args, **more)


def _with_chosen_integers(
    decisions: Decisions,
    layer: graph.Layer,
    call: Callable[..., Any],
    inputs: tf.Tensor,
    inverse: tf.Tensor,
) -> Any:
    own = call(inputs, inverse).numpy()
    steps = (inputs * inverse).numpy()
    return tf.constant(decisions.whole(layer.name, steps, own))


@dataclasses.dataclass(frozen=True)
class Followed:
    """A Keras network with the decisions of its flatbuffer.

    Attributes:
      scores: `[N, K]` float32.
      num_decisions: `[N]`, how many are not those of Keras.
      margins: `[N]`, the largest distance of such a value from its threshold, by Keras
        or by the flatbuffer, as a share of its channel's root mean square, or of that
        of all that an integer layer takes.
      layers: for each image, the layer with this distance; "" without such a decision.
    """

    scores: np.ndarray
    num_decisions: np.ndarray
    margins: np.ndarray
    layers: list[str]


def follow(
    network: SignedNetwork,
    tapped: Tapped,
    engine: engines.Engine,
    images: np.ndarray,
    normalisation: Normalisation | None = None,
) -> Followed:
    """Runs images `[N, H, W, C]` through a network, with its flatbuffer's decisions.

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
    _, taps, roundings = tapped.run(engine, taken)
    follower = _Follower(taps, roundings, len(every))
    scores = network.run(every, follower)
    num = len(images)
    return Followed(
        scores=scores[:num],
        num_decisions=follower.num_decisions[:num],
        margins=follower.margins[:num],
        layers=follower.layers[:num],
    )


class _Follower:
    """Decides as the flatbuffer does, and notes how far that is from thresholds."""

    def __init__(
        self, taps: list[Tap], roundings: list[Rounding], num_images: int
    ) -> None:
        self._taps = taps
        self._roundings = roundings
        self.num_decisions = np.zeros(num_images, int)
        self.margins = np.zeros(num_images)
        self.layers = [""] * num_images

    def signs(self, layer: str, values: np.ndarray) -> np.ndarray:
        """The flatbuffer's signs for what a layer takes signs of, -1 and +1."""
        flat = values.reshape(len(values), -1, values.shape[-1])
        matches = [
            _match(flat, tap) for tap in self._taps if tap.values.shape == flat.shape
        ]
        if not matches:
            return values
        turned, tap = min(matches, key=lambda match: np.count_nonzero(match[0]))
        margins = _margins(flat)
        if tap.real:
            margins = np.maximum(margins, _margins(tap.values))
        else:
            # A whole number at its threshold is not rounded.
            margins[flat == 0] = np.inf
        self._note(layer, turned, margins)
        negative = (flat < 0) ^ turned
        return np.where(negative, np.float32(-1), np.float32(1)).reshape(values.shape)

    def whole(self, layer: str, steps: np.ndarray, own: np.ndarray) -> np.ndarray:
        """The flatbuffer's whole numbers for what an integer layer rounds."""
        flat, rounded = (x.reshape(len(x), -1, x.shape[-1]) for x in (steps, own))
        matches = [x for x in self._roundings if x.quantized.shape == flat.shape]
        if not matches:
            return own
        found = min(matches, key=lambda x: np.count_nonzero(x.quantized != rounded))
        turned = found.quantized != rounded
        threshold = (found.quantized + rounded) / 2
        margins = np.maximum(
            _distances(flat, threshold), _distances(found.steps, threshold)
        )
        # Between other whole numbers than neighbours there is more than one threshold.
        margins[np.abs(found.quantized - rounded) > 1] = np.inf
        self._note(layer, turned, margins)
        return found.quantized.reshape(own.shape)

    def _note(self, layer: str, turned: np.ndarray, margins: np.ndarray) -> None:
        self.num_decisions += turned.sum((1, 2))
        # A distance that is no number is none of rounding.
        margins = np.where(np.isnan(margins), np.inf, margins)
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


# What is not finite has no distance: see `_note`.
@np.errstate(invalid="ignore")
def _distances(steps: np.ndarray, threshold: np.ndarray) -> np.ndarray:
    """Distances from a threshold as shares of the root mean square of all steps.

    All channels have steps of one size. Where sums cancel, what is left of a channel
    can be less than 10,000 times their rounding.
    """
    size = np.sqrt(np.mean(np.square(steps, dtype=np.float64)))
    return np.abs(steps - threshold) / np.maximum(size, 1e-30)


@np.errstate(invalid="ignore")
def _margins(values: np.ndarray) -> np.ndarray:
    """Distances from 0 as shares of each channel's root mean square."""
    squares = np.square(values, dtype=np.float64).mean((0, 1))
    return np.abs(values) / np.maximum(np.sqrt(squares), 1e-30)
