"""Checks a file of rounded real weights against the float32 file that it was made of.

The float32 file is compared with Keras; this one with that. Operators, filters and all
other constants have to be the same to the bit, and a rounded weight the nearest that
its kind has. Written without the code that rounds, and needs no TensorFlow.
"""

import dataclasses
from typing import Any

import numpy as np

from r2b_keras.converters import tflite_file
from r2b_keras.converters.tflite_file import schema

_FLOAT16, _INT8 = schema.TensorType.FLOAT16, schema.TensorType.INT8
_LARGEST_INT8 = 127
# Of float32, in the rounding and in this check.
_FLOAT32_ROUNDING = 1e-4


@dataclasses.dataclass(frozen=True)
class _Rounded:
    """Weights as the engines compute with them, float32 of their shape.

    Attributes:
      values: the rounded weights.
      steps: from each to the next that there is, to be broadcast.
      largest: the largest magnitude that a step allows; infinite for float16.
    """

    values: np.ndarray
    steps: np.ndarray
    largest: np.ndarray

    def is_nearest(self, weights: np.ndarray) -> bool:
        """Whether these are the nearest to float32 weights, and the scale fits."""
        half = (0.5 + _FLOAT32_ROUNDING) * self.steps
        if not (np.abs(self.values - weights) <= half).all():
            return False
        if np.isinf(self.largest).all():
            return True
        axes = tuple(i for i, size in enumerate(self.steps.shape) if size == 1)
        largest = np.abs(weights).max(axes, keepdims=True)
        # A channel without weights to speak of has any scale, and zeros.
        empty = largest < _LARGEST_INT8 * np.finfo(np.float32).tiny
        return bool((empty | np.isclose(largest, self.largest, 1e-6, 0)).all())


def are_in(flatbuffer: bytes) -> bool:
    """Whether a network has real weights in fewer bits than float32.

    Raises:
      InputError: it is no flatbuffer, or a damaged one.
    """
    model = tflite_file.parse(flatbuffer)
    return bool(_take_out(model, model.subgraphs[0]))


def widen(rounded: bytes) -> bytes:
    """The same network with the rounded values as float32 constants.

    Raises:
      InputError: it is no flatbuffer, or a damaged one.
    """
    model = tflite_file.parse(rounded)
    graph = model.subgraphs[0]
    for tensor, found in _take_out(model, graph).items():
        content = np.ascontiguousarray(found.values, "<f4").tobytes()
        graph.tensors[tensor].buffer = tflite_file.add_buffer(model, content)
    return tflite_file.serialize(model)


def problem(exact: bytes, rounded: bytes) -> str | None:
    """What is wrong with a rounded file, None where it is right.

    Args:
      exact: the float32 file.
      rounded: the one with fewer bits.

    Raises:
      InputError: one of them is no flatbuffer, or a damaged one.
    """
    first, second = tflite_file.parse(exact), tflite_file.parse(rounded)
    found = _take_out(second, second.subgraphs[0])
    graphs = first.subgraphs[0], second.subgraphs[0]
    if len(first.subgraphs) != len(second.subgraphs) or _structure(
        first, graphs[0]
    ) != _structure(second, graphs[1]):
        return "its operators are not those of the float32 file"
    for index, tensor in enumerate(graphs[0].tensors):
        other = graphs[1].tensors[index]
        content = tflite_file.constant(first, tensor)
        if index in found:
            weights = np.frombuffer(content, "<f4").reshape(tflite_file.shape(tensor))
            right = found[index].is_nearest(weights)
        else:
            right = content == tflite_file.constant(second, other)
        if not right:
            name = (tensor.name or b"").decode(errors="replace")
            return f"its constant {name!r} is not what the float32 file has"
    return None


def _take_out(model: tflite_file.Model, graph: Any) -> dict[int, _Rounded]:
    """Drops each DEQUANTIZE of a constant; gives its output's values by tensor."""
    kept, found = [], {}
    for operator in graph.operators:
        stored = graph.tensors[operator.inputs[0]]
        name = tflite_file.operator_name(model, operator)
        if name == "DEQUANTIZE" and tflite_file.constant(model, stored):
            found[int(operator.outputs[0])] = _read(model, stored)
        else:
            kept.append(operator)
    graph.operators = kept
    return found


def _read(model: tflite_file.Model, stored: Any) -> _Rounded:
    content, shape = tflite_file.constant(model, stored), tflite_file.shape(stored)
    if stored.type == _FLOAT16:
        values = np.frombuffer(content, "<f2").reshape(shape).astype(np.float32)
        # 10 bits after the first one, which stands for 2**-14 at least.
        exponents = np.frexp(np.maximum(np.abs(values), np.float32(2.0**-14)))[1]
        steps = np.ldexp(np.float32(1), exponents - 11)
        return _Rounded(values, steps, np.full_like(steps, np.inf))
    integers = np.frombuffer(content, "<i1").reshape(shape).astype(np.float32)
    each = [1] * len(shape)
    each[stored.quantization.quantizedDimension] = -1
    steps = np.asarray(stored.quantization.scale, np.float32).reshape(each)
    zeros = np.asarray(stored.quantization.zeroPoint, np.float32).reshape(each)
    return _Rounded((integers - zeros) * steps, steps, _LARGEST_INT8 * steps)


def _structure(model: tflite_file.Model, graph: Any) -> list[Any]:
    """All of a network but for its constants, the tensors that operators use."""
    operators = [
        (
            tflite_file.operator_name(model, operator),
            [*map(int, operator.inputs)],
            [*map(int, operator.outputs)],
            operator.builtinOptionsType,
            _plain(operator.builtinOptions),
            _plain(operator.customOptions),
        )
        for operator in graph.operators
    ]
    used = {index for each in operators for index in (*each[1], *each[2])} - {-1}
    tensors = [
        (index, graph.tensors[index].type, tflite_file.shape(graph.tensors[index]))
        for index in sorted(used)
    ]
    return [operators, tensors, [*map(int, graph.inputs)], [*map(int, graph.outputs)]]


def _plain(value: Any) -> Any:
    """Options as something that can be compared."""
    if isinstance(value, (list, np.ndarray)):
        return np.asarray(value).tolist()
    return (
        {name: _plain(each) for name, each in vars(value).items()}
        if hasattr(value, "__dict__")
        else value
    )
