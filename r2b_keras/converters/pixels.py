"""Networks that take pixels: uint8 pictures, with the normalisation inside the file."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras.board import pictures
from r2b_keras.converters import engines, graph
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.integers import PictureConv2D, picture_layer
from r2b_keras.normalisation import Normalisation

# Of a normalised picture; a pixel is 1 / 255 / std, which is more for any std below 39.
WHOLE = 1e-4


def normalisation_of(
    model: tf.keras.Model, given: Normalisation | None
) -> Normalisation | None:
    """How pixels become the input of a network that is to take pixels.

    Args:
      model: the network.
      given: what its user says; None for a network that takes what it was trained on.

    Returns:
      That of a network whose first layer is of integers, and else `given`.

    Raises:
      InputError: the two are not the same.
    """
    layer = picture_layer(model)
    if layer is None or given in (None, layer.normalisation):
        return given if layer is None else layer.normalisation
    raise InputError(
        f"Model {model.name!r} has the mean {layer.normalisation.mean} and std "
        f"{layer.normalisation.std} in it, and {given.mean} and {given.std} came: give "
        "its own, or the recipe that it was trained with."
    )


def for_engine(
    engine: engines.Engine, images: np.ndarray, normalisation: Normalisation | None
) -> np.ndarray:
    """What an engine takes of images `[N, H, W, C]` as its network sees them.

    Raises:
      InputError: it takes pixels, and it is not known what makes them of the images, or
        these are not of whole pixels.
    """
    if not engine.takes_pixels:
        return images
    if normalisation is None:
        raise InputError(
            "The flatbuffer takes pixels, and how the images were made of pixels is not"
            " known: give the normalisation of the data, its mean and std."
        )
    pixels = normalisation.pixels(images)
    difference = np.abs(pictures.normalize(pixels, normalisation) - images)
    if len(images) and difference.max() > WHOLE:
        raise InputError(
            "The flatbuffer takes pixels, and the images are not made of whole ones: "
            f"expected (p / 255 - mean) / std with the mean {normalisation.mean} and "
            f"std {normalisation.std}."
        )
    return pixels


@contextlib.contextmanager
def taken(
    model: tf.keras.Model, normalisation: Normalisation
) -> Iterator[Callable[[tf.Tensor], Any]]:
    """A function from pixels `[N, H, W, C]` uint8 to what the network gives.

    Where the first layer makes pixels of its input, it gets them as they are. The
    function holds inside of the block.
    """
    first = _first_layers(model)
    if not all(isinstance(layer, PictureConv2D) for layer in first):
        yield functools.partial(_normalised, model, normalisation)
        return

    def wrap(layer: graph.Layer, call: Callable[..., tf.Tensor], x: tf.Tensor) -> Any:
        return x

    with graph.around(first, wrap, "pixels"):
        yield lambda images: graph.infer(model, tf.cast(images, tf.float32))


def _first_layers(model: tf.keras.Model) -> list[graph.Layer | None]:
    """What reads the input of a network; [None] where that cannot be told."""
    if not graph.is_graph(model) or len(model.inputs) != 1:
        return [None]
    source = model.inputs[0].node.layer
    return list(dict.fromkeys(node.outbound_layer for node in source.outbound_nodes))


def _normalised(
    model: tf.keras.Model, normalisation: Normalisation, images: tf.Tensor
) -> Any:
    scale, offset = pictures.scale_and_offset(normalisation)
    return graph.infer(model, tf.cast(images, tf.float32) * scale + offset)
