"""Flatbuffers with one thing wrong, as a converter with a defect would write them."""

import numpy as np

from r2b_keras.converters import binary_operators, tflite_file
from tests.converters.small_flatbuffers import changed

FLOAT32 = tflite_file.schema.TensorType.FLOAT32
CHANGES = {
    "scaled": lambda values: values * np.float32(0.7),
    "rolled": lambda values: np.roll(values, 1),
    "negated": lambda values: -values,
}


def real_constants(flatbuffer):
    """Indices of the float32 constants, those of one number left out."""
    model = tflite_file.parse(flatbuffer)
    return [
        index
        for index, tensor in enumerate(model.subgraphs[0].tensors)
        if tensor.type == FLOAT32 and len(tflite_file.constant(model, tensor)) > 4
    ]


def with_real_constant(flatbuffer, index, change):
    """One float32 constant changed by one of `CHANGES`."""

    def apply(model, graph):
        buffer = model.buffers[graph.tensors[index].buffer]
        values = np.array(buffer.data, np.uint8).view("<f4")
        buffer.data = CHANGES[change](values).astype("<f4").view(np.uint8)

    return changed(flatbuffer, apply)


def num_filters(flatbuffer):
    return tflite_file.count_operators(flatbuffer)[binary_operators.CONVOLUTION]


def with_filter_bit(flatbuffer, number, seed, num_channels=8):
    """One bit of one filter turned, among the first channels that go in."""

    def apply(model, graph):
        convolutions = tflite_file.operators(model, binary_operators.CONVOLUTION)
        tensor = graph.tensors[convolutions[number][1].inputs[1]]
        buffer = model.buffers[tensor.buffer]
        filters = np.array(buffer.data, np.uint8).view("<i4")
        filters = filters.reshape(tflite_file.shape(tensor))
        generator = np.random.default_rng(seed)
        place = tuple(generator.integers(size) for size in filters.shape)
        filters[place] ^= 1 << generator.integers(num_channels)
        buffer.data = filters.view(np.uint8).ravel()

    return changed(flatbuffer, apply)


def all_of(flatbuffer):
    """Each real constant scaled, rolled and negated, each filter with a wrong bit."""
    for index in real_constants(flatbuffer):
        for change in CHANGES:
            name = f"tensor {index} {change}"
            yield name, with_real_constant(flatbuffer, index, change)
    for number in range(num_filters(flatbuffer)):
        yield f"filter {number}", with_filter_bit(flatbuffer, number, number)
