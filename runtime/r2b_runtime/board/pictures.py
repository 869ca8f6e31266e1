"""From a picture file to what a network sees.

The one rule of training, evaluation, `predict` and the board: decode to RGB of 8 bits,
turn upright, make grey by integer luma where the network wants grey, then frame.
`r2b_keras.data.decoding` does the same in TensorFlow's graph, to the bit but for
antialiased scaling, where sums in another order may round to the next level.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import struct
import warnings
import zlib
from typing import TYPE_CHECKING

import numpy as np

from . import exif
from .errors import InputError
from .exif import JPEG_START, PNG_START

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise InputError(
        f"The package pillow, which reads pictures, does not start here ({error}): run "
        "`pip install pillow`."
    ) from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from .card import ModelCard

    class Normalisation(Protocol):
        """What a card, or a recipe's data, says of pixels."""

        @property
        def mean(self) -> tuple[float, ...]:
            """One number per channel, in units of pixel / 255."""

        @property
        def std(self) -> tuple[float, ...]:
            """One positive number per channel, in units of pixel / 255."""


# About metadata, and photos beyond 89 megapixels; at twice that Pillow fails. For good:
# threads that decode side by side would undo what each of them sets for a while.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
FORMATS = ("JPEG", "PNG", "WEBP")
# The framing "center" takes this share of the side that limits, as is usual on
# ImageNet: the shorter side to 256, of which the middle 224.
CENTRAL_SHARE = 224 / 256
# Beyond it, "center" scales with antialiasing; up to it every pixel has a part in the
# result without.
LARGEST_PLAIN_SHRINKING = 2.0
# ITU-R BT.601's luma of red, green and blue in 1 / 65536, as Pillow has it.
LUMA = (19595, 38470, 7471)
# Modes whose levels may have any range, but those of an older Pillow's PNG of 16 bits.
_WIDE = ("I", "F")
# By this name every Pillow has it, Debian 11's too.
_BILINEAR = Image.BILINEAR  # type: ignore[attr-defined]
# What Pillow raises for files that are broken in one way or another.
_BROKEN = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError),
    *(struct.error, zlib.error),
)


def load(path: str | os.PathLike[str], card: ModelCard) -> np.ndarray:
    """Reads a picture as a network is to see it.

    Args:
      path: a JPEG, PNG or WebP file.
      card: gives input shape, framing, orientation, mean and std.

    Returns:
      `[H, W, C]`, C being the card's: float32, normalised, or uint8 for a network that
      takes pixels.

    Raises:
      InputError: the file is missing, broken or of another kind.
    """
    image = read(path, card.image_shape[2], card.upright)
    return prepare_frame(image, card, os.fspath(path))


def prepare(
    picture: str | os.PathLike[str] | Image.Image | np.ndarray, card: ModelCard
) -> np.ndarray:
    """Makes of a picture what a network is to see.

    Args:
      picture: a file, see `load`; an image of Pillow's; or `[h, w, 3]`, `[h, w, 1]` or
        `[h, w]` uint8, as cameras give it, red first. An array of the network's size is
        taken as it is, any other is framed as files are.
      card: gives input shape, framing, orientation, mean and std.

    Returns:
      What `load` returns.

    Raises:
      InputError: it is none of these, or missing or broken.
    """
    if isinstance(picture, (str, os.PathLike)):
        return load(picture, card)
    with _fitting_memory("The picture "):
        return for_network(_framed(picture, card), card)


def prepare_frame(image: np.ndarray, card: ModelCard, subject: str) -> np.ndarray:
    """Makes of a frame of a camera or a file that was read what a network is to see.

    Args:
      image: `[h, w, 1 or 3]` uint8, framed as files are, whatever its size.
      card: gives input shape, framing, mean and std.
      subject: what to call it in messages.

    Returns:
      What `load` returns.

    Raises:
      InputError: memory is too small for it.
    """
    with _fitting_memory(f"{subject} "):
        image = to_channels(image, card.image_shape[2])
        return for_network(frame(image, card.image_shape[:2], card.framing), card)


