"""Flatbuffers of one operator, written by hand: no TensorFlow, in no time."""

import numpy as np

from r2b_keras.converters import tflite_file

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


def _empty():
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [schema.BufferT()]
    return model, graph


def _tensor(name, shape, buffer=0):
    tensor = schema.TensorT()
    tensor.name, tensor.shape = name.encode(), np.array(shape, np.int32)
    tensor.buffer = buffer
    return tensor


def _finish(model, graph, operator, code):
    operator.opcodeIndex = 0
    graph.inputs, graph.outputs = operator.inputs[:1], operator.outputs
    graph.operators, model.operatorCodes = [operator], [code]
    return tflite_file.serialize(model)
