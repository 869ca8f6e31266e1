"""What a recipe says about its data, as frozen values that need no TensorFlow."""

from dataclasses import dataclass

from r2b_keras.board.card import FRAMINGS
from r2b_keras.checks import (
    is_count,
    require,
    require_choice,
    require_count,
    require_flag,
    require_positive,
    require_range,
)
from r2b_keras.errors import InputError
from r2b_keras.normalisation import Normalisation

# Of an image, in pixels; beyond it TensorFlow counts its values in too few bits.
_LARGEST_SIDE = 2**15


@dataclass(frozen=True)
class SourceEntry:
    """A source of images.

    Attributes:
      opens: the function that opens it, "module:name"; it takes the `DataConfig` and
        the folder of `--data_dir` or None, and returns a
        `r2b_keras.data.sources.Source`.
      framing: of recipes that do not say how; "center" for photographs, whose subject
        is in the middle.
    """

    opens: str
    framing: str = "whole"


_MODULES = "r2b_keras.data.sources"
_TFDS = f"{_MODULES}.prepared_tfds:open_source"
# By what `DataConfig.source` names; one that ends in ":" stands for all that begin so.
SOURCES = {
    "digits": SourceEntry(f"{_MODULES}.digits:open_source"),
    "fashion_mnist": SourceEntry(f"{_MODULES}.fashion_mnist:open_source"),
    "idx": SourceEntry(f"{_MODULES}.idx:open_source"),
    "folder": SourceEntry(f"{_MODULES}.folder:open_source", "center"),
    "tfds:": SourceEntry(_TFDS),
    "tfds:imagenet2012": SourceEntry(_TFDS, "center"),
}


@dataclass(frozen=True)
class Change:
    """A random change of the training images, beside those that `Augmentation` names.

    Attributes:
      applies: the function that does it, "module:name"; it takes a batch `[B, H, W, C]`
        float32 of 0 to 255, the strength, and a seed `[2]` int64 that all its draws
        follow from, and returns the batch, of the same shape.
      low: the smallest strength.
      high: the largest.
    """

    applies: str
    low: float = 0.0
    high: float = 1.0


# By the name that `Augmentation.others` gives.
AUGMENTATIONS: dict[str, Change] = {}


