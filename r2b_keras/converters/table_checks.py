"""Checks of a flatbuffer's tables: interpreters trust what they load, and crash."""

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from ai_edge_litert import schema_py_generated as schema

# More than any tensor of one image has; a damaged shape would take all memory.
_LARGEST_TENSOR_BYTES = 2**30
_LARGEST_RANK = 8
# Of a tensor, in a message.
_LONGEST_NAME = 80
# Bytes of a number; of other types they differ or are not known.
_SIZES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT32: 4,
    schema.TensorType.INT64: 8,
    schema.TensorType.INT8: 1,
    schema.TensorType.UINT8: 1,
}


def check(model: schema.ModelT) -> None:
    """Checks what the tables of a flatbuffer say of each other.

    Args:
      model: the tables as they were read.

    Raises:
      ValueError: an index leads nowhere, or a size is not what another place says.
    """
    _require(bool(model.subgraphs and model.buffers), "it holds no graph")
    buffers = len(model.buffers)
    for entry in model.metadata or ():
        _require(0 <= entry.buffer < buffers, "metadata have no buffer")
    for code in model.operatorCodes or ():
        # Raises UnicodeDecodeError, a ValueError.
        (code.customCode or b"").decode()
    for graph in model.subgraphs:
        _require(bool(graph.tensors), "a graph has no tensors")
        for tensor in graph.tensors:
            _require(0 <= tensor.buffer < buffers, "a tensor has no buffer")
            _check_size(tensor, model.buffers[tensor.buffer])
        for operator in graph.operators or ():
            _check_operator(operator, model.operatorCodes or (), len(graph.tensors))
        _require(_within(graph.inputs, len(graph.tensors)), "a graph has no input")
        _require(_within(graph.outputs, len(graph.tensors)), "a graph has no output")


def _check_operator(operator: Any, codes: Sequence[Any], num_tensors: int) -> None:
    _require(0 <= operator.opcodeIndex < len(codes), "an operator has no kind")
    code = codes[operator.opcodeIndex]
    kind = max(code.builtinCode, code.deprecatedBuiltinCode)
    _require(bool(code.customCode) or kind in builtin_names(), "unknown kind")
    inputs = operator.inputs if operator.inputs is not None else ()
    # -1 stands for an optional input that is left out.
    _require(all(-1 <= i < num_tensors for i in inputs), "an operator lacks input")
    _require(_within(operator.outputs, num_tensors), "an operator lacks output")


def _within(indices: Any, count: int) -> bool:
    return (
        indices is not None
        and len(indices) > 0
        and all(0 <= index < count for index in indices)
    )


@cache
def builtin_names() -> dict[int, str]:
    """TensorFlow Lite's own operators by their numbers."""
    table = vars(schema.BuiltinOperator).items()
    return {number: name for name, number in table if name.isupper()}


def _check_size(tensor: Any, buffer: Any) -> None:
    """Checks a tensor's shape, and a constant's content against it."""
    name = repr((tensor.name or b"").decode(errors="replace")[:_LONGEST_NAME])
    shape = [int(size) for size in (() if tensor.shape is None else tensor.shape)]
    expected = _SIZES.get(tensor.type, 1) * math.prod(shape)
    possible = len(shape) <= _LARGEST_RANK and min(shape, default=0) >= 0
    possible = possible and expected <= _LARGEST_TENSOR_BYTES
    _require(possible, f"tensor {name} has an impossible shape")
    found = 0 if buffer.data is None else len(buffer.data)
    if found and tensor.type in _SIZES and tensor.sparsity is None:
        _require(
            found == expected,
            f"constant {name} has {found} bytes instead of {expected}",
        )


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
