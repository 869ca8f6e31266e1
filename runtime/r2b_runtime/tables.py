"""Tables of a flatbuffer, whose every offset is checked against the end of the file."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class Table:
    """A table of a flatbuffer: a list of field offsets, and fields beside it.

    Fields go by their number in the schema. Each may have been left out: it is then 0,
    or empty.
    """

    def __init__(self, file: memoryview, place: int) -> None:
        """Finds the table.

        Args:
          file: the whole flatbuffer.
          place: of the table in it, in bytes.

        Raises:
          ValueError: it would lie beyond the file's end, here as in all methods.
        """
        self._file, self._place = file, place
        (back,) = _unpack("<i", file, place)
        self._offsets = place - back
        (self._num_bytes,) = _unpack("<H", file, self._offsets)

    def byte(self, number: int) -> int:
        """A number of 8 bits."""
        return self._number("<B", number)

    def word(self, number: int) -> int:
        """A number of 32 bits without a sign."""
        return self._number("<I", number)

    def content(self, number: int, most: int | None = None) -> bytes:
        """A string or a list of bytes, its first `most` bytes if that is given."""
        start, count = self._vector(number, 1)
        return bytes(self._file[start : start + count][:most])

    def length(self, number: int) -> int:
        """Of a string or a list of bytes, which is not read."""
        return self._vector(number, 1)[1]

    def integers(self, number: int, most: int | None = None) -> tuple[int, ...]:
        """A list of numbers of 32 bits.

        Raises:
          ValueError: also where it has more than `most`.
        """
        start, count = self._vector(number, 4)
        if most is not None and count > most:
            raise ValueError(f"a list has {count} numbers, at most {most} are known")
        return struct.unpack_from(f"<{count}i", self._file, start)

    def tables(self, number: int) -> Iterator[Table]:
        """A list of tables."""
        start, count = self._vector(number, 4)
        for place in range(start, start + 4 * count, 4):
            yield Table(self._file, place + _unsigned(self._file, place))

    def _number(self, kind: str, number: int) -> int:
        place = self._field(number)
        return 0 if place is None else int(_unpack(kind, self._file, place)[0])

    def _field(self, number: int) -> int | None:
        """Where a field lies, None for one that was left out."""
        entry = 4 + 2 * number
        if entry + 2 > self._num_bytes:
            return None
        (offset,) = _unpack("<H", self._file, self._offsets + entry)
        return self._place + offset if offset else None

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


def root(content: bytes) -> Table:
    """The table that a flatbuffer begins with.

    Raises:
      ValueError: an offset leads out of the file.
    """
    file = memoryview(content)
    return Table(file, _unsigned(file, 0))


def _unsigned(file: memoryview, place: int) -> int:
    value: int = _unpack("<I", file, place)[0]
    return value


def _unpack(kind: str, file: memoryview, place: int) -> tuple[Any, ...]:
    # Python takes a negative place for one counted from the end.
    if not 0 <= place <= len(file) - struct.calcsize(kind):
        raise ValueError("an offset leads out of the file")
    return struct.unpack_from(kind, file, place)
