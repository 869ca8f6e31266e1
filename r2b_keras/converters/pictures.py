"""From a picture file to what the network of a model card sees, without TensorFlow."""

from __future__ import annotations

import os
import pathlib
from typing import TYPE_CHECKING

import numpy as np

from r2b_keras.data.pictures import decode, frame, is_picture, to_channels
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.converters.card import ModelCard


def load(path: str | os.PathLike[str], card: ModelCard) -> np.ndarray:
    """Reads a picture as a network is to see it.

    Args:
      path: a JPEG, PNG or WebP file.
      card: gives input shape, framing, orientation, mean and std.

    Returns:
      `[H, W, C]` float32, C being the card's.

    Raises:
      InputError: the file is missing, broken or of another kind.
    """
    image = read(path, card.image_shape[2], card.upright)
    return normalize(frame(image, card.image_shape[:2], card.framing), card)


def normalize(image: np.ndarray, card: ModelCard) -> np.ndarray:
    """(pixel / 255 - mean) / std.

    Args:
      image: `[..., C]` uint8.
      card: gives mean and std.

    Returns:
      The same shape, float32.
    """
    mean, std = np.array(card.mean), np.array(card.std)
    scale, offset = (1 / (255 * std)).astype("f4"), (-mean / std).astype("f4")
    return image.astype("f4") * scale + offset


def read(
    path: str | os.PathLike[str], channels: int, upright: bool = True
) -> np.ndarray:
    """Decodes a JPEG, PNG or WebP file of any kind; see `data.pictures.decode`.

    Args:
      path: the file.
      channels: 1 for grey, 3 for RGB.
      upright: turn the picture as its EXIF orientation says.

    Returns:
      `[h, w, channels]` uint8.

    Raises:
      InputError: the file is missing, broken or of another kind.
    """
    content = _content(path)
    try:
        return to_channels(decode(content, upright), channels)
    except InputError as error:
        raise InputError(f"{os.fspath(path)} {error}") from error


def _content(path: str | os.PathLike[str]) -> bytes:
    name = os.fspath(path)
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"There is no picture {name}: check its name.") from None
    except IsADirectoryError:
        raise InputError(
            f"{name} is a folder: name the pictures in it, such as {name}/*.jpg."
        ) from None
    except OSError as error:
        raise InputError(
            f"{name} cannot be read ({error.strerror}): mend that or leave it out."
        ) from error
    if not is_picture(content):
        kind = "neither a JPEG nor a PNG nor a WebP picture" if content else "empty"
        raise InputError(f"{name} is {kind}: convert or replace it.")
    return content
