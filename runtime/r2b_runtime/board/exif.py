"""How a picture file is to be turned: the orientation in its EXIF data.

Pillow's own reading of it has changed over the years (it looks into XMP as well now);
training and boards have to agree.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

JPEG_START = b"\xff\xd8\xff"
PNG_START = b"\x89PNG\r\n\x1a\n"
_ORIENTATION_TAG = 0x0112
_EXIF_START = b"Exif\0\0"
# JPEG's markers of applications (EXIF is the second) and of comments.
_APP0, _APP1, _APP15, _COMMENT = 0xFFE0, 0xFFE1, 0xFFEF, 0xFFFE
_FILL = 0xFFFF


def orientation(content: bytes) -> int:
    """The EXIF orientation of a picture, 1 to 8; 1 is upright or not known."""
    find = _webp_exif
    if content.startswith(JPEG_START):
        find = _jpeg_exif
    elif content.startswith(PNG_START):
        find = _png_exif
    try:
        return _tiff_orientation(find(content))
    except struct.error:
        return 1


def of_metadata(metadata: object) -> int:
    """The orientation in EXIF data that something else has found, 1 if there is none.

    Args:
      metadata: as Pillow has it in `image.info["exif"]`.
    """
    found = metadata if isinstance(metadata, bytes) else b""
    try:
        return _tiff_orientation(found.removeprefix(_EXIF_START))
    except struct.error:
        return 1


def turn(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns a stored picture `[h, w, C]` as its EXIF orientation says."""
    if orientation > 4:
        image = image.transpose(1, 0, 2)
    kind = (orientation - 1) % 4
    return image[:: -1 if kind in (2, 3) else 1, :: -1 if kind in (1, 2) else 1]


def _jpeg_exif(content: bytes) -> bytes:
    """The EXIF data among the segments that come before the picture's own."""
    place = 2
    while True:
        marker, length = struct.unpack_from(">HH", content, place)
        if marker == _FILL:  # any number of these bytes may come before a marker
            place += 1
            continue
        if not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            return b""
        segment = content[place + 4 : place + 2 + length]
        if marker == _APP1 and segment.startswith(_EXIF_START):
            return segment[len(_EXIF_START) :]
        place += 2 + length


def _png_exif(content: bytes) -> bytes:
    """The EXIF data among the chunks that come before the pixels', as they have to."""
    place, name = len(PNG_START), b""
    while name != b"IDAT":
        size, name = struct.unpack_from(">I4s", content, place)
        if name == b"eXIf":
            return content[place + 8 : place + 8 + size]
        place += 12 + size
    return b""


def _webp_exif(content: bytes) -> bytes:
    place = 12
    while place < len(content):
        name, size = struct.unpack_from("<4sI", content, place)
        if name == b"EXIF":
            exif = content[place + 8 : place + 8 + size]
            return exif.removeprefix(_EXIF_START)
        # Chunks are filled up to an even number of bytes.
        place += 8 + size + size % 2
    return b""


def _tiff_orientation(tiff: bytes) -> int:
    """The orientation in EXIF data, which is a list of numbered entries."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind, _ = struct.unpack_from(order + "HHI", tiff, entry)
        if tag == _ORIENTATION_TAG:
            # Two bytes by the standard, four as some write it.
            size = {3: "H", 4: "I"}.get(kind, "H")
            (value,) = struct.unpack_from(order + size, tiff, entry + 8)
            return value if 1 <= value <= 8 else 1
    return 1
