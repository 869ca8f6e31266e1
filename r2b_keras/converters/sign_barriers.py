"""Keeps Larq Compute Engine's converter from merging too much into a sign.

Where a sign follows a binary convolution without zero padding, the converter (0.16)
makes the convolution give signs by itself, with one threshold per channel. Of offsets
that differ from pixel to pixel it then takes the first pixel's for all, and over such
factors it crashes. Where a sign follows a max pooling, it takes the signs first, and
forgets a ReLU in between. A barrier before each sign keeps it from both: a maximum with
the lowest number, an operator that the converter leaves alone and that goes afterwards.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras.converters import binary_operators, graph, tflite_file
from r2b_keras.converters.binary_flow import Flow
from r2b_keras.environment import tf

# Nothing else has reason to take the maximum with this number.
_LOWEST = np.float32(-3.21e38)


@contextlib.contextmanager
def applied(flow: Flow) -> Iterator[None]:
    """Puts a barrier before every sign of real numbers that is traced in the block."""

    def wrap(
        layer: graph.Layer,
        call: Callable[..., tf.Tensor],
        inputs: tf.Tensor,
        *args: Any,
        **more: Any,
    ) -> tf.Tensor:
        return call(tf.maximum(inputs, _LOWEST), *args, **more)

    with flow.around_signs(wrap):
        yield


def has_merged_signs(flatbuffer: bytes) -> bool:
    """Whether a binary convolution gives signs by itself."""
    packed = tflite_file.schema.TensorType.INT32
    return any(
        subgraph.tensors[operator.outputs[0]].type == packed
        for subgraph, operator in binary_operators.convolutions(
            tflite_file.parse(flatbuffer)
        )
    )


def has_pooled_signs(flatbuffer: bytes) -> bool:
    """Whether a max pooling takes signs."""
    return bool(tflite_file.count_operators(flatbuffer)["LceBMaxPool2d"])


def has_activated_pools(flatbuffer: bytes) -> bool:
    """Whether a max pooling of real numbers ends in a ReLU."""
    model = tflite_file.parse(flatbuffer)
    return any(
        tflite_file.operator_name(model, operator) == "MAX_POOL_2D"
        and operator.builtinOptions.fusedActivationFunction
        for subgraph in model.subgraphs
        for operator in subgraph.operators
    )


def take_out(flatbuffer: bytes) -> bytes:
    """The same network without the barriers."""
    model = tflite_file.parse(flatbuffer)
    for subgraph in model.subgraphs:
        source: dict[int, int] = {}
        kept = []
        for operator in subgraph.operators:
            inputs = [source.get(int(i), int(i)) for i in operator.inputs]
            operator.inputs = np.array(inputs, np.int32)
            if _is_barrier(model, subgraph, operator):
                source[int(operator.outputs[0])] = inputs[0]
            else:
                kept.append(operator)
        subgraph.operators = kept
    return tflite_file.serialize(model)


def _is_barrier(model: tflite_file.Model, subgraph: Any, operator: Any) -> bool:
    if tflite_file.operator_name(model, operator) != "MAXIMUM":
        return False
    constant = tflite_file.constant(model, subgraph.tensors[operator.inputs[1]])
    return constant == _LOWEST.tobytes()
