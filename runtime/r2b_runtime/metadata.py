"""Finds the model card in a `.tflite` file, whose metadata it is part of.

The few tables on the way to it are read here, and each offset is checked against the
end of the file. The card's checksum goes with r2b_keras's way to write the whole file;
its commands check it.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from r2b_runtime.board import card
from r2b_runtime.board.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Fields of the schema's tables by number.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0


def read_card(flatbuffer: bytes) -> card.ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    card.require_tflite(flatbuffer)
    try:
        content = _find(flatbuffer)
    except ValueError as error:
        raise InputError(
            f"The .tflite file is damaged ({error}): copy it again, or convert the "
            "network again."
        ) from error
    return None if content is None else card.from_fields(card.parse(content)[0])


def _find(flatbuffer: bytes) -> bytes | None:
    """The card's JSON.

    Raises:
      ValueError: an offset leads out of the file.
    """
    file = memoryview(flatbuffer)
    model = _Table(file, _unsigned(file, 0))
    for entry in model.tables(_MODEL_METADATA):
        if entry.content(_METADATA_NAME) == card.NAME.encode():
            wanted = entry.number(_METADATA_BUFFER)
            for index, buffer in enumerate(model.tables(_MODEL_BUFFERS)):
                if index == wanted:
                    return buffer.content(_BUFFER_DATA)
            raise ValueError("metadata have no buffer")
    return None


class _Table:
    """A table of a flatbuffer: a list of field offsets, and fields beside it."""

    def __init__(self, file: memoryview, place: int) -> None:
        self._file, self._place = file, place
        (back,) = _unpack("<i", file, place)
        self._offsets = place - back
        (self._num_bytes,) = _unpack("<H", file, self._offsets)

    def _field(self, number: int) -> int | None:
        """Where a field lies, None for one that was left out."""
        entry = 4 + 2 * number
        if entry + 2 > self._num_bytes:
            return None
        (offset,) = _unpack("<H", self._file, self._offsets + entry)
        return self._place + offset if offset else None

    def number(self, number: int) -> int:
        """A number of 32 bits, 0 where it was left out."""
        place = self._field(number)
        return 0 if place is None else _unsigned(self._file, place)

    def content(self, number: int) -> bytes:
        """A string or a list of bytes."""
        start, count = self._vector(number, 1)
        return bytes(self._file[start : start + count])

    def tables(self, number: int) -> Iterator[_Table]:
        """A list of tables."""
        start, count = self._vector(number, 4)
        for place in range(start, start + 4 * count, 4):
            yield _Table(self._file, place + _unsigned(self._file, place))

    def _vector(self, number: int, size: int) -> tuple[int, int]:
        """Start and number of elements."""
        place = self._field(number)
        if place is None:
            return 0, 0
        place += _unsigned(self._file, place)
        count = _unsigned(self._file, place)
        if place + 4 + size * count > len(self._file):
            raise ValueError("a list is longer than the file")
        return place + 4, count


def _unsigned(file: memoryview, place: int) -> int:
    value: int = _unpack("<I", file, place)[0]
    return value


def _unpack(kind: str, file: memoryview, place: int) -> tuple[Any, ...]:
    # Python takes a negative place for one counted from the end.
    if not 0 <= place <= len(file) - struct.calcsize(kind):
        raise ValueError("an offset leads out of the file")
    return struct.unpack_from(kind, file, place)