@dataclass(frozen=True)
class Augmentation:
    """Random changes of the training images; the default changes nothing.

    They are applied in the order of the fields, but for mix-up, which comes last.
    Validation and test images are never augmented.

    Attributes:
      random_resized_crop: cut out a share of the area, `crop_area` to 1, at 3/4 to 4/3
        of the aspect ratio that evaluation's window has, and scale it to the network's
        size.
      flip: mirror left and right, every other image on average.
      pad_and_crop: pixels of black padding on each side, of which a window of the
        image's own size is cut out again.
      rotation_degrees: rotate by an angle uniform in plus or minus this.
      color_jitter: strength s of brightness, contrast and saturation, each scaled by a
        factor uniform in [1 - s, 1 + s].
      mixup_alpha: mix pairs of images with a share drawn from Beta(alpha, alpha); 0 is
        off (Zhang et al., 2018).
      others: "NAME:STRENGTH" each, NAME a key of `AUGMENTATIONS`; they come after the
        colour jitter and before mix-up.
      crop_area: the smallest share that `random_resized_crop` cuts out; 0.08 is usual
        (Szegedy et al., 2015).

    Raises:
      InputError: a value is outside its range, or two crops are asked for at once.
    """

    random_resized_crop: bool = False
    flip: bool = False
    pad_and_crop: int = 0
    rotation_degrees: float = 0.0
    color_jitter: float = 0.0
    mixup_alpha: float = 0.0
    others: tuple[str, ...] = ()
    crop_area: float = 0.08

    def __post_init__(self) -> None:
        """Checks every range."""
        for name in ("random_resized_crop", "flip"):
            require_flag(name, getattr(self, name))
        require_positive("crop_area", self.crop_area)
        require_range("crop_area", self.crop_area, 0, 1)
        require_count("pad_and_crop", self.pad_and_crop, 0)
        require_range("pad_and_crop", self.pad_and_crop, 0, 1024)
        require_range("rotation_degrees", self.rotation_degrees, 0, 180)
        require_range("color_jitter", self.color_jitter, 0, 1)
        require_range("mixup_alpha", self.mixup_alpha, 0, 100)
        object.__setattr__(self, "others", tuple(self.others))
        for change, strength in self.changes:
            require_range("others", strength, change.low, change.high)
        if self.random_resized_crop and self.pad_and_crop:
            raise InputError(
                "random_resized_crop and pad_and_crop both choose the window of the "
                f"image (pad_and_crop is {self.pad_and_crop}): turn one of them off."
            )

    @property
    def changes(self) -> list[tuple[Change, float]]:
        """What `others` names: each change with its strength.

        Raises:
          InputError: one that there is not, or without a strength.
        """
        found = []
        for other in self.others:
            name, _, strength = other.partition(":")
            if name not in AUGMENTATIONS:
                known = ", ".join(map(repr, AUGMENTATIONS)) or "none"
                raise InputError(
                    f"others has the augmentation {name!r}, and there is {known}: "
                    "import the module that makes its entry first."
                )
            try:
                found.append((AUGMENTATIONS[name], float(strength)))
            except ValueError as error:
                raise InputError(
                    f"others has {other!r}, expected NAME:STRENGTH, for example "
                    f"{name}:0.5."
                ) from error
        return found

    def code(self) -> dict[str, str]:
        """What `others` is made of, "module:name", by the entry that names it."""
        names = (other.partition(":")[0] for other in self.others)
        return {
            f"AUGMENTATIONS[{name!r}].applies": AUGMENTATIONS[name].applies
            for name in names
        }


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how the network sees them.

    A pixel p of 0 to 255 reaches the network as (p / 255 - mean) / std.

    Attributes:
      source: a key of `SOURCES`, or one of those that begin so ("tfds:cifar10").
      image_shape: (height, width, channels) at the network's input; images of another
        size or number of channels (1 is grey, 3 is RGB) are converted.
      mean: one number per channel, in units of pixel / 255.
      std: one positive number per channel, in units of pixel / 255.
      validation_size: images of the training part that are held out for choosing.
      framing: how a picture of another size becomes an image for the network: "whole",
        all of it scaled, or "center", the central 224/256 of the side that limits.
        Left out, it is the source's own; what is there stays when the source alone
        is overridden.

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
            require(isinstance(value, list | tuple), name, value, "several numbers")
            object.__setattr__(self, name, tuple(value))
        entry = self.entry  # of an unknown source there is none, whatever the framing
        framing = self.framing or entry.framing
        require_choice("framing", framing, FRAMINGS)
        object.__setattr__(self, "framing", framing)
        self._check_image_shape()
        self._check_channel_values()
        require_count("validation_size", self.validation_size, 0)

    @property
    def normalisation(self) -> Normalisation:
        """`mean` and `std`."""
        return Normalisation(self.mean, self.std)

    @property
    def entry(self) -> SourceEntry:
        """What there is to know of the source.

        Raises:
          InputError: there is none of this name.
        """
        source = str(self.source)
        found = SOURCES.get(source) if not source.endswith(":") else None
        prefix, colon, name = source.partition(":")
        if found is None and name:
            found = SOURCES.get(prefix + colon)
        if found is None:
            names = (f"{key}NAME" if key[-1] == ":" else key for key in SOURCES)
            raise InputError(
                f"source is {self.source!r}, expected one of {', '.join(names)}, for "
                "example tfds:cifar10."
            )
        return found

    def _check_image_shape(self) -> None:
        shape = self.image_shape
        sizes = len(shape) == 3 and all(map(is_count, shape))
        require(
            sizes and max(shape) <= _LARGEST_SIDE and shape[2] in (1, 3),
            "image_shape",
            shape,
            "(height, width, channels), sides of 1 to "
            f"{_LARGEST_SIDE} pixels, 1 (grey) or 3 (RGB) channels",
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
                require_range(f"{name} (in units of pixel / 255)", value, 0, 1)
        require(min(self.std) > 0, "std", self.std, "numbers above 0")
