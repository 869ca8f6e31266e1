"""A `.tflite` file as objects: read, checked, changed and written again.

Imports no TensorFlow. The tables and their fields are those of TensorFlow Lite's
schema, version 3.
"""

import collections
import os
import pathlib
import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from r2b_keras import files
from r2b_keras.board.card import IDENTIFIER, require_tflite
from r2b_keras.converters import table_checks
from r2b_keras.errors import InputError

# What the schema asks for, and some kernels rely on, for the data of constants.
_ALIGNMENT = 16

Model: TypeAlias = schema.ModelT


class _AlignedBuffer(schema.BufferT):
    """A buffer that is written at the alignment that the schema asks for.

    The generated writer ignores the schema's `force_align`.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:
        """Writes the buffer and returns its place."""
        data = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), _ALIGNMENT)
            builder.head = builder.Head() - len(content)
            builder.Bytes[builder.Head() : builder.Head() + len(content)] = content
            data = builder.EndVector()
        schema.BufferStart(builder)
        if data is not None:
            schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Content of a `.tflite` file.

    Raises:
      InputError: there is none, it cannot be read, or it is something else.
    """
    name = os.fspath(path)
    try:
        content = pathlib.Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(
            f"There is no file {name}: expected a converted network, made with "
            "`python -m r2b_keras.convert`."
        ) from None
    except IsADirectoryError:
        raise InputError(
            f"{name} is a folder: expected a .tflite file, such as {name}/model.tflite."
        ) from None
    except OSError as error:
        raise InputError(
            f"{name} cannot be read ({error.strerror}): expected a .tflite file."
        ) from error
    require_tflite(content, name)
    return content


def read_named(paths: Sequence[str]) -> dict[str, bytes]:
    """Contents of files by name: the file's, or the path where two files share one.

    A path that is given again is read again, under a name of its own.

    Raises:
      InputError: a path that leads to no file.
    """
    found: dict[str, bytes] = {}
    for path in paths:
        name = pathlib.Path(path).name
        if len({other for other in paths if pathlib.Path(other).name == name}) > 1:
            name = path
        unique, times = name, 1
        while unique in found:
            times += 1
            unique = f"{name} #{times}"
        found[files.printable(unique)] = read_bytes(path)
    return found


def parse(flatbuffer: bytes) -> Model:
    """Reads every table of a flatbuffer and checks that they refer to each other.

    Interpreters trust what they load; a damaged file can crash them.

    Raises:
      InputError: it is no `.tflite` file, is cut off, or contradicts itself.
    """
    require_tflite(flatbuffer)
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
        table_checks.check(model)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"The .tflite file is damaged ({error}): copy it again, or convert the "
            "network again."
        ) from error
    # An empty list and none at all are written differently, and mean the same.
    model.metadata = model.metadata or None
    for graph in model.subgraphs:
        graph.operators = graph.operators or []
    return model


class Flatbuffer:
    """A `.tflite` file whose tables are read once.

    Attributes:
      content: its bytes.
      model: its tables, to be looked at; what changes them takes those of `parse`.
    """

    def __init__(self, content: bytes) -> None:
        """Reads the tables, see `parse`."""
        self.content = content
        self.model = parse(content)


def read(flatbuffer: bytes | Flatbuffer) -> Flatbuffer:
    """A flatbuffer with its tables, which are read unless they have been."""
    return flatbuffer if isinstance(flatbuffer, Flatbuffer) else Flatbuffer(flatbuffer)


def serialize(model: Model) -> bytes:
    """Writes the tables as a flatbuffer; equal objects give equal bytes."""
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def shape(tensor: Any) -> tuple[int, ...]:
    """Sizes of a tensor; none for a single number."""
    return () if tensor.shape is None else tuple(map(int, tensor.shape))


def name(tensor: Any) -> str:
    """Name of a tensor; empty for one without."""
    return (tensor.name or b"").decode(errors="replace")


def constant(model: Model, tensor: Any) -> bytes:
    """Content of a constant; empty for a tensor that is none."""
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else np.asarray(data, np.uint8).tobytes()


def operator_name(model: Model, operator: Any) -> str:
    """Name of an operator's kind, as `count_operators` gives it."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return str(code.customCode.decode())
    # Old files have the kind in the first field only, new ones have both.
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    return table_checks.builtin_names()[kind]


def count_operators(flatbuffer: bytes | Flatbuffer) -> collections.Counter[str]:
    """Counts the operators of a flatbuffer by name.

    Returns:
      How often each operator occurs: custom ones under their own names, such as
      "LceBconv2d", TensorFlow Lite's under the names of its schema, such as "CONV_2D".

    Raises:
      InputError: it is no flatbuffer, or a damaged one.
    """
    model = read(flatbuffer).model
    return collections.Counter(operator_name(model, x) for _, x in operators(model))


def operators(model: Model, kind: str | None = None) -> list[tuple[Any, Any]]:
    """The operators of a network, or those of one kind, each with its graph."""
    return [
        (graph, operator)
        for graph in model.subgraphs
        for operator in graph.operators
        if kind is None or operator_name(model, operator) == kind
    ]


def _aligned(buffer: Any) -> _AlignedBuffer:
    aligned = _AlignedBuffer()
    aligned.__dict__.update(buffer.__dict__)
    return aligned
