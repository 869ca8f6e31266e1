"""What a recipe says about its data, as frozen values that need no TensorFlow."""

import math
from dataclasses import dataclass

from r2b_keras.board.card import FRAMINGS
from r2b_keras.errors import InputError

NAMED_SOURCES = ("digits", "fashion_mnist", "idx", "folder")
TFDS_PREFIX = "tfds:"
# Sources of photographs, whose subject is in the middle; recipes that do not say how
# to frame them take the centre.
PHOTOGRAPHS = ("folder", "tfds:imagenet2012")


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; the default changes nothing.

    They are applied in the order of the fields. Validation and test images are never
    augmented.

    Attributes:
      random_resized_crop: cut out 8 to 100 % of the area, at 3/4 to 4/3 of the aspect
        ratio that evaluation's window has, and scale it to the network's size.
      flip: mirror left and right, every other image on average.
      pad_and_crop: pixels of black padding on each side, of which a window of the
        image's own size is cut out again.
      rotation_degrees: rotate by an angle uniform in plus or minus this.
      color_jitter: strength s of brightness, contrast and saturation, each scaled by a
        factor uniform in [1 - s, 1 + s].
      mixup_alpha: mix pairs of images with a share drawn from Beta(alpha, alpha); 0 is
        off (Zhang et al., 2018).

    Raises:
      InputError: a value is outside its range, or two crops are asked for at once.
    """

    random_resized_crop: bool = False
    flip: bool = False
    pad_and_crop: int = 0
    rotation_degrees: float = 0.0
    color_jitter: float = 0.0
    mixup_alpha: float = 0.0

    def __post_init__(self) -> None:
        """Checks every range."""
        for name in ("random_resized_crop", "flip"):
            _check_type(name, getattr(self, name), bool)
        _check_type("pad_and_crop", self.pad_and_crop, int)
        _check_range("pad_and_crop", self.pad_and_crop, 0, 1024)
        _check_range("rotation_degrees", self.rotation_degrees, 0, 180)
        _check_range("color_jitter", self.color_jitter, 0, 1)
        _check_range("mixup_alpha", self.mixup_alpha, 0, 100)
        if self.random_resized_crop and self.pad_and_crop:
            raise InputError(
                "random_resized_crop and pad_and_crop both choose the window of the "
                f"image (pad_and_crop is {self.pad_and_crop}): turn one of them off."
            )


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how the network sees them.

    A pixel p of 0 to 255 reaches the network as (p / 255 - mean) / std.

    Attributes:
      source: "digits", "fashion_mnist", "idx", "folder" or "tfds:NAME".
      image_shape: (height, width, channels) at the network's input; images of another
        size or number of channels (1 is grey, 3 is RGB) are converted.
      mean: one number per channel, in units of pixel / 255.
      std: one positive number per channel, in units of pixel / 255.
      validation_size: images of the training part that are held out for choosing.
      framing: how a picture of another size becomes an image for the network: "whole",
        all of it scaled, or "center", the central 224/256 of the side that limits.
        Left out, it is "center" for photographs and "whole" for other sources.

    Raises:
      InputError: a field is of the wrong kind or outside its range.
    """

    source: str
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation_size: int
    framing: str = ""

    def __post_init__(self) -> None:
        """Checks every field; lists (from JSON) become tuples."""
        for name in ("image_shape", "mean", "std"):
            value = getattr(self, name)
            if not isinstance(value, list | tuple):
                raise InputError(f"{name} is {value!r}: give a tuple of numbers.")
            object.__setattr__(self, name, tuple(value))
        self._check_source()
        self._check_image_shape()
        self._check_channel_values()
        _check_type("validation_size", self.validation_size, int)
        _check_range("validation_size", self.validation_size, 0, 2**31)
        if self.framing == "":
            chosen = "center" if self.source in PHOTOGRAPHS else "whole"
            object.__setattr__(self, "framing", chosen)
        if self.framing not in FRAMINGS:
            raise InputError(
                f"framing is {self.framing!r}: expected one of {', '.join(FRAMINGS)}."
            )

    @property
    def may_be_turned(self) -> bool:
        """Whether its images come from files that may have an EXIF orientation."""
        return self.source == "folder" or self.source.startswith(TFDS_PREFIX)

    def _check_source(self) -> None:
        is_tfds = isinstance(self.source, str) and self.source.startswith(TFDS_PREFIX)
        if self.source in NAMED_SOURCES or is_tfds and self.source != TFDS_PREFIX:
            return
        raise InputError(
            f"source is {self.source!r}: expected one of {', '.join(NAMED_SOURCES)} or "
            f"{TFDS_PREFIX}NAME, for example {TFDS_PREFIX}cifar10."
        )

    def _check_image_shape(self) -> None:
        shape = self.image_shape
        whole = all(type(size) is int and size > 0 for size in shape)
        if len(shape) != 3 or not whole or shape[2] not in (1, 3):
            raise InputError(
                f"image_shape is {shape!r}: expected (height, width, channels), "
                "positive and with 1 (grey) or 3 (RGB) channels."
            )

    def _check_channel_values(self) -> None:
        channels = self.image_shape[2]
        for name in ("mean", "std"):
            values = getattr(self, name)
            if len(values) != channels:
                raise InputError(
                    f"{name} has {len(values)} numbers, but image_shape "
                    f"{self.image_shape} has {channels} channels: give one per channel."
                )
            for value in values:
                _check_range(f"{name} (in units of pixel / 255)", value, 0, 1)
        if min(self.std) == 0:
            raise InputError(f"std is {self.std}: every number must be above 0.")


def _check_type(name: str, value: object, expected: type) -> None:
    if type(value) is not expected:
        raise InputError(f"{name} is {value!r}: expected a value of {expected}.")


def _check_range(name: str, value: float, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise InputError(f"{name} is {value!r}: expected a number {low} to {high}.")
