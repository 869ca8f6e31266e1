"""Checks Larq Compute Engine's operators before its interpreter sees them.

It trusts their options and shapes: a damaged file would crash it, or give scores of
memory that is not the network's. Files with a model card have a checksum against that;
this is for those without one. Needs no TensorFlow.

What stays open: TensorFlow Lite's own operators check themselves, but not completely,
and a flipped bit of a weight is as good as any other without a checksum.
"""

import itertools
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import tflite_file
from r2b_keras.errors import InputError

QUANTIZE, DEQUANTIZE, CONVOLUTION = "LceQuantize", "LceDequantize", "LceBconv2d"
OPERATORS = (QUANTIZE, DEQUANTIZE, CONVOLUTION, "LceBMaxPool2d")
# Channels in one number of a packed tensor.
WORD = 32
# Whole numbers that each option may be, the ends included.
_LARGEST = 2**15
_WINDOW = {
    "padding": (0, 1),
    "stride_height": (1, _LARGEST),
    "stride_width": (1, _LARGEST),
}
_CONVOLUTION = {
    **_WINDOW,
    "channels_in": (1, 2**20),
    "dilation_height_factor": (1, _LARGEST),
    "dilation_width_factor": (1, _LARGEST),
    "fused_activation_function": (0, 5),
    "pad_values": (0, 1),
}
_POOLING = {
    **_WINDOW,
    "filter_height": (1, _LARGEST),
    "filter_width": (1, _LARGEST),
}
# What reading options raises where they are damaged.
_DAMAGE = (
    *(ValueError, LookupError, TypeError, ArithmeticError, AssertionError),
    *(struct.error, RecursionError),
)
_MOST_OPTIONS = 32


def check(model: tflite_file.Model) -> None:
    """Checks options and shapes of the binary operators of a network.

    Raises:
      InputError: one of them cannot be what a converter wrote.
    """
    for graph, operator in tflite_file.operators(model):
        name = tflite_file.operator_name(model, operator)
        try:
            if name in _CHECKS:
                _CHECKS[name](model, graph, operator)
        except ValueError as error:
            raise InputError(
                f"The .tflite file is damaged ({name}: {error} cannot be right): "
                "copy it again, or convert the network again."
            ) from error


def _check_unary(model: tflite_file.Model, graph: Any, operator: Any) -> None:
    inputs = _inputs(operator)
    _require(len(inputs) == 1 and min(inputs) >= 0, "its tensors")


def _check_pooling(model: tflite_file.Model, graph: Any, operator: Any) -> None:
    _check_unary(model, graph, operator)
    _read_options(operator, _POOLING)


def _check_convolution(model: tflite_file.Model, graph: Any, operator: Any) -> None:
    """Filters `[C_out, h, w, words]`, and a number per channel or threshold."""
    options = _read_options(operator, _CONVOLUTION)
    inputs = _inputs(operator)
    _require(len(inputs) == 5 and min(inputs[:2]) >= 0, "its tensors")
    packed, kernel = (graph.tensors[index] for index in inputs[:2])
    activations, filters = tflite_file.shape(packed), tflite_file.shape(kernel)
    int32 = tflite_file.schema.TensorType.INT32
    _require(packed.type == kernel.type == int32, "its filters")
    _require(len(filters) == len(activations) == 4, "its filters")
    _require(bool(tflite_file.constant(model, kernel)), "its filters")
    channels_in, words = options["channels_in"], -(-options["channels_in"] // WORD)
    _require(activations[3] == words and words % filters[3] == 0, "its channels")
    groups = words // filters[3]
    whole = channels_in % (WORD * groups) == 0 and filters[0] % groups == 0
    _require(groups == 1 or whole, "its groups")
    output = graph.tensors[operator.outputs[0]]
    # Multiplier and bias, or the thresholds of an output that is packed again.
    for index in inputs[4:] if output.type == int32 else inputs[2:4]:
        _require(index >= 0, "its numbers per channel")
        numbers = graph.tensors[index]
        known = bool(tflite_file.constant(model, numbers))
        known = known and tflite_file.shape(numbers) == filters[:1]
        _require(known, "its numbers per channel")


_CHECKS: dict[str, Callable[[tflite_file.Model, Any, Any], None]] = {
    QUANTIZE: _check_unary,
    DEQUANTIZE: _check_unary,
    CONVOLUTION: _check_convolution,
    "LceBMaxPool2d": _check_pooling,
}


def _read_options(operator: Any, ranges: dict[str, tuple[int, int]]) -> dict[str, int]:
    """Options by name, a FlexBuffer in the file.

    Raises:
      ValueError: an option is missing or out of range, or they are not written as a
        map is: the engine follows whatever offsets it finds.
    """
    content = operator.customOptions
    raw = b"" if content is None else np.asarray(content, np.uint8).tobytes()
    try:
        entries = flexbuffers.GetRoot(raw).AsMap
        pairs = zip(entries.Keys, entries.Values, strict=False)
        options = {
            key.AsKey: value.AsInt
            for key, value in itertools.islice(pairs, _MOST_OPTIONS)
        }
        # Names lie in the order in which they were written, not in that of the map.
        written = sorted(options, key=lambda name: raw.index(name.encode() + b"\0"))
        again = flexbuffers.Dumps({name: options[name] for name in written})
    except _DAMAGE as error:
        raise ValueError("its options") from error
    _require(bytes(again) == raw, "its options")
    for name, (lowest, largest) in ranges.items():
        _require(lowest <= options.get(name, lowest - 1) <= largest, f"its {name}")
    return options


def _inputs(operator: Any) -> list[int]:
    return [] if operator.inputs is None else [int(i) for i in operator.inputs]


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)
