"""The model card: what a `.tflite` file says about itself.

It lies in the file's metadata under `NAME`, as JSON. With it, a command needs nothing
but the file: classes, input size and preprocessing are read and never guessed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

from .errors import InputError

# What every `.tflite` file has at its fifth byte.
IDENTIFIER = b"TFL3"
NAME = "r2b_keras.model_card"
FORMAT = 1
# What stands in a card for its checksum while that is worked out.
NO_CHECKSUM = "0" * 64
FRAMINGS = ("whole", "center")
# From the finest to the coarsest.
REAL_WEIGHTS = ("float32", "float16", "int8")
INPUT_TYPES = ("float32", "uint8")
_READER = __name__.partition(".")[0]


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
      upright: whether pictures are turned by their EXIF orientation first.
      recipe: name of the recipe it was trained with, or None.
      stage: the recipe's stage, or None.
      accuracy: top-1 of the Keras model on the recipe's test set, a fraction, or None.
      network: the network's name and options, or None for one that is not ours.
      real_weights: how weights that are not binary are stored.
      input_type: "float32", or "uint8" for a file that takes pixels as they are and has
        mean and std in it.
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
    input_type: str = "float32"
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes lists, as JSON has them, tuples, and refuses what cannot be used."""
        for name in ("class_names", "image_shape", "mean", "std"):
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        several = _all_are(str, self.class_names) and len(self.class_names) > 1
        self._require("class_names", several, "a list of names, at least two")
        self._check_image_shape()
        self._check_channels()
        for name, choice in (
            ("framing", FRAMINGS),
            ("real_weights", REAL_WEIGHTS),
            ("input_type", INPUT_TYPES),
        ):
            expected = f"one of {', '.join(choice)}"
            self._require(name, getattr(self, name) in choice, expected)
        self._require("upright", type(self.upright) is bool, "true or false")
        self._check_origin()

    def check_fits(
        self,
        name: str,
        image_shape: tuple[int, ...],
        scores_shape: tuple[int, ...],
        remedy: str = "convert the network again",
        input_type: str = "float32",
    ) -> None:
        """Refuses the card of another network than the one it comes with.

        Args:
          name: the file, for the message.
          image_shape: (height, width, channels) that the network takes.
          scores_shape: (classes,) that it gives.
          remedy: what to do, for the message.
          input_type: of the images that it takes.

        Raises:
          InputError: the card has another shape or type, or more or fewer class names.
        """
        count = len(self.class_names)
        if (self.image_shape, (count,)) != (image_shape, scores_shape):
            raise InputError(
                f"{name} takes images of the shape {image_shape} and has "
                f"{' x '.join(map(str, scores_shape))} outputs, expected "
                f"{self.image_shape} and {count}, one for each class name: {remedy}."
            )
        if self.input_type != input_type:
            raise InputError(
                f"{name} takes images of {input_type}, and its model card says "
                f"{self.input_type}: convert the network again."
            )

    def _check_image_shape(self) -> None:
        shape = self.image_shape
        positive = _all_are(int, shape) and len(shape) == 3 and min(shape) >= 1
        expected = (
            "(height, width, channels), positive, with 1 (grey) or 3 (RGB) channels"
        )
        self._require("image_shape", positive and shape[-1] in (1, 3), expected)

    def _check_channels(self) -> None:
        count = self.image_shape[-1]
        for name in ("mean", "std"):
            numbers = getattr(self, name)
            real = _all_are((int, float), numbers) and all(map(_is_finite, numbers))
            expected = f"one number for each of the {count} channels"
            self._require(name, real and len(numbers) == count, expected)
        self._require("std", min(self.std) > 0, "positive numbers")

    def _check_origin(self) -> None:
        none = type(None)
        for name, kind, expected in (
            ("recipe", (str, none), "a name or None"),
            ("stage", (int, none), "a number or None"),
            ("network", (dict, none), "the network's options or None"),
            ("versions", dict, "versions by package"),
        ):
            self._require(name, _is(kind, getattr(self, name)), expected)
        known = self.accuracy is None or (
            _is((int, float), self.accuracy) and 0 <= self.accuracy <= 1
        )
        self._require("accuracy", known, "a fraction from 0 to 1, or None")

    def _require(self, name: str, holds: bool, expected: str) -> None:
        if not holds:
            raise InputError(f"{name} is {getattr(self, name)!r}, expected {expected}.")


def _is(kind: Any, value: Any) -> bool:
    # A bool is an int to Python, and never what a card has.
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number too large for a float
        return False


def _all_are(kind: Any, values: Any) -> bool:
    """Whether it is a tuple, not an empty one, of values of a kind."""
    return (
        isinstance(values, tuple)
        and len(values) > 0
        and all(_is(kind, value) for value in values)
    )


def require_tflite(content: bytes, name: str = "The file") -> None:
    """Refuses what does not begin as a `.tflite` file does.

    Args:
      content: of the file.
      name: of the file, for the message.

    Raises:
      InputError: it is empty, something else, or cut off.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        problem = "no .tflite file" if content else "empty, not a .tflite file"
        raise InputError(
            f"{name} is {problem}: expected a file that begins with a "
            f"{IDENTIFIER.decode()} header, made with `python -m r2b_keras.convert`."
        )


def checksum_of(flatbuffer: bytes, content: bytes, checksum: str) -> str:
    """SHA-256 of a file, but for the checksum in it.

    Args:
      flatbuffer: the file.
      content: of the card in it.
      checksum: the one in that card.
    """
    without = content.replace(checksum.encode(), NO_CHECKSUM.encode(), 1)
    return hashlib.sha256(flatbuffer.replace(content, without, 1)).hexdigest()


def read(flatbuffer: bytes, content: bytes) -> ModelCard:
    """The card in a file whose bytes are those that it was made with.

    Args:
      flatbuffer: the file.
      content: of the card in it.

    Raises:
      InputError: the file or the card is damaged, or of another format.
    """
    values, checksum = parse(content)
    if checksum != checksum_of(flatbuffer, content, checksum):
        raise InputError(
            "The .tflite file is damaged, its content does not match its checksum: "
            "copy it again, or convert the network again."
        )
    return from_fields(values)


def parse(content: bytes) -> tuple[dict[str, Any], str]:
    """Fields of a card as it lies in a file, and its checksum.

    Raises:
      InputError: it is damaged, or of another format.
    """
    try:
        values = json.loads(content)
        version, checksum = values.pop("format"), str(values.pop("checksum"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"The model card in the .tflite file is damaged ({error}): copy the file "
            "again, or convert the network again."
        ) from error
    if version != FORMAT:
        raise InputError(
            f"The model card has format {version!r}, this {_READER} reads format "
            f"{FORMAT}: update it, or convert the network again."
        )
    return values, checksum


def from_fields(values: dict[str, Any]) -> ModelCard:
    """The card that has these fields.

    Raises:
      InputError: there are too few, unknown ones, or wrong values.
    """
    unknown = sorted(values.keys() - {x.name for x in dataclasses.fields(ModelCard)})
    try:
        return ModelCard(**values)
    except TypeError as error:
        problem = f"does not know {', '.join(unknown)}" if unknown else "finds too few"
        raise InputError(
            f"The model card has the fields {', '.join(values)}, and this {_READER} "
            f"{problem}: update it, or convert the network again."
        ) from error
