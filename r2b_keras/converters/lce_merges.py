"""What Larq Compute Engine's converter (0.16) merges too far, and how it is undone.

It merges every constant that follows a binary convolution into its multiplier or bias,
a map `[H, W, C]` too, and its interpreter then refuses the file: it takes one number
per channel. `take_maps_out` makes operators of their own of them again.

Where a sign follows a binary convolution without zero padding, the converter makes the
convolution give signs by itself, with one threshold per channel. Of offsets that differ
from pixel to pixel it then takes the first pixel's for all, and over such factors it
crashes. Where a sign follows a max pooling, it takes the signs first, and forgets a
ReLU in between. A barrier before each sign keeps it from both: a maximum with the
lowest number, an operator that the converter leaves alone and that goes afterwards.

A convolution of K products, of which p are -1, with a multiplier m and a bias b gives
p (-2 m) + (K m + b) in the engine, in float32. BatchNorm after a ReLU that lets nothing
through has m = 1 / sqrt(epsilon), and K m has no digits left for b, which is all that
such a channel gives. `take_lost_biases_out` adds b afterwards: without it what ReLU
clamps is 0 exactly.
"""

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import binary_operators, graph, tflite_edit, tflite_file
from r2b_keras.converters.binary_flow import Flow
from r2b_keras.converters.tflite_file import schema
from r2b_keras.environment import tf

# Nothing else has reason to take the maximum with this number.
_LOWEST = np.float32(-3.21e38)
_MULTIPLIER, _BIAS = 2, 3
# Of a bias, in absolute terms: it stands beside normalised activations of about 1. A
# channel that is alive, K m of at most 200, loses a tenth of it.
_LARGEST_LOSS = 1e-4
_FLOAT32_DIGITS = 2.0**-24


@contextlib.contextmanager
def barriers(flow: Flow) -> Iterator[None]:
    """Puts a barrier before every sign of real numbers that is traced in the block."""

    def wrap(
        layer: graph.Layer,
        call: Callable[..., tf.Tensor],
        inputs: tf.Tensor,
        *args: Any,
        **more: Any,
    ) -> tf.Tensor:
        return call(barrier(inputs), *args, **more)

    with flow.around_signs(wrap):
        yield


def barrier(x: tf.Tensor) -> tf.Tensor:
    """The same numbers, in an operator that the converter leaves alone."""
    return tf.maximum(x, _LOWEST)


def has_merged_signs(model: tflite_file.Model) -> bool:
    """Whether a binary convolution gives signs by itself."""
    return any(
        subgraph.tensors[operator.outputs[0]].type == schema.TensorType.INT32
        for subgraph, operator in _convolutions(model)
    )


def has_pooled_signs(model: tflite_file.Model) -> bool:
    """Whether a max pooling takes signs."""
    return bool(tflite_file.operators(model, "LceBMaxPool2d"))


def has_activated_pools(model: tflite_file.Model) -> bool:
    """Whether a max pooling of real numbers ends in a ReLU."""
    return any(
        operator.builtinOptions.fusedActivationFunction
        for _, operator in tflite_file.operators(model, "MAX_POOL_2D")
    )


def take_barriers_out(model: tflite_file.Model) -> None:
    """Removes the barriers."""
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
        outputs = [source.get(int(i), int(i)) for i in subgraph.outputs]
        subgraph.outputs = np.array(outputs, np.int32)


def _is_barrier(model: tflite_file.Model, subgraph: Any, operator: Any) -> bool:
    if tflite_file.operator_name(model, operator) != "MAXIMUM":
        return False
    constant = tflite_file.constant(model, subgraph.tensors[operator.inputs[1]])
    return constant == _LOWEST.tobytes()


def has_maps(model: tflite_file.Model) -> bool:
    """Whether a multiplier or a bias differs from pixel to pixel."""
    return any(
        _is_map(subgraph, operator, position)
        for subgraph, operator in _convolutions(model)
        for position in (_MULTIPLIER, _BIAS)
    )


def take_maps_out(model: tflite_file.Model) -> None:
    """Turns such maps into multiplications and additions of their own."""
    for subgraph, operator in _convolutions(model):
        maps = [_is_map(subgraph, operator, each) for each in (_MULTIPLIER, _BIAS)]
        last = operator
        if maps[0]:
            last = _split(model, subgraph, operator, _MULTIPLIER, last)
        if any(maps):
            # After the multiplication, if there is one now: the bias comes last.
            _split(model, subgraph, operator, _BIAS, last)


def take_lost_biases_out(model: tflite_file.Model) -> None:
    """Turns biases that rounding would lose into additions of their own."""
    for subgraph, operator in _convolutions(model):
        if _loses_bias(model, subgraph, operator):
            _split(model, subgraph, operator, _BIAS, operator)


def _loses_bias(model: tflite_file.Model, subgraph: Any, operator: Any) -> bool:
    """Whether what is left of the bias, where an activation clamps, is not the bias."""
    options = flexbuffers.Loads(bytes(operator.customOptions))
    output = subgraph.tensors[operator.outputs[0]]
    clamps = options["fused_activation_function"] != 0
    if not clamps or output.type != schema.TensorType.FLOAT32:
        return False
    multiplier, bias = (
        np.frombuffer(
            tflite_file.constant(model, subgraph.tensors[operator.inputs[each]]), "<f4"
        )
        for each in (_MULTIPLIER, _BIAS)
    )
    window = tflite_file.shape(subgraph.tensors[operator.inputs[1]])[1:3]
    num_products = int(np.prod(window)) * options["channels_in"]
    loss = num_products * np.abs(multiplier, dtype=np.float64) * _FLOAT32_DIGITS
    return bool(((loss > _LARGEST_LOSS) & (bias != 0)).any())


def _convolutions(model: tflite_file.Model) -> list[tuple[Any, Any]]:
    return tflite_file.operators(model, binary_operators.CONVOLUTION)


def _is_map(subgraph: Any, operator: Any, position: int) -> bool:
    index = operator.inputs[position]
    return index >= 0 and len(subgraph.tensors[index].shape) > 1


def _split(
    model: tflite_file.Model, subgraph: Any, operator: Any, position: int, last: Any
) -> Any:
    """Makes the convolution's constant neutral and applies it after `last`.

    The converter merges a bias of zeros into a map of zeros: that needs no operator.

    Returns:
      What comes last now.
    """
    constant = operator.inputs[position]
    shape = tflite_file.shape(subgraph.tensors[operator.outputs[0]])
    neutral = np.full(shape[-1], position == _MULTIPLIER, np.float32)
    operator.inputs = np.array(operator.inputs, np.int32)
    operator.inputs[position] = tflite_edit.add_tensor(
        model, subgraph, None, neutral.shape, neutral
    )
    values = tflite_file.constant(model, subgraph.tensors[constant])
    if (np.frombuffer(values, "<f4") == neutral[0]).all():
        return last
    output = last.outputs[0]
    subgraph.tensors.append(copy.copy(subgraph.tensors[output]))
    between = len(subgraph.tensors) - 1
    last.outputs = np.array([between], np.int32)
    kind, options = (
        ("MUL", schema.MulOptionsT())
        if position == _MULTIPLIER
        else ("ADD", schema.AddOptionsT())
    )
    made = tflite_edit.make_operator(model, kind, [between, constant], output, options)
    place = next(i for i, each in enumerate(subgraph.operators) if each is last)
    subgraph.operators.insert(place + 1, made)
    return made
