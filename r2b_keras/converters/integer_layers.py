"""Integer layers in a flatbuffer: whole numbers that no other constant gets into.

Larq Compute Engine's converter merges a factor that follows a convolution into its
weights, and an offset before it into its bias; barriers, as `lce_merges` has them,
keep integer layers (`r2b_keras.models.integers`) from both. What is then in the file:

- Weights are whole numbers, stored as int8 with the scale 1 behind a DEQUANTIZE.
- Inputs are whole numbers of 8 bits: a uint8 picture by a CAST, minus a number for each
  channel; or activations by MUL, ADD 0.5, FLOOR, MINIMUM and MAXIMUM.
- One MUL with a number for each channel follows, in which BatchNorm's is merged.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras.converters import (
    graph,
    lce_merges,
    real_weights,
    tflite_edit,
    tflite_file,
)
from r2b_keras.converters.integer_sites import KINDS, WEIGHTS
from r2b_keras.converters.real_weights import Rounded
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.integers import PictureConv2D, integer_layers

_FLOAT32 = tflite_file.schema.TensorType.FLOAT32


@contextlib.contextmanager
def barriers(model: tf.keras.Model) -> Iterator[None]:
    """Puts a barrier to both sides of each integer sum traced inside of the block.

    Another one goes before what is rounded to them, which would be merged into a layer
    before it. What integer layers compute with becomes constants.
    """

    def wrap(
        layer: graph.Layer,
        call: Callable[..., tf.Tensor],
        inputs: tf.Tensor,
        integers: tf.Tensor,
    ) -> tf.Tensor:
        return lce_merges.barrier(call(lce_merges.barrier(inputs), integers))

    def wrap_rounding(
        layer: graph.Layer,
        call: Callable[..., tf.Tensor],
        inputs: tf.Tensor,
        steps: tf.Tensor,
    ) -> tf.Tensor:
        return call(lce_merges.barrier(inputs), steps)

    layers = integer_layers(model)
    rounding = [layer for layer in layers if not isinstance(layer, PictureConv2D)]
    with (
        graph.around(layers, wrap, "sums"),
        graph.around(rounding, wrap_rounding, "quantize"),
        graph.around(rounding, _as_numbers, "steps"),
        graph.around(layers, _as_numbers, "coefficients"),
    ):
        yield


def _as_numbers(layer: graph.Layer, call: Callable[[], Any]) -> Any:
    """What a layer computes with, as numbers: the converter would divide otherwise."""
    with tf.init_scope():
        return tf.nest.map_structure(lambda value: tf.constant(value.numpy()), call())


def finish(model: tf.keras.Model, tables: tflite_file.Model) -> None:
    """Takes the barriers out, stores weights as int8, and merges factors.

    Args:
      model: the network.
      tables: what the converter made of it with `barriers`; they are changed.

    Raises:
      InputError: an integer layer is not there with its integers.
    """
    layers = integer_layers(model)
    if not layers:
        return
    lce_merges.take_barriers_out(tables)
    # Layers of equal weights may have one constant.
    weights = {_weights(layer).tobytes(): layer for layer in layers}
    stored: dict[int, Any] = {}
    for layer in weights.values():
        found = _operators_with(tables, _weights(layer))
        if not found:
            raise InputError(
                f"Layer {layer.name!r} of model {model.name!r} is an integer layer, but"
                " would not be one in the file: expected a network whose scores rest "
                "on it, and in which only r2b_keras's own layers compute with its "
                "weights."
            )
        for operator in found:
            _merge_factors(tables, operator)
            index = int(operator.inputs[WEIGHTS])
            if index not in stored:
                stored[index] = _store(tables, index, _weights(layer))
    operators = tables.subgraphs[0].operators
    tables.subgraphs[0].operators = [*stored.values(), *operators]


def _weights(layer: graph.Layer) -> np.ndarray:
    """A layer's integers as int8, output channels first."""
    integers = layer.coefficients()[0].numpy()
    return np.ascontiguousarray(np.moveaxis(integers, -1, 0)).astype(np.int8)


def _operators_with(model: tflite_file.Model, weights: np.ndarray) -> list[Any]:
    """The operators whose constant weights these are."""
    content = weights.astype("<f4").tobytes()
    return [
        operator
        for kind in KINDS
        for graph, operator in tflite_file.operators(model, kind)
        if tflite_file.constant(model, graph.tensors[operator.inputs[WEIGHTS]])
        == content
    ]


def _store(model: tflite_file.Model, index: int, weights: np.ndarray) -> Any:
    """Stores a tensor of weights as int8; gives what makes float32 of it."""
    tensor = model.subgraphs[0].tensors[index]
    _release(model, tensor)
    stored = tflite_edit.add_buffer(model, weights.tobytes())
    whole = Rounded(weights, np.ones(1, np.float32))
    return real_weights.dequantize(model, index, whole, stored)


def _release(model: tflite_file.Model, tensor: Any) -> None:
    """Makes a constant a tensor without content, which goes if nothing else has it."""
    buffer, tensor.buffer = tensor.buffer, 0
    if all(each.buffer != buffer for x in model.subgraphs for each in x.tensors):
        model.buffers[buffer].data = None


def _merge_factors(model: tflite_file.Model, operator: Any) -> None:
    """Makes one of two multiplications by constants that follow an operator."""
    graph = model.subgraphs[0]
    first = _only_reader(model, operator)
    second = first and _only_reader(model, first)
    if not (first and second):
        return
    factors = [_constant_factor(model, each) for each in (first, second)]
    if factors[0] is None or factors[1] is None:
        return
    product = (factors[0] * factors[1]).astype("<f4")
    index = int(second.inputs[1])
    tensor = graph.tensors[index]
    if sum(index in map(int, each.inputs) for each in graph.operators) > 1:
        return
    _release(model, tensor)
    tensor.shape = np.array(product.shape, np.int32)
    tensor.buffer = tflite_edit.add_buffer(model, product.tobytes())
    second.inputs = np.array([int(operator.outputs[0]), index], np.int32)
    graph.operators = [each for each in graph.operators if each is not first]
    unread = int(first.inputs[1])
    if not any(unread in map(int, each.inputs) for each in graph.operators):
        _release(model, graph.tensors[unread])


def _only_reader(model: tflite_file.Model, operator: Any) -> Any:
    """What alone reads an operator's result; None where it is not one operator."""
    graph, output = model.subgraphs[0], int(operator.outputs[0])
    readers = [each for each in graph.operators if output in map(int, each.inputs)]
    alone = len(readers) == 1 and output not in map(int, graph.outputs)
    return readers[0] if alone else None


def _constant_factor(model: tflite_file.Model, operator: Any) -> np.ndarray | None:
    """What an operator multiplies its first input by, a number for each channel."""
    if tflite_file.operator_name(model, operator) != "MUL":
        return None
    if operator.builtinOptions.fusedActivationFunction:
        return None
    tensor = model.subgraphs[0].tensors[operator.inputs[1]]
    content = tflite_file.constant(model, tensor)
    if tensor.type != _FLOAT32 or not content or len(tflite_file.shape(tensor)) > 1:
        return None
    return np.frombuffer(content, "<f4").reshape(tflite_file.shape(tensor))
