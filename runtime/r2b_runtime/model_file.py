"""What a `.tflite` file says of itself: model card, inputs and outputs.

The few tables on the way there are read here, without NumPy and LiteRT. The card's
checksum goes with r2b_keras's way to write the whole file; its commands check it.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, TypeVar

from r2b_runtime import tables
from r2b_runtime.board import card
from r2b_runtime.board.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from r2b_runtime.tables import Table

_Found = TypeVar("_Found")

# Fields of the schema's tables by number.
_MODEL_GRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 2, 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS = 0, 1, 2
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME = 0, 1, 3
# The schema's types by number.
TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16"),
    *("complex64", "int8", "float64", "complex128", "uint64", "resource", "variant"),
    *("uint32", "uint16", "int4", "bfloat16", "int2", "uint4", "float8_e4m3fn"),
    "float8_e5m2",
)


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What a network takes or gives.

    Attributes:
      name: its name in the file.
      shape: of one inference, (batch, height, width, channels) for images.
      type: one of `TYPES`.
    """

    name: str
    shape: tuple[int, ...]
    type: str


def read(path: str | os.PathLike[str]) -> bytes:
    """Content of a `.tflite` file.

    Raises:
      InputError: there is no such file, or it is empty or something else.
    """
    name = os.fspath(path)
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"There is no file {name}: expected a .tflite file, as "
            "`python -m r2b_keras.convert` makes it."
        ) from None
    except OSError as error:
        raise InputError(
            f"{name} cannot be read ({error.strerror}): expected a .tflite file."
        ) from error
    card.require_tflite(content, name)
    return content


def read_card(flatbuffer: bytes) -> card.ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    content = _read(flatbuffer, _find_card)
    return None if content is None else card.from_fields(card.parse(content)[0])


def read_tensors(flatbuffer: bytes) -> tuple[list[Tensor], list[Tensor]]:
    """Inputs and outputs of a flatbuffer.

    Raises:
      InputError: it is no flatbuffer, or it is damaged.
    """
    return _read(flatbuffer, _find_tensors)


def _read(flatbuffer: bytes, find: Callable[[Table], _Found]) -> _Found:
    """What is found in the first table; an offset out of the file is damage."""
    card.require_tflite(flatbuffer)
    try:
        return find(tables.root(flatbuffer))
    except ValueError as error:
        raise InputError(
            f"The .tflite file is damaged ({error}): copy it again, or convert the "
            "network again."
        ) from error


def _find_card(model: Table) -> bytes | None:
    """The card's JSON."""
    for entry in model.tables(_MODEL_METADATA):
        if entry.content(_METADATA_NAME) == card.NAME.encode():
            wanted = entry.word(_METADATA_BUFFER)
            for index, buffer in enumerate(model.tables(_MODEL_BUFFERS)):
                if index == wanted:
                    return buffer.content(_BUFFER_DATA)
            raise ValueError("metadata have no buffer")
    return None


def _find_tensors(model: Table) -> tuple[list[Tensor], list[Tensor]]:
    """Those of the first graph; others are parts of its operators."""
    graph = next(model.tables(_MODEL_GRAPHS), None)
    if graph is None:
        raise ValueError("it has no graph")
    found = list(graph.tables(_GRAPH_TENSORS))
    return (
        _chosen(found, graph.integers(_GRAPH_INPUTS)),
        _chosen(found, graph.integers(_GRAPH_OUTPUTS)),
    )


def _chosen(found: Sequence[Table], places: Sequence[int]) -> list[Tensor]:
    if any(not 0 <= place < len(found) for place in places):
        raise ValueError("a graph takes or gives a tensor that there is not")
    return [_tensor(found[place]) for place in places]


def _tensor(table: Table) -> Tensor:
    number = table.byte(_TENSOR_TYPE)
    kind = TYPES[number] if number < len(TYPES) else f"type {number}"
    name = table.content(_TENSOR_NAME).decode(errors="backslashreplace")
    return Tensor(name, table.integers(_TENSOR_SHAPE), kind)
