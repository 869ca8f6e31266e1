"""Where the integer layers of a flatbuffer are; needs no TensorFlow."""

import dataclasses
from typing import Any

from r2b_keras.converters import real_weights, tflite_file

# Operators that an integer layer can be, and which of their inputs its weights are.
KINDS = ("CONV_2D", "FULLY_CONNECTED")
WEIGHTS = 1


@dataclasses.dataclass(frozen=True)
class Site:
    """An integer layer in a flatbuffer.

    Attributes:
      quantized: the tensor that it takes, whole numbers.
      steps: the tensor that is rounded to them; None for a picture.
    """

    quantized: int
    steps: int | None


def sites(model: tflite_file.Model) -> list[Site]:
    """The integer layers of a flatbuffer, in the order in which it computes them."""
    graph = model.subgraphs[0]
    makers = {int(each.outputs[0]): each for each in graph.operators}
    found = []
    for operator in graph.operators:
        if tflite_file.operator_name(model, operator) not in KINDS:
            continue
        maker = makers.get(int(operator.inputs[WEIGHTS]))
        if maker is None or not real_weights.is_whole(model, maker):
            continue
        quantized = int(operator.inputs[0])
        found.append(Site(quantized, _steps(model, makers, quantized)))
    return found


def _steps(
    model: tflite_file.Model, makers: dict[int, Any], quantized: int
) -> int | None:
    """The tensor of which ADD 0.5, FLOOR and the limits make `quantized`."""

    def kind(index: int) -> str:
        maker = makers.get(index)
        return "" if maker is None else tflite_file.operator_name(model, maker)

    index = quantized
    while kind(index) in ("MINIMUM", "MAXIMUM"):
        index = int(makers[index].inputs[0])
    for wanted in ("FLOOR", "ADD"):
        if kind(index) != wanted:
            return None
        index = int(makers[index].inputs[0])
    return index
