"""What a flatbuffer takes and gives: images and scores, and of which types.

Needs no TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from r2b_keras.converters import tflite_file
from r2b_keras.errors import InputError


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives.

    Attributes:
      input_shape: (batch, height, width, channels).
      input_type: float32, or uint8 for pixels.
      num_classes: length of the scores.
    """

    input_shape: tuple[int, ...]
    input_type: np.dtype[Any]
    num_classes: int


def read_signature(model: tflite_file.Model) -> Signature:
    """What a network takes and gives.

    Raises:
      InputError: something else than one batch of images and one of scores.
    """
    graph = model.subgraphs[0]
    inputs = [graph.tensors[index] for index in graph.inputs]
    outputs = [graph.tensors[index] for index in graph.outputs]
    shapes = [tflite_file.shape(tensor) for tensor in (*inputs, *outputs)]
    kinds = [_type_name(tensor.type) for tensor in (*inputs, *outputs)]
    known = kinds in (["float32", "float32"], ["uint8", "float32"])
    if not known and len(inputs) == len(outputs) == 1:
        raise InputError(
            f"The .tflite file takes {kinds[0]} and gives {kinds[1]}, expected float32 "
            "for both, or uint8 for pixels: convert it without an inference_input_type "
            "and an inference_output_type, which leaves what is inside as it is."
        )
    if not known or [len(shape) for shape in shapes] != [4, 2]:
        raise InputError(
            f"The .tflite file has inputs and outputs of the shapes {shapes}, expected "
            "one input (batch, height, width, channels) and one output (batch, "
            "classes), of float32 (the input of uint8 where it takes pixels)."
        )
    if min(shapes[0]) < 1:
        raise InputError(
            f"The .tflite file takes images of the shape {shapes[0]}, expected sizes "
            "above 0: convert the network again."
        )
    _check_size(inputs[0])
    return Signature(shapes[0], np.dtype(kinds[0]), shapes[1][1])


def _check_size(tensor: Any) -> None:
    """Raises `InputError` for a network of any size, which is stored as one of 1x1."""
    signature = tensor.shapeSignature
    if signature is not None and any(size < 0 for size in signature[1:]):
        raise InputError(
            "The .tflite file takes images of any size, its input has the shape "
            f"{tuple(map(int, signature))}, expected one size: convert the network "
            "built with Input((height, width, channels))."
        )


def _type_name(number: int) -> str:
    """A type of tensors as NumPy calls it, such as uint8."""
    types = vars(tflite_file.schema.TensorType)
    return next((name.lower() for name in types if types[name] == number), str(number))
