"""What a flatbuffer takes signs of, and what it rounds, read while an engine runs it.

    tapped = sign_taps.Tapped(flatbuffer)
    scores, taps, roundings = tapped.run(tapped.load("r2b_runtime"), images)

The network is run as it is, and what its binary convolutions and its integer layers
read is written behind its scores, as one long output that every engine can give.
Operators are added and none is changed. Needs no TensorFlow.
"""

import dataclasses
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import (
    binary_operators,
    card,
    engines,
    integer_sites,
    tflite_edit,
    tflite_file,
)
from r2b_keras.converters.tflite_file import schema

_FLOAT32, _INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT32
_POOLING = schema.Pool2DOptionsT
_NAME = b"tap"


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


@dataclasses.dataclass(frozen=True)
class Rounding:
    """What an integer layer of a flatbuffer takes.

    Attributes:
      steps: `[N, P, C]` float32, P pixels; what is rounded.
      quantized: the same shape, the whole numbers that the flatbuffer makes of it.
    """

    steps: np.ndarray
    quantized: np.ndarray


class Tapped:
    """A flatbuffer that gives its signs and roundings along with its scores."""

    def __init__(self, flatbuffer: bytes) -> None:
        """Adds the taps.

        Raises:
          InputError: the flatbuffer is damaged.
        """
        model = tflite_file.parse(flatbuffer)
        card.detach(model)
        # Image by image, whatever batches the file is for.
        tflite_edit.set_batch_size(model, 1)
        graph = model.subgraphs[0]
        self._num_classes = tflite_file.shape(graph.tensors[graph.outputs[0]])[1]
        # A picture is taken as it is: no rounding decides about it.
        rounding = [
            (tensor, _shape(graph.tensors[site.quantized]))
            for site in integer_sites.sites(model)
            if site.steps is not None
            for tensor in (site.steps, site.quantized)
        ]
        self._maps = [
            *_packed_maps(model, graph),
            *(_Map(tensor, shape, True) for tensor, shape in rounding),
        ]
        self._num_roundings = len(rounding) // 2
        parts = [_flattened(model, graph, each) for each in self._maps]
        if parts:
            _concatenate(model, graph, parts)
        self._flatbuffer = tflite_file.Flatbuffer(tflite_file.serialize(model))

    def load(self, engine: str) -> engines.Engine:
        """The network in an engine, for `run`.

        Raises:
          InputError: the engine cannot run it.
        """
        return engines.load(self._flatbuffer, engine)

    def run(
        self, engine: engines.Engine, images: np.ndarray
    ) -> tuple[np.ndarray, list[Tap], list[Rounding]]:
        """Scores `[N, K]` of images `[N, H, W, C]`, and what decides about them."""
        outputs = engine.predict(images)
        ends = np.cumsum([self._num_classes, *(each.size for each in self._maps)])
        scores, *flat = np.split(outputs, ends[:-1], axis=1)
        taps = [
            Tap(values.reshape(len(images), -1, each.channels), each.real)
            for each, values in zip(self._maps, flat, strict=True)
        ]
        first = len(taps) - 2 * self._num_roundings
        values = [tap.values for tap in taps[first:]]
        pairs = zip(values[::2], values[1::2], strict=True)
        return scores, taps[:first], [Rounding(*pair) for pair in pairs]


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
        shapes = [_shape(graph.tensors[i]) for i in (source, output)]
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


def _shape(tensor: Any) -> tuple[int, ...]:
    """A tensor's shape for one image: the file has that of its own batch."""
    return (1, *tflite_file.shape(tensor)[1:])


def _pooled(
    model: tflite_file.Model,
    graph: Any,
    operator: Any,
    tensor: int,
    shape: tuple[int, ...],
) -> int:
    """Adds the pooling of real values whose signs an operator pools."""
    given, options = flexbuffers.Loads(bytes(operator.customOptions)), _POOLING()
    options.padding = given["padding"]
    options.strideH, options.strideW = given["stride_height"], given["stride_width"]
    options.filterHeight, options.filterWidth = (
        given[f"filter_{side}"] for side in ("height", "width")
    )
    return _add(model, graph, "MAX_POOL_2D", [tensor], shape, options)


def _flattened(model: tflite_file.Model, graph: Any, each: _Map) -> int:
    """Adds what makes `[1, H * W * C]` numbers of a map."""
    tensor = each.tensor
    if graph.tensors[tensor].type == _INT32:
        kind = binary_operators.DEQUANTIZE
        tensor = _add(model, graph, kind, [tensor], each.shape)
    flat = np.array([1, each.size], np.int32)
    shape = tflite_edit.add_tensor(model, graph, _NAME, flat.shape, flat, _INT32)
    options = schema.ReshapeOptionsT()
    return _add(model, graph, "RESHAPE", [tensor, shape], (1, each.size), options)


def _concatenate(model: tflite_file.Model, graph: Any, parts: list[int]) -> None:
    """Makes one output of the scores and the flat maps."""
    tensors = [int(graph.outputs[0]), *parts]
    sizes = [tflite_file.shape(graph.tensors[tensor])[1] for tensor in tensors]
    options = schema.ConcatenationOptionsT()
    options.axis = 1
    output = _add(model, graph, "CONCATENATION", tensors, (1, sum(sizes)), options)
    graph.outputs = np.array([output], np.int32)


def _add(
    model: tflite_file.Model,
    graph: Any,
    kind: str,
    inputs: list[int],
    shape: tuple[int, ...],
    options: Any = None,
) -> int:
    """Adds an operator at the end, and gives its output, of `shape`."""
    output = tflite_edit.add_tensor(model, graph, _NAME, shape)
    operator = tflite_edit.make_operator(model, kind, inputs, output, options)
    graph.operators = [*graph.operators, operator]
    return output
