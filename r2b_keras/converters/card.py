"""The model card: what a `.tflite` file says about itself.

It lies in the file's metadata under `NAME`, as JSON. With it, a command needs nothing
but the file: classes, input size and preprocessing are read and never guessed.
"""

import dataclasses
import hashlib
import json
import math
from typing import Any

from r2b_keras.converters import tflite_file
from r2b_keras.data.config import FRAMINGS
from r2b_keras.errors import InputError

NAME = "r2b_keras.model_card"
FORMAT = 1
# From the finest to the coarsest.
REAL_WEIGHTS = ("float32", "float16", "int8")


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
      upright: whether pictures are turned by their EXIF orientation first; networks
        of cards that do not say so were trained on pictures as they are stored.
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
    upright: bool = True
    recipe: str | None = None
    stage: int | None = None
    accuracy: float | None = None
    network: dict[str, Any] | None = None
    real_weights: str = "float32"
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes lists, as JSON has them, tuples, and refuses what cannot be used."""
        for name in ("class_names", "image_shape", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        names, shape = self.class_names, self.image_shape
        several = _all_are(str, names) and len(names) > 1
        _require(self, "class_names", several, "a list of names, at least two")
        positive = _all_are(int, shape) and len(shape) == 3 and min(shape) >= 1
        expected = (
            "(height, width, channels), positive, with 1 (grey) or 3 (RGB) channels"
        )
        _require(self, "image_shape", positive and shape[-1] in (1, 3), expected)
        expected = f"one number for each of the {shape[-1]} channels"
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            finite = _all_are((int, float), numbers) and all(
                map(math.isfinite, numbers)
            )
            _require(self, name, finite and len(numbers) == shape[-1], expected)
        _require(self, "std", min(self.std) > 0, "positive numbers")
        for name, choice in (("framing", FRAMINGS), ("real_weights", REAL_WEIGHTS)):
            expected = f"one of {', '.join(choice)}"
            _require(self, name, getattr(self, name) in choice, expected)
        _require(self, "upright", type(self.upright) is bool, "true or false")
        self._check_origin()

    def _check_origin(self) -> None:
        none = type(None)
        for name, kind, expected in (
            ("recipe", (str, none), "a name or None"),
            ("stage", (int, none), "a number or None"),
            ("network", (dict, none), "the network's options or None"),
            ("versions", dict, "versions by package"),
        ):
            _require(self, name, _is(kind, getattr(self, name)), expected)
        known = self.accuracy is None or (
            _is((int, float), self.accuracy) and 0 <= self.accuracy <= 1
        )
        _require(self, "accuracy", known, "a fraction from 0 to 1, or None")


def _require(card: ModelCard, name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise InputError(f"{name} is {getattr(card, name)!r}, expected {expected}.")


def _is(kind: Any, value: Any) -> bool:
    # A bool is an int to Python, and never what a card has.
    return isinstance(value, kind) and not isinstance(value, bool)


def _all_are(kind: Any, values: Any) -> bool:
    """Whether it is a list, not an empty one, of values of a kind."""
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(_is(kind, value) for value in values)
    )


def check_fits(
    card: ModelCard, name: str, image_shape: tuple[int, ...], num_classes: int
) -> None:
    """Refuses a card that is of another network than the one it comes with.

    Args:
      card: the card.
      name: the file, for the message.
      image_shape: (height, width, channels) that the network takes.
      num_classes: length of its scores.

    Raises:
      InputError: the card has another shape, or more or fewer class names.
    """
    if (*card.image_shape, len(card.class_names)) != (*image_shape, num_classes):
        raise InputError(
            f"{name} takes images of the shape {image_shape} and has {num_classes} "
            f"outputs, expected {card.image_shape} and {len(card.class_names)}, one "
            "for each class name: convert the network again, or mend --labels."
        )


def attach(flatbuffer: bytes, card: ModelCard) -> bytes:
    """Writes the card into a flatbuffer, in place of one that it may have.

    A checksum goes with it, so that a damaged file is told from a good one.
    """
    model = tflite_file.parse(flatbuffer)
    _detach(model)
    values = dataclasses.asdict(card)
    content = {"format": FORMAT, "checksum": _checksum(model, values), **values}
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
        version, checksum = values.pop("format"), values.pop("checksum")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The model card in the .tflite file is damaged ({error}): copy the file "
            "again, or convert the network again."
        ) from error
    if version != FORMAT:
        raise InputError(
            f"The model card has format {version!r}, this r2b_keras reads format "
            f"{FORMAT}: update it, or convert the network again."
        )
    if checksum != _checksum(model, values):
        raise InputError(
            "The .tflite file is damaged, its content does not match its checksum: "
            "copy it again, or convert the network again."
        )
    return _from_values(values)


def _from_values(values: dict[str, Any]) -> ModelCard:
    known = {field.name for field in dataclasses.fields(ModelCard)}
    unknown = sorted(values.keys() - known)
    try:
        return ModelCard(**{"upright": False, **values})
    except TypeError as error:
        problem = f"does not know {', '.join(unknown)}" if unknown else "finds too few"
        raise InputError(
            f"The model card has the fields {', '.join(values)}, and this r2b_keras "
            f"{problem}: update it, or convert the network again."
        ) from error


def _detach(model: tflite_file.Model) -> bytes | None:
    """Takes the card out of a model and returns its content."""
    buffer = tflite_file.remove_metadata(model, NAME)
    return None if buffer is None else tflite_file.take_buffer(model, buffer)


def _checksum(model: tflite_file.Model, values: dict[str, Any]) -> str:
    """Of the model without its card, and of what the card says."""
    # As JSON gives them back: lists for tuples.
    said = json.dumps(values, sort_keys=True).encode()
    return hashlib.sha256(tflite_file.serialize(model) + said).hexdigest()