def _framed(picture: Image.Image | np.ndarray, card: ModelCard) -> np.ndarray:
    """`[H, W, C]` uint8 of an image in memory."""
    size, channels = card.image_shape[:2], card.image_shape[2]
    if isinstance(picture, Image.Image):
        if picture.mode in _WIDE and picture.format != "PNG":
            raise InputError(
                f"The picture has the mode {picture.mode}, numbers of 32 bits, "
                "expected one of 8: scale them to 0 to 255, and convert it."
            )
        turned = exif.of_metadata(picture.info.get("exif")) if card.upright else 1
        try:
            array = exif.turn(_to_rgb(picture), turned)
        except _BROKEN as error:
            raise InputError(
                f"The picture of the mode {picture.mode} cannot be read ({error}): "
                "replace it, or convert it to RGB."
            ) from error
        return frame(to_channels(_checked(array), channels), size, card.framing)
    framed = to_channels(_checked(picture), channels)
    if framed.shape[:2] != size:
        framed = frame(framed, size, card.framing)
    return framed


@contextlib.contextmanager
def _fitting_memory(name: str = "") -> Iterator[None]:
    """Says of a picture that memory is too small for it, after its name."""
    try:
        yield
    except MemoryError as error:
        raise InputError(
            f"{name}has too many pixels for this machine's memory: make it smaller."
        ) from error


def _checked(picture: object) -> np.ndarray:
    """`[h, w, 1 or 3]` uint8 of an array."""
    array = np.asarray(picture)
    if array.ndim == 2:
        array = array[..., None]
    known = array.ndim == 3 and array.shape[-1] in (1, 3) and array.size
    if array.dtype != np.uint8 or not known:
        raise InputError(
            f"The picture is {array.dtype} of the shape {array.shape}, expected uint8 "
            "of the shape (height, width, 3), or with 1 for grey."
        )
    return array


def for_network(image: np.ndarray, card: ModelCard) -> np.ndarray:
    """A framed picture as the network takes it: normalised, or the pixels."""
    return image if card.input_type == "uint8" else normalize(image, card)


def normalize(image: np.ndarray, card: Normalisation) -> np.ndarray:
    """(pixel / 255 - mean) / std.

    Args:
      image: `[..., C]` uint8.
      card: gives mean and std.

    Returns:
      The same shape, float32.
    """
    scale, offset = scale_and_offset(card)
    return image.astype("f4") * scale + offset


def scale_and_offset(card: Normalisation) -> tuple[np.ndarray, np.ndarray]:
    """1 / (255 std) and -mean / std, float32 `[C]`: one product and one sum a pixel."""
    mean, std = np.array(card.mean), np.array(card.std)
    return (1 / (255 * std)).astype("f4"), (-mean / std).astype("f4")


def read(
    path: str | os.PathLike[str], channels: int, upright: bool = True
) -> np.ndarray:
    """Decodes a JPEG, PNG or WebP file of any kind; see `decode`.

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
    with _named(path), _fitting_memory():
        return to_channels(decode(content, upright), channels)


@contextlib.contextmanager
def _named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts a file's name before what is said of it."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{os.fspath(path)} {error}") from error


def _content(path: str | os.PathLike[str]) -> bytes:
    name = os.fspath(path)
    if not name or "\0" in name:
        raise InputError(f"A picture's name is {name!r}, expected that of a file.")
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        if os.path.islink(path):
            raise InputError(
                f"{name} is a link to {os.readlink(path)}, which is not there: mend "
                "the link or leave it out."
            ) from None
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


def is_picture(start: bytes) -> bool:
    """Whether the first 12 bytes of a file are those of a JPEG, PNG or WebP picture."""
    is_webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return is_webp or start.startswith((JPEG_START, PNG_START))


def decode(content: bytes, upright: bool = True) -> np.ndarray:
    """Decodes a JPEG, PNG or WebP picture of any kind.

    Transparency is dropped, not blended. Of 16 bits the upper 8 count. What a file says
    of its colours (gamma, profile) is not looked at.

    Args:
      content: the whole file.
      upright: turn the picture as its EXIF orientation says.

    Returns:
      `[h, w, 3]` uint8.

    Raises:
      InputError: the picture is broken or too large; the sentence lacks its subject.
    """
    image: Image.Image
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            image.load()
            orientation = exif.orientation(content) if upright else 1
            return exif.turn(_to_rgb(image), orientation)
    except Image.DecompressionBombError as error:
        raise InputError(f"has too many pixels ({error}): make it smaller.") from error
    except UnidentifiedImageError as error:
        raise InputError("is broken: replace it.") from error
    except _BROKEN as error:
        raise InputError(f"is broken or cut off ({error}): replace it.") from error


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Grey by luma, or grey three times over.

    Args:
      image: `[..., 1 or 3]` uint8.
      channels: 1 for grey, 3 for RGB.

    Returns:
      `[..., channels]` uint8.
    """
    if image.shape[-1] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=-1)
    grey = image.astype(np.int32) @ np.array(LUMA, np.int32) + 0x8000 >> 16
    return grey[..., None].astype(np.uint8)


