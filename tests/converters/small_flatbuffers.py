"""Flatbuffers of few operators, written by hand: no TensorFlow, in no time."""

import numpy as np
import pytest
from flatbuffers import flexbuffers

import r2b_runtime
from r2b_keras.converters import tflite_file
from r2b_keras.errors import InputError

schema = tflite_file.schema


def dense(num_inputs=64, num_classes=3, seed=0):
    """Scores of an image `[1, 1, num_inputs, 1]` by one real-valued matrix product."""
    model, graph = _empty()
    shape = (num_classes, num_inputs)
    weights = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    buffer = tflite_file.add_buffer(model, weights.tobytes())
    graph.tensors = [
        _tensor("image", (1, 1, num_inputs, 1)),
        _tensor("weights", shape, buffer),
        _tensor("scores", (1, num_classes)),
    ]
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.inputs, operator.outputs = [0, 1, -1], [2]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    code.builtinCode = schema.BuiltinOperator.FULLY_CONNECTED
    code.deprecatedBuiltinCode = code.builtinCode
    return _finish(model, graph, operator, code)


def custom(name):
    """A network whose only operator is one of somebody else's."""
    model, graph = _empty()
    graph.tensors = [_tensor("image", (1, 1, 1, 1)), _tensor("scores", (1, 1))]
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    operator.inputs, operator.outputs = [0], [1]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = name.encode()
    return _finish(model, graph, operator, code)


BINARY_SHAPE = (4, 5, 33)
BINARY_OPTIONS = {
    "channels_in": 33,
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": 0,
    "pad_values": 1,
    "padding": 0,
    "stride_height": 1,
    "stride_width": 1,
}


def binary_weights(num_classes=3, seed=0):
    """Filters of -1 and +1 `[K, 3, 3, C]`, multipliers of both signs and biases."""
    generator = np.random.default_rng(seed)
    shape = (num_classes, 3, 3, BINARY_SHAPE[-1])
    filters = generator.choice(np.array([-1, 1], np.int32), shape)
    multipliers = np.linspace(-0.5, 0.75, num_classes, dtype=np.float32)
    return filters, multipliers, np.arange(num_classes, dtype=np.float32)


def binary(num_classes=3, seed=0):
    """Mean over the map of a binary 3x3 convolution, `BINARY_SHAPE` to K classes.

    With a padding of ones, 33 channels in two words.
    """
    model, graph = _empty()
    filters, multipliers, biases = binary_weights(num_classes, seed)
    height, width, _ = BINARY_SHAPE
    graph.tensors = [
        _tensor("image", (1, *BINARY_SHAPE)),
        _tensor("signs", (1, height, width, 2), kind="INT32"),
        _constant(model, "filters", packed(filters), "INT32"),
        _constant(model, "multipliers", multipliers),
        _constant(model, "biases", biases),
        _tensor("map", (1, height, width, num_classes)),
        _constant(model, "axes", np.array([1, 2], np.int32), "INT32"),
        _tensor("scores", (1, num_classes)),
    ]
    operators = [
        ("LceQuantize", [0], [1], b""),
        ("LceBconv2d", [1, 2, 3, 4, -1], [5], flexbuffers.Dumps(BINARY_OPTIONS)),
        ("MEAN", [5, 6], [7], None),
    ]
    graph.operators, model.operatorCodes = [], []
    for index, (name, inputs, outputs, options) in enumerate(operators):
        operator, code = schema.OperatorT(), schema.OperatorCodeT()
        operator.opcodeIndex, operator.inputs, operator.outputs = index, inputs, outputs
        kind = schema.BuiltinOperator.MEAN
        if options is None:
            operator.builtinOptionsType = schema.BuiltinOptions.ReducerOptions
            operator.builtinOptions = schema.ReducerOptionsT()
        else:
            operator.customOptions = np.frombuffer(options, np.uint8)
            code.customCode, kind = name.encode(), schema.BuiltinOperator.CUSTOM
        code.builtinCode = code.deprecatedBuiltinCode = kind
        graph.operators.append(operator)
        model.operatorCodes.append(code)
    graph.inputs, graph.outputs = [0], [7]
    return tflite_file.serialize(model)


def grouped():
    """`binary` of 4 classes and 128 channels in two groups."""

    def change(model, graph):
        image, signs = graph.tensors[:2]
        image.shape, signs.shape = [1, 4, 5, 128], [1, 4, 5, 4]
        options = flexbuffers.Dumps({**BINARY_OPTIONS, "channels_in": 128})
        graph.operators[1].customOptions = np.frombuffer(options, np.uint8)

    return changed(binary(4), change)


def binary_scores(images, num_classes=3, seed=0):
    """What `binary` computes, in NumPy."""
    filters, multipliers, biases = binary_weights(num_classes, seed)
    signs = np.where(images >= 0, 1, -1)
    signs = np.pad(signs, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=1)
    height, width, _ = BINARY_SHAPE
    sums = sum(
        np.einsum(
            "nhwc,kc->nhwk", signs[:, y : y + height, x : x + width], filters[:, y, x]
        )
        for y in range(3)
        for x in range(3)
    )
    return (sums * multipliers + biases).mean(axis=(1, 2))


def packed(values):
    """Signs as bits, a set one for -1, the first channel in the lowest bit."""
    *shape, channels = values.shape
    bits = np.zeros((*shape, -(-channels // 32) * 32), np.uint8)
    bits[..., :channels] = values < 0
    return np.packbits(bits, axis=-1, bitorder="little").view("<i4")


def refusal(function, *arguments, **options):
    """The message that a call of either package ends in: one short sentence."""
    with pytest.raises((InputError, r2b_runtime.InputError)) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and " object at " not in message
    assert message.endswith(".") and len(message) < 400
    return message


def changed(flatbuffer, change):
    """A flatbuffer after `change(model, first graph)`."""
    model = tflite_file.parse(flatbuffer)
    change(model, model.subgraphs[0])
    return tflite_file.serialize(model)


def tensor(make, index, **fields):
    """What `make` makes, but one of its tensors has other fields."""

    def change(model, graph):
        for name, value in fields.items():
            setattr(graph.tensors[index], name, value)

    return changed(make(), change)


def _constant(model, name, values, kind="FLOAT32"):
    buffer = tflite_file.add_buffer(model, values.tobytes())
    return _tensor(name, values.shape, buffer, kind)


def _empty():
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    return model, graph


def _tensor(name, shape, buffer=0, kind="FLOAT32"):
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
    tensor.buffer, tensor.type = buffer, getattr(schema.TensorType, kind)
    return tensor


def _finish(model, graph, operator, code):
    operator.opcodeIndex = 0
    graph.inputs, graph.outputs = operator.inputs[:1], operator.outputs
    graph.operators, model.operatorCodes = [operator], [code]
    return tflite_file.serialize(model)
