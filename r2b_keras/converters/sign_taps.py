"""What a flatbuffer takes signs of, read while an engine runs it.

    tapped = sign_taps.Tapped(flatbuffer, "r2b_runtime")
    scores, taps = tapped.run(images)

The network is run as it is, and what its binary convolutions read is written behind its
scores, as one long output that every engine can give. Operators are added and none is
changed. Needs no TensorFlow.
"""

import dataclasses
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import binary_operators, engines, tflite_file
from r2b_keras.converters.tflite_file import schema

_FLOAT32, _INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT32


@dataclasses.dataclass(frozen=True)
class Tap:
    """A map whose signs a flatbuffer keeps.

    Attributes:
      values: `[N, P, C]` float32, P pixels. Without `real` they are -1 and +1.
      real: whether they are what the sign is taken of. Where a convolution compares
        its whole numbers with thresholds, nothing real is left.
    """

    values: np.ndarray
    real: bool


class Tapped:
    """A flatbuffer in an engine that gives its signs along with its scores."""

    def __init__(self, flatbuffer: bytes, engine: str) -> None:
        """Adds the taps and loads the network.

        Raises:
          InputError: the flatbuffer is damaged, or the engine cannot run it.
        """
        model = tflite_file.parse(flatbuffer)
        graph = model.subgraphs[0]
        self._num_classes = tflite_file.shape(graph.tensors[graph.outputs[0]])[1]
        self._maps = _packed_maps(model, graph)
        parts = [_flattened(model, graph, each) for each in self._maps]
        if parts:
            _concatenate(model, graph, parts)
        self._engine = engines.load(tflite_file.serialize(model), engine)

    def run(self, images: np.ndarray) -> tuple[np.ndarray, list[Tap]]:
        """Scores `[N, K]` of images `[N, H, W, C]`, and what signs are taken of."""
        outputs = self._engine.predict(images)
        ends = np.cumsum([self._num_classes, *(each.size for each in self._maps)])
        scores, *flat = np.split(outputs, ends[:-1], axis=1)
        taps = [
            Tap(values.reshape(len(images), -1, each.channels), each.real)
            for each, values in zip(self._maps, flat, strict=True)
        ]
        return scores, taps


@dataclasses.dataclass(frozen=True)
class _Map:
    """A packed tensor, or the real one that it is made of."""

    tensor: int
    shape: tuple[int, ...]
    real: bool

    @property
    def channels(self) -> int:
        return self.shape[-1]

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))


def _packed_maps(model: tflite_file.Model, graph: Any) -> list[_Map]:
    """The maps of one image, in the order in which the network computes them.

    The maximum of signs is the sign of the maximum, which is added where it is missing.
    """
    found: dict[int, _Map] = {}
    for operator in list(graph.operators):
        output = int(operator.outputs[0])
        name = tflite_file.operator_name(model, operator)
        if name not in binary_operators.OPERATORS:
            continue
        if graph.tensors[output].type != _INT32:
            continue
        source = int(operator.inputs[0])
        shapes = [tflite_file.shape(graph.tensors[i]) for i in (source, output)]
        if name == binary_operators.QUANTIZE:
            real = graph.tensors[source].type == _FLOAT32
            found[output] = _Map(source if real else output, shapes[0], real)
        elif name == binary_operators.CONVOLUTION:
            filters = graph.tensors[operator.inputs[1]]
            shape = (*shapes[1][:3], tflite_file.shape(filters)[0])
            found[output] = _Map(output, shape, False)
        elif source in found:
            shape = (*shapes[1][:3], found[source].channels)
            found[output] = _Map(output, shape, False)
            if found[source].real:
                pooled = _pooled(model, graph, operator, found[source].tensor, shape)
                found[output] = _Map(pooled, shape, True)
    return list(found.values())


def _pooled(
    model: tflite_file.Model,
    graph: Any,
    operator: Any,
    tensor: int,
    shape: tuple[int, ...],
) -> int:
    """Adds the pooling of real values whose signs an operator pools."""
    options = flexbuffers.Loads(bytes(operator.customOptions))
    output = _add_tensor(model, graph, shape)
    pooling = _add_operator(graph, [tensor], output)
    pooling.opcodeIndex = tflite_file.operator_code(model, "MAX_POOL_2D", 1)
    pooling.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
    pooling.builtinOptions = made = schema.Pool2DOptionsT()
    made.padding = options["padding"]
    made.strideH, made.strideW = options["stride_height"], options["stride_width"]
    made.filterHeight = options["filter_height"]
    made.filterWidth = options["filter_width"]
    return output


def _flattened(model: tflite_file.Model, graph: Any, each: _Map) -> int:
    """Adds what makes `[1, H * W * C]` numbers of a map."""
    tensor = each.tensor
    if graph.tensors[tensor].type == _INT32:
        tensor = _add_tensor(model, graph, each.shape)
        operator = _add_operator(graph, [each.tensor], tensor)
        operator.opcodeIndex = _dequantize_code(model)
    flat = _add_tensor(model, graph, (1, each.size))
    shape = _add_tensor(model, graph, (2,), np.array([1, each.size], np.int32))
    operator = _add_operator(graph, [tensor, shape], flat)
    operator.opcodeIndex = tflite_file.operator_code(model, "RESHAPE", 1)
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    return flat


def _concatenate(model: tflite_file.Model, graph: Any, parts: list[int]) -> None:
    """Makes one output of the scores and the flat maps."""
    tensors = [int(graph.outputs[0]), *parts]
    sizes = [tflite_file.shape(graph.tensors[tensor])[1] for tensor in tensors]
    output = _add_tensor(model, graph, (1, sum(sizes)))
    operator = _add_operator(graph, tensors, output)
    operator.opcodeIndex = tflite_file.operator_code(model, "CONCATENATION", 1)
    operator.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    operator.builtinOptions = schema.ConcatenationOptionsT()
    operator.builtinOptions.axis = 1
    graph.outputs = np.array([output], np.int32)


def _dequantize_code(model: tflite_file.Model) -> int:
    wanted = binary_operators.DEQUANTIZE.encode()
    for index, code in enumerate(model.operatorCodes):
        if code.customCode == wanted:
            return index
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode, code.version = wanted, 1
    model.operatorCodes = [*model.operatorCodes, code]
    return len(model.operatorCodes) - 1


def _add_tensor(
    model: tflite_file.Model,
    graph: Any,
    shape: tuple[int, ...],
    content: np.ndarray | None = None,
) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape = b"tap", np.array(shape, np.int32)
    data = b"" if content is None else content.tobytes()
    tensor.type = _FLOAT32 if content is None else _INT32
    tensor.buffer = tflite_file.add_buffer(model, data)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _add_operator(graph: Any, inputs: list[int], output: int) -> Any:
    operator = schema.OperatorT()
    operator.inputs = np.array(inputs, np.int32)
    operator.outputs = np.array([output], np.int32)
    graph.operators = [*graph.operators, operator]
    return operator
