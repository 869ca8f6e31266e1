"""The model card: what a `.tflite` file says about itself.

It lies in the file's metadata under `NAME`, as JSON. With it, a command needs nothing
but the file: classes, input size and preprocessing are read and never guessed.
"""

import dataclasses
import hashlib
import json
from typing import Any

from r2b_keras.converters import tflite_file
from r2b_keras.errors import InputError

NAME = "r2b_keras.model_card"
FORMAT = 1
FRAMINGS = ("whole", "center")


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a user of the file has to know.

    Attributes:
      class_names: names of the classes, in the order of the outputs.
      image_shape: (height, width, channels) of the input, in pixels.
      mean: one number per channel; a pixel p of 0 to 255 reaches the network as
        (p / 255 - mean) / std.
      std: one positive number per channel.
      framing: "whole" scales the whole picture to the input's size; "center" takes the
        central 224/256 of its shorter side first, as is usual on ImageNet.
      recipe: name of the recipe it was trained with, or None.
      stage: the recipe's stage, or None.
      accuracy: top-1 of the Keras model on the recipe's test set, a fraction, or None.
      network: the network's name and options, or None for one that is not ours.
      real_weights: how weights that are not binary are stored.
      versions: packages that made the file.
    """

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    framing: str = "whole"
    recipe: str | None = None
    stage: int | None = None
    accuracy: float | None = None
    network: dict[str, Any] | None = None
    real_weights: str = "float32"
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes lists, as JSON has them, tuples, and refuses what cannot be used."""
        for name in ("class_names", "image_shape", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        channels = self.image_shape[-1] if len(self.image_shape) == 3 else 0
        if channels not in (1, 3) or min(self.image_shape) < 1:
            raise InputError(
                f"image_shape is {self.image_shape}, expected (height, width, "
                "channels), positive, with 1 (grey) or 3 (RGB) channels."
            )
        for name in ("mean", "std"):
            if len(getattr(self, name)) != channels:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected one number for each "
                    f"of the {channels} channels."
                )
        if min(self.std) <= 0:
            raise InputError(f"std is {self.std}, expected positive numbers.")
        if self.framing not in FRAMINGS:
            raise InputError(
                f"framing is {self.framing!r}, expected one of {', '.join(FRAMINGS)}."
            )


def attach(flatbuffer: bytes, card: ModelCard) -> bytes:
    """Writes the card into a flatbuffer, in place of one that it may have.

    A checksum of all else goes with it, so that a damaged file is told from a good one.
    """
    model = tflite_file.parse(flatbuffer)
    _detach(model)
    content = {
        "format": FORMAT,
        "checksum": _checksum(model),
        **dataclasses.asdict(card),
    }
    buffer = tflite_file.add_buffer(model, json.dumps(content).encode())
    tflite_file.add_metadata(model, NAME, buffer)
    return tflite_file.serialize(model)


def read(flatbuffer: bytes) -> ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    model = tflite_file.parse(flatbuffer)
    content = _detach(model)
    if content is None:
        return None
    try:
        values = json.loads(content)
        checksum, version = values.pop("checksum"), values.pop("format")
        if version != FORMAT:
            raise InputError(
                f"The model card has format {version}, this r2b_keras reads format "
                f"{FORMAT}: update it, or convert the network again."
            )
        card = ModelCard(**values)
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"The model card in the .tflite file is damaged ({error}): copy the file "
            "again, or convert the network again."
        ) from error
    if checksum != _checksum(model):
        raise InputError(
            "The .tflite file is damaged, its content does not match its checksum: "
            "copy it again, or convert the network again."
        )
    return card


def _detach(model: tflite_file.Model) -> bytes | None:
    """Takes the card out of a model and returns its content."""
    buffer = tflite_file.remove_metadata(model, NAME)
    return None if buffer is None else tflite_file.take_buffer(model, buffer)


def _checksum(model: tflite_file.Model) -> str:
    return hashlib.sha256(tflite_file.serialize(model)).hexdigest()
