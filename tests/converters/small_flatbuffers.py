"""Flatbuffers of few operators, written by hand: no TensorFlow, in no time."""

import dataclasses

import numpy as np
import pytest
from flatbuffers import flexbuffers

import r2b_runtime
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import card, real_weights, tflite_edit, tflite_file
from r2b_keras.errors import InputError

schema = tflite_file.schema


class Builder:
    """Puts a graph together, tensor by tensor and operator by operator."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name, shape, kind=schema.TensorType.FLOAT32, buffer=0):
        """Adds a tensor, perhaps with the buffer of another."""
        index = tflite_edit.add_tensor(
            self.model, self.graph, name.encode(), shape, kind=kind
        )
        self.graph.tensors[index].buffer = buffer
        return index

    def constant(self, name, values):
        """Adds a constant of float32 or int32."""
        kinds = {"f": schema.TensorType.FLOAT32, "i": schema.TensorType.INT32}
        name, kind = name.encode(), kinds[values.dtype.kind]
        return tflite_edit.add_tensor(
            self.model, self.graph, name, values.shape, values, kind
        )

    def operator(self, kind, inputs, output, options=None):
        """Adds an operator; the options of LCE's are bytes."""
        custom = isinstance(options, bytes)
        operator = tflite_edit.make_operator(
            self.model, kind, inputs, output, None if custom else options
        )
        if custom:
            operator.customOptions = np.frombuffer(options, np.uint8)
        self.graph.operators.append(operator)

    def dense(self, inputs, weights, output):
        options = schema.FullyConnectedOptionsT()
        self.operator("FULLY_CONNECTED", [inputs, weights, -1], output, options)

    def convolution(self, inputs, weights, bias, output):
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.SAME
        options.strideH = options.strideW = 1
        options.dilationHFactor = options.dilationWFactor = 1
        self.operator("CONV_2D", [inputs, weights, bias], output, options)

    def depthwise(self, inputs, weights, bias, output):
        options = schema.DepthwiseConv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideH = options.strideW = options.depthMultiplier = 1
        options.dilationHFactor = options.dilationWFactor = 1
        self.operator("DEPTHWISE_CONV_2D", [inputs, weights, bias], output, options)

    def sign(self, inputs):
        """Adds a sign that nobody reads: it makes the network a binary one."""
        *shape, channels = self.graph.tensors[inputs].shape
        shape = (*shape, -(-channels // 32))
        packed = self.tensor("signs", shape, schema.TensorType.INT32)
        self.operator("LceQuantize", [inputs], packed)

    def finish(self, inputs, output):
        self.graph.inputs, self.graph.outputs = [inputs], [output]
        return tflite_file.serialize(self.model)


def dense(num_inputs=64, num_classes=3, seed=0):
    """Scores of an image `[1, 1, num_inputs, 1]` by one real-valued matrix product."""
    shape = (num_classes, num_inputs)
    return dense_of(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def dense_of(weights, binary=False):
    """The same of a given matrix `[K, N]`, named "weights".

    With `binary`, the network takes a sign of the image as well.
    """
    builder = Builder()
    image = builder.tensor("image", (1, 1, weights.shape[1], 1))
    if binary:
        builder.sign(image)
    matrix = builder.constant("weights", weights)
    scores = builder.tensor("scores", (1, weights.shape[0]))
    builder.dense(image, matrix, scores)
    return builder.finish(image, scores)


# Of a network that takes 64 grey pixels in a row.
DENSE_CARD = ModelCard(("apple", "bear", "grüne Gurke"), (1, 64, 1), (0.5,), (0.25,))


def dense_of_card():
    """The network of `DENSE_CARD`, without it."""
    return dense(64, len(DENSE_CARD.class_names))


def custom(name):
    """A network whose only operator is one of somebody else's."""
    builder = Builder()
    image, scores = builder.tensor("image", (1, 1, 1, 1)), builder.tensor("s", (1, 1))
    builder.operator(name, [image], scores)
    return builder.finish(image, scores)


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
    filters, multipliers, biases = binary_weights(num_classes, seed)
    height, width, _ = BINARY_SHAPE
    builder = Builder()
    builder.tensor("image", (1, *BINARY_SHAPE))
    builder.tensor("signs", (1, height, width, 2), schema.TensorType.INT32)
    builder.constant("filters", packed(filters))
    builder.constant("multipliers", multipliers)
    builder.constant("biases", biases)
    builder.tensor("map", (1, height, width, num_classes))
    builder.constant("axes", np.array([1, 2], np.int32))
    builder.tensor("scores", (1, num_classes))
    builder.operator("LceQuantize", [0], 1, b"")
    options = flexbuffers.Dumps(BINARY_OPTIONS)
    builder.operator("LceBconv2d", [1, 2, 3, 4, -1], 5, bytes(options))
    builder.operator("MEAN", [5, 6], 7, schema.ReducerOptionsT())
    return builder.finish(0, 7)


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


def shrunk(flatbuffer, kind):
    """A flatbuffer with its real weights rounded, as its card then says."""
    given, model = card.read(flatbuffer), tflite_file.parse(flatbuffer)
    content = tflite_file.serialize(real_weights.shrink(model, kind))
    if given is None:
        return content
    return card.attach(content, dataclasses.replace(given, real_weights=kind))


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
