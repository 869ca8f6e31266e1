"""Changes to the tables of a `.tflite` file: more operators, other sizes, less ballast.

Imports no TensorFlow.
"""

from typing import Any

import numpy as np

from r2b_keras.converters import tflite_file
from r2b_keras.converters.tflite_file import schema

# Of matrices and filters; no other constants have them.
_WEIGHTS_RANKS = (2, 4)


def add_tensor(
    model: tflite_file.Model,
    graph: Any,
    name: bytes | None,
    shape: tuple[int, ...],
    content: np.ndarray | None = None,
    kind: int = schema.TensorType.FLOAT32,
) -> int:
    """Adds a tensor of a `TensorType`, a constant with `content`; gives its index."""
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), kind
    if content is not None:
        tensor.buffer = add_buffer(model, content.tobytes())
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def make_operator(
    model: tflite_file.Model,
    kind: str,
    inputs: list[int],
    output: int,
    options: Any = None,
    version: int = 1,
) -> Any:
    """An operator that is yet to be put in its place among those of a graph.

    Args:
      model: gets the kind of operator, if it is new there.
      kind: as `tflite_file.operator_name` gives it.
      inputs: indices of tensors.
      output: the index of one.
      options: what the schema has for the kind, such as `AddOptionsT`.
      version: of the kind.
    """
    operator = schema.OperatorT()
    operator.opcodeIndex = _operator_code(model, kind, version)
    operator.inputs = np.array(inputs, np.int32)
    operator.outputs = np.array([output], np.int32)
    if options is not None:
        name = type(options).__name__.removesuffix("T")
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
        operator.builtinOptions = options
    return operator


def _operator_code(model: tflite_file.Model, name: str, version: int) -> int:
    """Index of a kind of operator in one version, added where it is new."""
    builtin = vars(schema.BuiltinOperator).get(name)
    wanted = (
        (schema.BuiltinOperator.CUSTOM, name.encode())
        if builtin is None
        else (builtin, None)
    )
    for index, code in enumerate(model.operatorCodes):
        kind = max(code.builtinCode, code.deprecatedBuiltinCode)
        if (kind, code.customCode or None, code.version) == (*wanted, version):
            return index
    code = schema.OperatorCodeT()
    code.builtinCode, code.customCode = wanted
    code.version = version
    # Old readers know this field only, which ends at 127.
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    model.operatorCodes = [*model.operatorCodes, code]
    return len(model.operatorCodes) - 1


def add_buffer(model: tflite_file.Model, content: bytes) -> int:
    """Adds a buffer and returns its index."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def take_buffer(model: tflite_file.Model, index: int) -> bytes:
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


def add_metadata(model: tflite_file.Model, name: str, buffer: int) -> None:
    """Names a buffer in the file's metadata."""
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), buffer
    model.metadata = [*(model.metadata or []), entry]


def remove_metadata(model: tflite_file.Model, name: str) -> int | None:
    """Removes a name from the metadata and returns its buffer, None if not there."""
    entries = model.metadata or []
    found = [entry for entry in entries if entry.name == name.encode()]
    if not found:
        return None
    model.metadata = [entry for entry in entries if entry not in found] or None
    return int(found[0].buffer)


def remove_ballast(model: tflite_file.Model) -> None:
    """Removes what no interpreter reads: a twentieth of a small file.

    Names of tensors, of which converters make lists of all operators that were merged,
    are cut to the layer's. Weights have the name of the layer that reads them, other
    constants none. Empty tables of quantization go, and the empty buffers of tensors
    that are computed.
    """
    used = [schema.BufferT()]
    places: dict[int, int] = {}
    for index, buffer in enumerate(model.buffers):
        if buffer.data is not None and len(buffer.data):
            places[index] = len(used)
            used.append(buffer)
    model.buffers = used
    for entry in model.metadata or ():
        entry.buffer = places.get(entry.buffer, 0)
    for graph in model.subgraphs:
        interface = {*graph.inputs, *graph.outputs}
        for index, tensor in enumerate(graph.tensors):
            tensor.buffer = places.get(tensor.buffer, 0)
            if tensor.buffer:
                tensor.name = None
            elif index not in interface:
                tensor.name = _layer_name(tensor.name or b"")
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is None:
                tensor.quantization = None
        for operator in graph.operators:
            for index in operator.inputs:
                tensor = graph.tensors[index]
                if index >= 0 and tensor.buffer and len(tensor.shape) in _WEIGHTS_RANKS:
                    tensor.name = graph.tensors[operator.outputs[0]].name


def _layer_name(name: bytes) -> bytes:
    """The layer of a name such as b"network/layer/operator;network/layer/other"."""
    parts = name.split(b";")[0].split(b"/")
    return parts[1] if len(parts) > 1 else name


def with_batch_size(flatbuffer: bytes, batch_size: int) -> bytes:
    """The same network for batches of `batch_size` images."""
    model = tflite_file.parse(flatbuffer)
    set_batch_size(model, batch_size)
    return tflite_file.serialize(model)


def set_batch_size(model: tflite_file.Model, batch_size: int) -> None:
    """Makes of a network one for batches of `batch_size` images.

    Inputs say so, and what `LceDequantize` gives: interpreters infer all other shapes
    when they load it.
    """
    graph = model.subgraphs[0]
    unpacking = tflite_file.operators(model, "LceDequantize")
    for index in (*graph.inputs, *(x.outputs[0] for _, x in unpacking)):
        tensor = graph.tensors[index]
        tensor.shape = np.array([batch_size, *tflite_file.shape(tensor)[1:]], np.int32)
