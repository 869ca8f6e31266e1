"""Checks of what Larq Compute Engine's converter made of a network."""

import collections
import math
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from r2b_keras.converters import binary_flow, binary_operators, lce_forms, tflite_file
from r2b_keras.converters.binary_flow import Place, Values
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

_SAME = tflite_file.schema.Padding.SAME


def check(
    model: tf.keras.Model, flow: binary_flow.Flow, content: tflite_file.Model
) -> None:
    """Refuses a flatbuffer that is not what the network is, or that no engine can run.

    Args:
      model: the network.
      flow: what flows in it.
      content: what the converter made of it.

    Raises:
      InputError: an operator is known to no engine, a binary layer has become a
        real-valued one, or a convolution is one that the engine gets wrong.
    """
    for graph, operator in tflite_file.operators(content):
        _check_known(model, content, graph, operator)
    convolutions = tflite_file.operators(content, binary_operators.CONVOLUTION)
    filters = [_filters(content, *convolution) for convolution in convolutions]
    _check_binary_layers(model, flow, collections.Counter(filters))
    for convolution in convolutions:
        _check_map_size(*convolution)


def _check_known(
    model: tf.keras.Model, content: tflite_file.Model, graph: Any, operator: Any
) -> None:
    """Refuses what the converter passes on as it is, for an engine that has it."""
    kind = tflite_file.operator_name(content, operator)
    custom = content.operatorCodes[operator.opcodeIndex].customCode
    if custom and kind not in binary_operators.OPERATORS:
        name = graph.tensors[operator.outputs[0]].name.decode()
        if operator.outputs[0] in graph.outputs:
            name = ", ".join(model.output_names or ())
        raise InputError(
            f"Layer {name!r} of model {model.name!r} cannot be converted: no "
            f"engine has its operation {kind}, expected one that TensorFlow Lite "
            "or Larq Compute Engine has."
        )


def _check_binary_layers(
    model: tf.keras.Model,
    flow: binary_flow.Flow,
    converted: collections.Counter[tuple[Any, ...]],
) -> None:
    """Each binary layer gets signs, and has a binary convolution with its filters."""
    for place in flow.binary:
        filters = _filters_of(place.kernel)
        # The converter takes any ternary quantizer for a sign.
        has_signs = place.values is Values.SIGNS or place.padding is not None
        if not (has_signs and converted[filters]):
            raise InputError(
                f"Layer {place.layer.name!r} of model {model.name!r} is binary, but "
                f"would not be a binary operator: expected {_expected(place)}."
            )
        converted[filters] -= 1


def _expected(place: Place) -> str:
    layer, values = place.layer, place.values
    if values is Values.SIGNS_AND_ZEROS:
        advice = (
            "take signs right before the layer, with a quantizer of larq's to which 0 "
            "is positive"
            if place.padding is None
            else "let the convolution pad by itself, padding='same'"
        )
        return f"inputs of -1 and +1, but they are -1, 0 and +1: {advice}"
    if values is Values.OTHER:
        return "inputs of -1 and +1, which larq's ste_sign gives"
    if type(layer) not in (lq.layers.QuantConv2D, lq.layers.QuantDense):
        kind = type(layer).__name__
        return f"larq's own QuantConv2D or QuantDense, which {kind} is not"
    if getattr(layer, "data_format", None) == "channels_first":
        return "data_format='channels_last'"
    return (
        "a kernel of -1 and +1 or of one magnitude in each filter, in groups of "
        "multiples of 32 channels if at all, a padding with 0 or 1, and an output that "
        "the scores rest on and that no other layer of equal weights computes too"
    )


def _filters_of(kernel: np.ndarray) -> tuple[Any, ...]:
    """The filters of a layer, as `_filters` gives those of an operator."""
    if kernel.ndim == 2:
        kernel = kernel[None, None]
    return _canonical(np.moveaxis(kernel < 0, -1, 0))


def _filters(content: tflite_file.Model, graph: Any, operator: Any) -> tuple[Any, ...]:
    """The filters of a binary convolution, `[C_out, h, w, C_in]` and their signs."""
    tensor = graph.tensors[operator.inputs[1]]
    words = np.frombuffer(tflite_file.constant(content, tensor), "<u4")
    if not words.size:
        name = graph.tensors[operator.outputs[0]].name.decode()
        raise InputError(
            f"Layer {name!r} has many weights, all of one sign, which Larq Compute "
            "Engine's converter does not pack: expected both."
        )
    packed = words.reshape(tflite_file.shape(tensor))
    bits = packed[..., None] >> np.arange(binary_operators.WORD, dtype=np.uint32) & 1
    channels = flexbuffers.Loads(bytes(operator.customOptions))["channels_in"]
    inputs = graph.tensors[operator.inputs[0]]
    groups = tflite_file.shape(inputs)[-1] // packed.shape[-1]
    flat = bits.reshape(*packed.shape[:3], -1)[..., : channels // groups]
    return _canonical(flat.astype(bool))


def _canonical(negative: np.ndarray) -> tuple[Any, ...]:
    """Filters, each negated or not: the converter may turn a filter and its factor."""
    flat = negative.reshape(negative.shape[0], math.prod(negative.shape[1:]))
    turned = flat ^ flat[:, :1]
    return (negative.shape, np.packbits(turned, axis=1).tobytes())


def _check_map_size(graph: Any, operator: Any) -> None:
    """Refuses a convolution that the engine gets wrong; `lce_forms` leaves some."""
    options = flexbuffers.Loads(bytes(operator.customOptions))
    shapes = [graph.tensors[i].shape for i in operator.inputs[:2]]
    dilations = [options[f"dilation_{x}_factor"] for x in ("height", "width")]
    pads_zeros = (options["padding"], options["pad_values"]) == (_SAME, 0)
    if pads_zeros and lce_forms.is_smaller(shapes[0][1:3], shapes[1][1:3], dilations):
        name = graph.tensors[operator.outputs[0]].name.decode()
        raise InputError(
            f"Layer {name!r} convolves maps of {tuple(shapes[0][1:3])} pixels with a "
            f"kernel of {tuple(shapes[1][1:3])}, which Larq Compute Engine gets wrong: "
            "expected larq's own QuantConv2D, or one that pads with ones."
        )
