"""Writes `.tflite` files operator by operator; needs no TensorFlow."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

_IDENTIFIER = b"TFL3"
WORD = 32
# What the schema asks for, for the data of constants.
_ALIGNMENT = 16
KINDS = {
    "float": (schema.TensorType.FLOAT32, np.float32),
    "packed": (schema.TensorType.INT32, np.int32),
    "uint8": (schema.TensorType.UINT8, np.uint8),
    "int8": (schema.TensorType.INT8, np.int8),
    "bool": (schema.TensorType.BOOL, np.bool_),
}
# Tables of options, by operator; others have none.
_TABLES = {
    **dict.fromkeys(("MAX_POOL_2D", "AVERAGE_POOL_2D"), "Pool2DOptions"),
    **dict.fromkeys(("MAXIMUM", "MINIMUM"), "MaximumMinimumOptions"),
    "ADD": "AddOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "SOFTMAX": "SoftmaxOptions",
    "SUB": "SubOptions",
}
# Of LceBconv2d, but for its `channels_in`: ones around the map.
BINARY_OPTIONS = {
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": 0,
    "pad_values": 1,
    "padding": 0,
    "stride_height": 1,
    "stride_width": 1,
}


def num_words(channels: int) -> int:
    return -(-channels // WORD)


def pack(bits: np.ndarray) -> np.ndarray:
    """Bits `[..., C]` as words `[..., ceil(C / 32)]`, the first in the lowest bit."""
    *shape, channels = bits.shape
    filled = np.zeros((*shape, WORD * num_words(channels)), np.uint8)
    filled[..., :channels] = bits
    return np.packbits(filled, axis=-1, bitorder="little").view("<i4")


class _AlignedBuffer(schema.BufferT):
    """A buffer at the alignment that the generated writer forgets."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        place = None
        if self.data:
            builder.StartVector(1, len(self.data), _ALIGNMENT)
            builder.head = builder.Head() - len(self.data)
            end = builder.Head() + len(self.data)
            builder.Bytes[builder.Head() : end] = self.data
            place = builder.EndVector()
        schema.BufferStart(builder)
        if place is not None:
            schema.BufferAddData(builder, place)
        return schema.BufferEnd(builder)


class GraphFile:
    """A file that is being written. Tensors are known by the numbers returned."""

    def __init__(self) -> None:
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version = 3
        self.model.subgraphs = [self.graph]
        self.model.buffers = [_AlignedBuffer()]
        self.model.operatorCodes = []
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []

    def tensor(
        self,
        kind: str,
        shape: Sequence[int],
        quantization: tuple[float, int] | None = None,
        buffer: int = 0,
        name: str = "",
    ) -> int:
        """Adds a tensor of one of `KINDS`; quantization is (scale, zero point)."""
        tensor = schema.TensorT()
        tensor.name = (name or f"tensor_{len(self.graph.tensors)}").encode()
        tensor.shape = np.array(shape, np.int32)
        tensor.type, tensor.buffer = KINDS[kind][0], buffer
        if quantization is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(quantization[:1], np.float32)
            tensor.quantization.zeroPoint = np.array(quantization[1:], np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def input(self, kind: str, shape: Sequence[int], *quantization: Any) -> int:
        index = self.tensor(kind, shape, quantization or None)
        self.graph.inputs.append(index)
        return index

    def constant(
        self,
        kind: str,
        values: np.ndarray,
        quantization: tuple[float, int] | None = None,
        name: str = "",
    ) -> int:
        buffer = _AlignedBuffer()
        buffer.data = np.ascontiguousarray(values, KINDS[kind][1]).tobytes()
        self.model.buffers.append(buffer)
        place = len(self.model.buffers) - 1
        return self.tensor(kind, values.shape, quantization, place, name)

    def custom(
        self,
        name: str,
        inputs: Sequence[int],
        output: int,
        options: dict[str, Any] | bytes = b"",
    ) -> int:
        """Adds one of somebody else's operators and returns its output.

        Options are a map, written as a FlexBuffer, or its bytes.
        """
        operator = self._operator("CUSTOM", name, inputs, output)
        raw = flexbuffers.Dumps(options) if isinstance(options, dict) else options
        operator.customOptions = np.frombuffer(bytes(raw), np.uint8)
        return output

    def builtin(
        self, name: str, inputs: Sequence[int], output: int, **options: Any
    ) -> int:
        """Adds an operator of TensorFlow Lite's and returns its output.

        Options are fields of the table that the schema has for the operator.
        """
        operator = self._operator(name, "", inputs, output)
        if table := _TABLES.get(name):
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")()
            vars(operator.builtinOptions).update(options)
        return output

    def content(self, *outputs: int) -> bytes:
        """The file, whose results are the tensors named."""
        self.graph.outputs = list(outputs)
        return self.written()

    def written(self) -> bytes:
        """The file as its tables are now."""
        builder = flatbuffers.Builder(4096)
        builder.Finish(self.model.Pack(builder), _IDENTIFIER)
        return bytes(builder.Output())

    def _operator(
        self, kind: str, name: str, inputs: Sequence[int], output: int
    ) -> schema.OperatorT:
        operator = schema.OperatorT()
        operator.inputs, operator.outputs = list(inputs), [output]
        operator.opcodeIndex = self._code(kind, name)
        self.graph.operators.append(operator)
        return operator

    def _code(self, kind: str, name: str) -> int:
        wanted = getattr(schema.BuiltinOperator, kind), name.encode() or None
        for index, code in enumerate(self.model.operatorCodes):
            if (code.builtinCode, code.customCode) == wanted:
                return index
        code = schema.OperatorCodeT()
        code.builtinCode, code.customCode = wanted
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1


def reopened(content: bytes) -> GraphFile:
    """A file that was written, to be changed."""
    file = GraphFile()
    file.model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    (file.graph,) = file.model.subgraphs
    for index, buffer in enumerate(file.model.buffers):
        aligned = file.model.buffers[index] = _AlignedBuffer()
        if buffer.data is not None:
            aligned.data = np.asarray(buffer.data, np.uint8).tobytes()
    return file
