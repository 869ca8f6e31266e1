"""Flatbuffers with one thing wrong, as a converter with a defect would write them."""

import numpy as np

from r2b_keras.converters import binary_operators, tflite_file
from tests.converters.small_flatbuffers import changed

FLOAT32 = tflite_file.schema.TensorType.FLOAT32
INT8 = tflite_file.schema.TensorType.INT8
CHANGES = {
    "scaled": lambda values: values * np.float32(0.7),
    "rolled": lambda values: np.roll(values, 1),
    "negated": lambda values: -values,
}


def _with_first(value):
    return lambda values: np.concatenate([np.float32([value]), values[1:]])


# Of floats alone: engines take a sign of what is no number.
REAL_CHANGES = {
    **CHANGES,
    "infinite": _with_first(np.inf),
    "no number": _with_first(np.nan),
}


def constants(flatbuffer, kind):
    """Indices of the constants of a type, and how many bytes each has."""
    model = tflite_file.parse(flatbuffer)
    found = [
        (index, len(tflite_file.constant(model, tensor)))
        for index, tensor in enumerate(model.subgraphs[0].tensors)
        if tensor.type == kind
    ]
    return {index: size for index, size in found if size}


def real_constants(flatbuffer):
    """Indices of the float32 constants, those of one number left out."""
    sizes = constants(flatbuffer, FLOAT32)
    return [index for index, size in sizes.items() if size > 4]


def with_real_constant(flatbuffer, index, change, kind="<f4"):
    """One float32 constant, or one of another kind, changed as `REAL_CHANGES` say."""

    def apply(model, graph):
        buffer = model.buffers[graph.tensors[index].buffer]
        values = np.array(buffer.data, np.uint8).view(kind)
        changed_values = REAL_CHANGES[change](values.astype(np.float32))
        if kind != "<f4":
            changed_values = np.rint(changed_values)
        buffer.data = changed_values.astype(kind).view(np.uint8)

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


def of_integer_layers(flatbuffer):
    """Each weight in int8, and each number that stands alone: steps and limits."""
    for index in constants(flatbuffer, INT8):
        for change in CHANGES:
            name = f"integers {index} {change}"
            yield name, with_real_constant(flatbuffer, index, change, "<i1")
    for index, size in constants(flatbuffer, FLOAT32).items():
        for change in ("scaled", "negated") if size == 4 else ():
            name = f"number {index} {change}"
            yield name, with_real_constant(flatbuffer, index, change)


def all_of(flatbuffer):
    """Each real constant with each change, each filter with a wrong bit."""
    for index in real_constants(flatbuffer):
        for change in REAL_CHANGES:
            name = f"tensor {index} {change}"
            yield name, with_real_constant(flatbuffer, index, change)
    for number in range(num_filters(flatbuffer)):
        yield f"filter {number}", with_filter_bit(flatbuffer, number, number)
