"""Where the integer layers of a flatbuffer are; needs no TensorFlow."""

import dataclasses
from typing import Any

from r2b_keras.converters import real_weights, tflite_file
from r2b_keras.errors import InputError

# Operators that an integer layer can be, and which of their inputs its weights are.
KINDS = ("CONV_2D", "FULLY_CONNECTED")
WEIGHTS = 1


@dataclasses.dataclass(frozen=True)
class Site:
    """An integer layer in a flatbuffer.

    Attributes:
      quantized: the tensor that it takes, whole numbers.
      steps: the tensor that is rounded to them, as many numbers, of another shape
        where they are flattened; None for a picture.
    """

    quantized: int
    steps: int | None


def sites(model: tflite_file.Model) -> list[Site]:
    """The integer layers of a flatbuffer, in the order in which it computes them.

    Raises:
      InputError: what one of them takes is neither rounded nor a picture.
    """
    graph = model.subgraphs[0]
    makers = {int(each.outputs[0]): each for each in graph.operators}
    found = []
    for operator in graph.operators:
        if tflite_file.operator_name(model, operator) not in KINDS:
            continue
        maker = makers.get(int(operator.inputs[WEIGHTS]))
        if maker is None or not real_weights.is_whole(model, graph, maker):
            continue
        quantized = int(operator.inputs[0])
        found.append(Site(quantized, _steps(model, makers, quantized)))
    return found


def _steps(
    model: tflite_file.Model, makers: dict[int, Any], quantized: int
) -> int | None:
    """The tensor of which ADD 0.5, FLOOR and the limits make `quantized`.

    None for a picture: pixels, by a CAST, with or without an offset. (One that is made
    again of normalised pixels, as where something else reads these, is rounded as
    activations are, and has an offset.)
    """

    def kind(index: int) -> str:
        maker = makers.get(index)
        return "" if maker is None else tflite_file.operator_name(model, maker)

    def source(index: int, *passed: str) -> int:
        while kind(index) in passed:
            index = int(makers[index].inputs[0])
        return index

    if kind(source(quantized, "SUB", "ADD")) == "CAST":
        return None
    # The converter may round before it flattens a map.
    limits = ("MINIMUM", "MAXIMUM", "RELU")
    rounded = source(quantized, "RESHAPE", "SUB", "ADD", *limits)
    added = int(makers[rounded].inputs[0]) if kind(rounded) == "FLOOR" else -1
    if kind(added) != "ADD":
        raise InputError(
            "The .tflite file has an integer layer whose inputs are rounded in another "
            "way than r2b_keras writes: convert the network again."
        )
    return int(makers[added].inputs[0])
