"""Flatbuffers with real weights, written by hand: no TensorFlow, in no time."""

import numpy as np

from r2b_keras.converters import tflite_file

schema = tflite_file.schema


class Builder:
    """Puts a graph together, tensor by tensor and operator by operator."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.subgraphs = 3, [self.graph]
        self.model.buffers, self.model.operatorCodes = [schema.BufferT()], []
        self.graph.tensors, self.graph.operators = [], []

    def tensor(self, name, shape, values=None, buffer=0):
        """Adds a tensor, a constant with `values` or another's `buffer`."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
        if values is not None:
            content = np.asarray(values, np.float32).tobytes()
            buffer = tflite_file.add_buffer(self.model, content)
        tensor.buffer = buffer
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator(self, kind, inputs, output, options=None, version=1):
        """Adds an operator of a built-in kind."""
        operator = schema.OperatorT()
        operator.opcodeIndex = tflite_file.operator_code(self.model, kind, version)
        operator.inputs, operator.outputs = inputs, [output]
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        self.graph.operators.append(operator)

    def dense(self, inputs, weights, output):
        self.operator(
            "FULLY_CONNECTED",
            [inputs, weights, -1],
            output,
            schema.FullyConnectedOptionsT(),
        )

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

    def add(self, first, second, output):
        self.operator("ADD", [first, second], output, schema.AddOptionsT())

    def sign(self, inputs):
        """Adds a sign that nobody reads: it makes the network a binary one."""
        *shape, channels = self.graph.tensors[inputs].shape
        packed = self.tensor("signs", (*shape, -(-channels // 32)))
        self.graph.tensors[packed].type = schema.TensorType.INT32
        self.operator("CUSTOM", [inputs], packed)
        code = self.model.operatorCodes[self.graph.operators[-1].opcodeIndex]
        code.customCode = b"LceQuantize"

    def finish(self, inputs, output):
        self.graph.inputs, self.graph.outputs = [inputs], [output]
        return tflite_file.serialize(self.model)


def dense(weights, binary=False):
    """Scores of an image `[1, 1, N, 1]` by one matrix `[K, N]`, named "weights".

    With `binary`, the network takes a sign of the image as well.
    """
    builder = Builder()
    image = builder.tensor("image", (1, 1, weights.shape[1], 1))
    if binary:
        builder.sign(image)
    matrix = builder.tensor("weights", weights.shape, weights)
    scores = builder.tensor("scores", (1, weights.shape[0]))
    builder.dense(image, matrix, scores)
    return builder.finish(image, scores)
