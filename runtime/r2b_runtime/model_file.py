"""What a `.tflite` file says of itself: model card, inputs and outputs.

The few tables on the way there are read here, without NumPy and LiteRT.
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
_MODEL_CODES, _MODEL_GRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 1, 2, 4, 6
_METADATA_NAME, _METADATA_BUFFER = 0, 1
_BUFFER_DATA = 0
_CODE_OLD, _CODE_NAME, _CODE_VERSION, _CODE = 0, 1, 2, 3
_GRAPH_TENSORS, _GRAPH_INPUTS, _GRAPH_OUTPUTS, _GRAPH_OPERATORS = 0, 1, 2, 3
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_BUFFER, _TENSOR_NAME = 0, 1, 2, 3
_TENSOR_SIGNATURE = 7
_OPERATOR_CODE, _OPERATOR_INPUTS, _OPERATOR_OUTPUTS, _OPERATOR_OPTIONS = 0, 1, 2, 5
# The schema's types by number.
TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16"),
    *("complex64", "int8", "float64", "complex128", "uint64", "resource", "variant"),
    *("uint32", "uint16", "int4", "bfloat16", "int2", "uint4", "float8_e4m3fn"),
    "float8_e5m2",
)

# More dimensions than LiteRT's operators have, and more letters than people read.
_MOST_SIDES, _LONGEST_NAME = 8, 1000


@dataclasses.dataclass(frozen=True)
class Tensor:
    """What a network takes or gives.

    Attributes:
      name: its name in the file.
      shape: of one inference, (batch, height, width, channels) for images; -1 for a
        side of any length, but the batch, which is that of the file.
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
    if not name or "\0" in name:
        raise InputError(f"The model's name is {name!r}, expected that of a file.")
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


def check(flatbuffer: bytes) -> None:
    """Refuses a file that is cut off, or damaged where an interpreter would follow it.

    Not all of them look before they read beyond its end: `tflite_runtime` does not.

    Raises:
      InputError: it is no flatbuffer, or it is damaged.
    """
    _read(flatbuffer, _walk)


def read_card(flatbuffer: bytes) -> card.ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    content = _read(flatbuffer, _find_card)
    return None if content is None else card.read(flatbuffer, content)


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


def _walk(model: Table) -> None:
    """Follows what leads to tensors, operators and their content.

    Raises:
      ValueError: something lies beyond the file's end, or is not there.
    """
    codes = list(model.tables(_MODEL_CODES))
    for code in codes:
        code.length(_CODE_NAME)
        code.byte(_CODE_OLD)
        code.word(_CODE_VERSION)
        code.word(_CODE)
    buffers = list(model.tables(_MODEL_BUFFERS))
    for buffer in buffers:
        buffer.length(_BUFFER_DATA)
    for graph in model.tables(_MODEL_GRAPHS):
        tensors = list(graph.tables(_GRAPH_TENSORS))
        for tensor in tensors:
            tensor.length(_TENSOR_NAME)
            _sides(tensor)
            if tensor.word(_TENSOR_BUFFER) >= len(buffers):
                raise ValueError("a tensor has no buffer")
        _check_places(tensors, graph.integers(_GRAPH_INPUTS))
        _check_places(tensors, graph.integers(_GRAPH_OUTPUTS))
        for operator in graph.tables(_GRAPH_OPERATORS):
            operator.length(_OPERATOR_OPTIONS)
            if operator.word(_OPERATOR_CODE) >= len(codes):
                raise ValueError("an operator has no code")
            # -1 stands for an input that is left out.
            given = operator.integers(_OPERATOR_INPUTS)
            _check_places(tensors, [place for place in given if place != -1])
            _check_places(tensors, operator.integers(_OPERATOR_OUTPUTS))


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
    _check_places(found, places)
    return [_tensor(found[place]) for place in places]


def _check_places(found: Sequence[Table], places: Sequence[int]) -> None:
    if any(not 0 <= place < len(found) for place in places):
        raise ValueError("something takes or gives a tensor that there is not")


def _tensor(table: Table) -> Tensor:
    number = table.byte(_TENSOR_TYPE)
    kind = TYPES[number] if number < len(TYPES) else f"type {number}"
    # Many tensors of a damaged file may share a name as long as the file, as well as a
    # shape.
    name = table.content(_TENSOR_NAME, _LONGEST_NAME).decode(errors="backslashreplace")
    return Tensor(name, _sides(table), kind)


def _sides(table: Table) -> tuple[int, ...]:
    """The shape of a tensor, -1 for sides that are open."""
    shape = table.integers(_TENSOR_SHAPE, _MOST_SIDES)
    open_sides = table.integers(_TENSOR_SIGNATURE, _MOST_SIDES)
    return shape[:1] + open_sides[1:] if len(open_sides) == len(shape) else shape
