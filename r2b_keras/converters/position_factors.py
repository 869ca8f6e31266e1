"""Factors and offsets that differ from pixel to pixel, behind binary convolutions.

Larq Compute Engine's converter (0.16) merges every constant that follows a binary
convolution into its multiplier or bias, a map `[H, W, C]` too, and its interpreter then
refuses the file: it takes one number per channel.

Where a sign follows right behind, the converter does worse: see `sign_barriers`.
"""

import copy
from typing import Any

import numpy as np

from r2b_keras.converters import binary_operators, tflite_file
from r2b_keras.converters.tflite_file import schema

_MULTIPLIER, _BIAS = 2, 3


def has_maps(flatbuffer: bytes) -> bool:
    """Whether there is something to take out."""
    model = tflite_file.parse(flatbuffer)
    return any(
        _is_map(graph, operator.inputs[k])
        for graph, operator in binary_operators.convolutions(model)
        for k in (_MULTIPLIER, _BIAS)
    )


def take_out(flatbuffer: bytes) -> bytes:
    """Turns such maps into multiplications and additions of their own.

    Returns:
      The same network, the same bytes where there is nothing to do.
    """
    model = tflite_file.parse(flatbuffer)
    changed = [_take_out(model, graph) for graph in model.subgraphs]
    return tflite_file.serialize(model) if any(changed) else flatbuffer


def _take_out(model: tflite_file.Model, graph: Any) -> bool:
    operators: list[Any] = []
    changed = False
    for operator in graph.operators:
        operators.append(operator)
        if tflite_file.operator_name(model, operator) != binary_operators.CONVOLUTION:
            continue
        maps = [_is_map(graph, operator.inputs[k]) for k in (_MULTIPLIER, _BIAS)]
        if maps[0]:
            operators += _split(model, graph, operator, _MULTIPLIER, "MUL", operator)
        if any(maps):
            # After the multiplication, if there is one now: the bias comes last.
            operators += _split(model, graph, operator, _BIAS, "ADD", operators[-1])
            changed = True
    graph.operators = operators
    return changed


def _is_map(graph: Any, index: int) -> bool:
    return index >= 0 and len(graph.tensors[index].shape) > 1


def _split(
    model: tflite_file.Model,
    graph: Any,
    operator: Any,
    position: int,
    kind: str,
    last: Any,
) -> list[Any]:
    """Makes the convolution's constant neutral and applies it after `last`.

    The converter merges a bias of zeros into a map of zeros: that needs no operator.
    """
    constant = operator.inputs[position]
    channels = graph.tensors[operator.outputs[0]].shape[-1]
    neutral = np.full(channels, kind == "MUL", np.float32)
    inputs = np.array(operator.inputs, np.int32)
    inputs[position] = _add_constant(model, graph, constant, neutral)
    operator.inputs = inputs
    values = tflite_file.constant(model, graph.tensors[constant])
    if (np.frombuffer(values, "<f4") == neutral[0]).all():
        return []
    between = copy.copy(graph.tensors[last.outputs[0]])
    between.name = (between.name or b"") + f"/before_{kind.lower()}".encode()
    graph.tensors.append(between)
    output = last.outputs[0]
    last.outputs = np.array([len(graph.tensors) - 1], np.int32)
    return [_elementwise(model, kind, [len(graph.tensors) - 1, constant], output)]


def _add_constant(
    model: tflite_file.Model, graph: Any, like: int, values: np.ndarray
) -> int:
    tensor = copy.copy(graph.tensors[like])
    tensor.name = (tensor.name or b"") + b"/neutral"
    tensor.shape = np.array(values.shape, np.int32)
    tensor.buffer = tflite_file.add_buffer(model, values.tobytes())
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _elementwise(
    model: tflite_file.Model, kind: str, inputs: list[int], output: int
) -> Any:
    operator = schema.OperatorT()
    operator.opcodeIndex = tflite_file.operator_code(model, kind, 1)
    operator.inputs = np.array(inputs, np.int32)
    operator.outputs = np.array([output], np.int32)
    options = {"MUL": "MulOptions", "ADD": "AddOptions"}[kind]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, f"{options}T")()
    return operator