def frame(image: np.ndarray, size: Sequence[int], framing: str) -> np.ndarray:
    """Cuts and scales a picture to the network's size.

    Args:
      image: `[h, w, C]` uint8.
      size: (height, width) wanted.
      framing: "whole" scales all of it, antialiased; "center" the central 224/256 of
        the side that limits, antialiased only where it shrinks by more than 2.

    Returns:
      `[H, W, C]` uint8.
    """
    if framing == "whole":
        return _resize_antialiased(image, size)
    image = _central_window(image, size)
    if max(np.divide(image.shape[:2], size)) > LARGEST_PLAIN_SHRINKING:
        return _resize_antialiased(image, size)
    return _resize_plain(image, size)


def _to_rgb(image: Image.Image) -> np.ndarray:
    """[h, w, 3] uint8, without transparency."""
    if image.mode.startswith("I"):
        grey = np.asarray(image) >> 8
        return to_channels(grey[..., None].astype(np.uint8), 3)
    if image.mode == "LA":
        return to_channels(np.asarray(image)[..., :1], 3)
    if image.mode not in ("RGB", "RGBA"):
        # By RGBA, as a palette may have transparent colours.
        image = image.convert("RGBA" if image.mode == "P" else "RGB")
    return np.asarray(image)[..., :3]


def _central_window(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The central share of a picture with the sides' ratio of `size`, in float32."""
    available, wanted = np.array(image.shape[:2]), np.array(size)
    ratio = np.min(available.astype("f4") / wanted.astype("f4"))
    exact = np.float32(CENTRAL_SHARE) * ratio * wanted.astype("f4")
    height, width = np.maximum(np.rint(exact).astype(int), 1)
    top, left = (available - (height, width)) // 2
    return image[top : top + height, left : left + width]


def _resize_antialiased(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear, the triangle as wide as the step; Pillow's, in float32."""
    channels = [
        Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32)).resize(
            (size[1], size[0]), _BILINEAR
        )
        for channel in range(image.shape[2])
    ]
    return _round(np.stack([np.asarray(channel) for channel in channels], axis=-1))


def _resize_plain(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear between the nearest two pixels; Pillow's is always antialiased."""
    top, bottom, down = _neighbours(image.shape[0], size[0])
    left, right, across = _neighbours(image.shape[1], size[1])

    def blend_columns(rows: np.ndarray) -> np.ndarray:
        first = image[np.ix_(rows, left)].astype(np.float32)
        return first + (image[np.ix_(rows, right)] - first) * across[:, None]

    upper = blend_columns(top)
    return _round(upper + (blend_columns(bottom) - upper) * down[:, None, None])


def _neighbours(length: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `size` pixels: the two of `length` beside it, share of the second."""
    step = np.float32(length) / np.float32(size)
    place = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * step
    place -= np.float32(0.5)
    first = np.floor(place)
    low = np.maximum(first, 0).astype(int)
    high = np.minimum(np.ceil(place), length - 1).astype(int)
    return low, high, place - first


def _round(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
