"""Flatbuffers of few operators, written by hand: no TensorFlow, in no time."""

import dataclasses

import numpy as np
import pytest
from flatbuffers import flexbuffers

import r2b_runtime
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import card, real_weights, tflite_file
from r2b_keras.errors import InputError
from tests.runtime import graph_files
from tests.runtime.graph_files import GraphFile, num_words, pack

schema = tflite_file.schema


def dense(num_inputs=64, num_classes=3, seed=0):
    """Scores of an image `[1, 1, num_inputs, 1]` by one real-valued matrix product."""
    shape = (num_classes, num_inputs)
    return dense_of(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def dense_of(weights, binary=False):
    """The same of a given matrix `[K, N]`, named "weights".

    With `binary`, the network takes a sign of the image as well.
    """
    num_classes, num_inputs = weights.shape
    file = GraphFile()
    image = file.input("float", (1, 1, num_inputs, 1))
    if binary:
        file.custom(
            "LceQuantize", [image], file.tensor("packed", (1, 1, num_inputs, 1))
        )
    matrix = file.constant("float", weights, name="weights")
    scores = file.tensor("float", (1, num_classes))
    return file.content(file.builtin("FULLY_CONNECTED", [image, matrix, -1], scores))


# Of a network that takes 64 grey pixels in a row.
DENSE_CARD = ModelCard(("apple", "bear", "grüne Gurke"), (1, 64, 1), (0.5,), (0.25,))


def dense_of_card():
    """The network of `DENSE_CARD`, without it."""
    return dense(64, len(DENSE_CARD.class_names))


def custom(name):
    """A network whose only operator is one of somebody else's."""
    file = GraphFile()
    image, scores = file.input("float", (1, 1, 1, 1)), file.tensor("float", (1, 1))
    return file.content(file.custom(name, [image], scores))


BINARY_SHAPE = (4, 5, 33)
BINARY_OPTIONS = graph_files.BINARY_OPTIONS | {"channels_in": 33}


def binary_weights(num_classes=3, seed=0, channels=BINARY_SHAPE[-1]):
    """Filters of -1 and +1 `[K, 3, 3, C]`, multipliers of both signs and biases."""
    generator = np.random.default_rng(seed)
    shape = (num_classes, 3, 3, channels)
    filters = generator.choice(np.array([-1, 1], np.int32), shape)
    multipliers = np.linspace(-0.5, 0.75, num_classes, dtype=np.float32)
    return filters, multipliers, np.arange(num_classes, dtype=np.float32)


def binary(num_classes=3, seed=0, shape=BINARY_SHAPE):
    """Mean over the map of a binary 3x3 convolution, of `shape` to K classes.

    With a padding of ones, 33 channels in two words.
    """
    height, width, channels = shape
    filters, *vectors = binary_weights(num_classes, seed, channels)
    file = GraphFile()
    image = file.input("float", (1, *shape))
    signs = file.tensor("packed", (1, height, width, num_words(channels)))
    constants = [file.constant("packed", packed(filters))]
    constants += [file.constant("float", vector) for vector in vectors]
    sums = file.tensor("float", (1, height, width, num_classes))
    axes = file.constant("packed", np.array([1, 2]))
    scores = file.tensor("float", (1, num_classes))
    file.custom("LceQuantize", [image], signs)
    options = BINARY_OPTIONS | {"channels_in": channels}
    file.custom("LceBconv2d", [signs, *constants, -1], sums, options)
    return file.content(file.builtin("MEAN", [sums, axes], scores))


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
    return pack(values < 0)


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
