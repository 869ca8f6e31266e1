"""A `.tflite` file as objects: read, checked, changed and written again.

Needs no TensorFlow, so that boards can use it too. The tables and their fields are
those of TensorFlow Lite's schema, version 3.
"""

import collections
import os
import pathlib
import struct
from typing import Any, TypeAlias

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from r2b_keras.converters import table_checks
from r2b_keras.errors import InputError

IDENTIFIER = b"TFL3"
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
      InputError: there is no such file, or it cannot be read.
    """
    name = os.fspath(path)
    try:
        return pathlib.Path(path).read_bytes()
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


def parse(flatbuffer: bytes) -> Model:
    """Reads every table of a flatbuffer and checks that they refer to each other.

    Interpreters trust what they load; a damaged file can crash them.

    Raises:
      InputError: it is no `.tflite` file, is cut off, or contradicts itself.
    """
    if len(flatbuffer) < 8 or flatbuffer[4:8] != IDENTIFIER:
        raise InputError(
            "The file is no .tflite file: expected one that begins with a "
            f"{IDENTIFIER.decode()} header, made with `python -m r2b_keras.convert`."
        )
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(flatbuffer, 0))
        table_checks.check(model)
    except (struct.error, IndexError, ValueError, TypeError, OverflowError) as error:
        raise InputError(
            f"The .tflite file is damaged ({error}): copy it again, or convert the "
            "network again."
        ) from error
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    # An empty list and none at all are written differently, and mean the same.
    model.metadata = model.metadata or None
    for graph in model.subgraphs:
        graph.operators = graph.operators or []
    return model


def serialize(model: Model) -> bytes:
    """Writes the tables as a flatbuffer; equal objects give equal bytes."""
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_buffer(model: Model, content: bytes) -> int:
    """Adds a buffer and returns its index."""
    buffer = _AlignedBuffer()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def take_buffer(model: Model, index: int) -> bytes:
    """Takes the content out of a buffer; the last one is removed, others stay, empty.

    Buffers are known by their places, so one in the middle cannot go.
    """
    data = model.buffers[index].data
    content = b"" if data is None else np.asarray(data, np.uint8).tobytes()
    if index == len(model.buffers) - 1:
        model.buffers.pop()
    else:
        model.buffers[index].data = None
    return content


def shape(tensor: Any) -> tuple[int, ...]:
    """Sizes of a tensor; none for a single number."""
    return () if tensor.shape is None else tuple(map(int, tensor.shape))


def constant(model: Model, tensor: Any) -> bytes:
    """Content of a constant; empty for a tensor that is none."""
    data = model.buffers[tensor.buffer].data
    return b"" if data is None else np.asarray(data, np.uint8).tobytes()


def operator_code(model: Model, name: str, version: int) -> int:
    """Index of a built-in kind of operator in one version, added where it is new."""
    kind = getattr(schema.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
        if not code.customCode and (builtin, code.version) == (kind, version):
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.version = kind, version
    # Old readers know this field only, which ends at 127.
    code.deprecatedBuiltinCode = min(kind, 127)
    model.operatorCodes = [*model.operatorCodes, code]
    return len(model.operatorCodes) - 1


def add_metadata(model: Model, name: str, buffer: int) -> None:
    """Names a buffer in the file's metadata."""
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), buffer
    model.metadata = [*(model.metadata or []), entry]


def remove_metadata(model: Model, name: str) -> int | None:
    """Removes a name from the metadata and returns its buffer, None if not there."""
    entries = model.metadata or []
    found = [entry for entry in entries if entry.name == name.encode()]
    if not found:
        return None
    model.metadata = [entry for entry in entries if entry not in found] or None
    return int(found[0].buffer)


def operator_name(model: Model, operator: Any) -> str:
    """Name of an operator's kind, as `count_operators` gives it."""
    code = model.operatorCodes[operator.opcodeIndex]
    if code.customCode:
        return str(code.customCode.decode())
    # Old files have the kind in the first field only, new ones have both.
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    return table_checks.builtin_names()[kind]


def without_ballast(flatbuffer: bytes) -> bytes:
    """The same network without what no interpreter reads: a twentieth of a small file.

    Names of tensors, of which converters make lists of all operators that were merged,
    are cut to the layer's; empty tables of quantization go.
    """
    model = parse(flatbuffer)
    for graph in model.subgraphs:
        interface = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            if index not in interface:
                tensor.name = _layer_name(tensor.name or b"")
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is None:
                tensor.quantization = None
    return serialize(model)


def _layer_name(name: bytes) -> bytes:
    """The layer of a name such as b"network/layer/operator;network/layer/other"."""
    parts = name.split(b";")[0].split(b"/")
    return parts[1] if len(parts) > 1 else name


def count_operators(flatbuffer: bytes) -> collections.Counter[str]:
    """Counts the operators of a flatbuffer by name.

    Returns:
      How often each operator occurs: custom ones under their own names, such as
      "LceBconv2d", TensorFlow Lite's under the names of its schema, such as "CONV_2D".

    Raises:
      InputError: it is no flatbuffer, or a damaged one.
    """
    model = parse(flatbuffer)
    return collections.Counter(
        operator_name(model, operator)
        for graph in model.subgraphs
        for operator in graph.operators
    )


def with_batch_size(flatbuffer: bytes, batch_size: int) -> bytes:
    """The same network for batches of `batch_size` images.

    Inputs say so, and what `LceDequantize` gives: interpreters infer all other shapes
    when they load it.
    """
    model = parse(flatbuffer)
    graph = model.subgraphs[0]
    unpacked = [
        operator.outputs[0]
        for operator in graph.operators
        if operator_name(model, operator) == "LceDequantize"
    ]
    for index in (*graph.inputs, *unpacked):
        tensor = graph.tensors[index]
        tensor.shape = np.array([batch_size, *shape(tensor)[1:]], np.int32)
    return serialize(model)


def _aligned(buffer: Any) -> _AlignedBuffer:
    aligned = _AlignedBuffer()
    aligned.__dict__.update(buffer.__dict__)
    return aligned
