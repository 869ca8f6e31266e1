"""The model card that r2b_keras writes into a `.tflite` file: classes, preprocessing.

It lies in the file's metadata as JSON. The few tables on the way to it are read here,
and each offset is checked against the end of the file. The card's checksum goes with
r2b_keras's way to write the whole file; its commands check it.
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from typing import TYPE_CHECKING, Any

from r2b_runtime.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "r2b_keras.model_card"
FORMAT = 1
FRAMINGS = ("whole", "center")
IDENTIFIER = b"TFL3"
# Fields of the schema's tables by number.
_MODEL_BUFFERS, _MODEL_METADATA = 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a user of the file has to know.

    Attributes:
      class_names: names of the classes, in the order of the outputs.
      image_shape: (height, width, channels) of the input, in pixels.
      mean: one number per channel; a pixel p of 0 to 255 reaches the network as
        (p / 255 - mean) / std.
      std: one positive number per channel.
      framing: "whole" scales the whole picture to the input's size; "center" takes the
        central 224/256 of its shorter side first.
      upright: whether pictures are turned by their EXIF orientation first; networks
        of cards that do not say so were trained on pictures as they are stored.
      recipe: name of the recipe it was trained with, or None.
      stage: the recipe's stage, or None.
      accuracy: top-1 on the recipe's test set, a fraction, or None.
      network: the network's name and options, or None.
      real_weights: how weights that are not binary are stored.
      versions: packages that made the file.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    framing: str = "whole"
    upright: bool = True
    recipe: str | None = None
    stage: int | None = None
    accuracy: float | None = None
    network: dict[str, Any] | None = None
    real_weights: str = "float32"
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes lists, as JSON has them, tuples, and refuses what cannot be used."""
        for name in ("class_names", "image_shape", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        names, shape = self.class_names, self.image_shape
        several = _all_are(str, names) and len(names) > 1
        self._require("class_names", several, "a list of names, at least two")
        sizes = _all_are(int, shape) and len(shape) == 3 and min(shape) >= 1
        self._require(
            "image_shape",
            sizes and shape[-1] in (1, 3),
            "(height, width, channels), positive, with 1 (grey) or 3 (RGB) channels",
        )
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            real = _all_are((int, float), numbers) and all(map(math.isfinite, numbers))
            self._require(
                name,
                real and len(numbers) == shape[-1],
                f"one number for each of the {shape[-1]} channels",
            )
        self._require("std", min(self.std) > 0, "positive numbers")
        self._require("framing", self.framing in FRAMINGS, "whole or center")
        self._require("upright", type(self.upright) is bool, "true or false")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"{name} is {getattr(self, name)!r}, expected {expected}.")


def _all_are(kind: Any, values: Any) -> bool:
    """Whether it is a tuple, not an empty one, of values of a kind."""
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(isinstance(v, kind) and not isinstance(v, bool) for v in values)
    )


def read(flatbuffer: bytes) -> ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    if len(flatbuffer) < 8 or flatbuffer[4:8] != IDENTIFIER:
        raise InputError(
            f"The file is no .tflite file: expected one with a {IDENTIFIER.decode()} "
            "header, as `python -m r2b_keras.convert` makes it."
        )
    try:
        content = _find(flatbuffer)
        if content is None:
            return None
        values = json.loads(content)
        version, _ = values.pop("format"), values.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The .tflite file or its model card is damaged ({error}): copy the file "
            "again, or convert the network again."
        ) from error
    if version != FORMAT:
        raise InputError(
            f"The model card has format {version!r}, this r2b_runtime reads format "
            f"{FORMAT}: update it, or convert the network again."
        )
    return _from_values(values)


def _from_values(values: dict[str, Any]) -> ModelCard:
    known = {field.name for field in dataclasses.fields(ModelCard)}
    unknown = sorted(values.keys() - known)
    try:
        return ModelCard(**{"upright": False, **values})
    except TypeError as error:
        problem = f"does not know {', '.join(unknown)}" if unknown else "finds too few"
        raise InputError(
            f"The model card has the fields {', '.join(values)}, and this r2b_runtime "
            f"{problem}: update it, or convert the network again."
        ) from error


def _find(flatbuffer: bytes) -> bytes | None:
    """The card's JSON.

    Raises:
      ValueError: an offset leads out of the file.
    """
    file = memoryview(flatbuffer)
    model = _Table(file, _unsigned(file, 0))
    for entry in model.tables(_MODEL_METADATA):
        if entry.content(_METADATA_NAME) == NAME.encode():
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
