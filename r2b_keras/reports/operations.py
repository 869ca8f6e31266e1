"""What a network computes and holds, part by part."""

from dataclasses import dataclass
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.models import ChannelGating
from r2b_keras.models.summary import profile
from r2b_keras.networks import BINARIZATIONS
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.tables import kibibytes

# In the order of the table.
PARTS = (
    "stem",
    "convolutions, one-bit weights",
    "convolutions, real weights",
    "shortcuts",
    "gates",
    "BatchNorm, PReLU, factors",
    "classifier",
)
_STEM, _BINARY, _REAL, _SHORTCUT, _GATE, _REST, _CLASSIFIER = PARTS


@dataclass(frozen=True)
class Part:
    """A group of layers.

    Attributes:
      name: one of `PARTS`.
      parameters: weights, real and binary, BatchNorm as scale and offset.
      bits: their deployed size, one-bit weights at 1, those of integer layers at 8 and
        all others at 32.
      binary_macs: multiply-accumulates of one image, one bit by one bit.
      real_macs: all others; one-bit inputs by real weights are among them.
    """

    name: str
    parameters: int
    bits: int
    binary_macs: int
    real_macs: int


def count(model: tf.keras.Model) -> list[Part]:
    """Counts a network's parts with larq's profile, which `model_size` sums up.

    Returns:
      The parts that have weights, in the order of `PARTS`.
    """
    groups: dict[str, list[tuple[int, int, int, int]]] = {name: [] for name in PARTS}
    profiles = profile(model).layer_profiles
    for layer, counted in zip(model.layers, profiles, strict=True):
        binary, macs = (counted.op_count("mac", *bits) or 0 for bits in ((1,), ()))
        numbers = (counted.weight_count(), counted.memory, binary, macs - binary)
        groups[_part(layer, counted.weight_count(1))].append(numbers)
    return [
        Part(name, *(sum(column) for column in zip(*numbers, strict=True)))
        for name, numbers in groups.items()
        if any(map(any, numbers))
    ]


def total(parts: list[Part]) -> Part:
    """All parts together."""
    numbers = ("parameters", "bits", "binary_macs", "real_macs")
    return Part("all", *(sum(getattr(p, name) for p in parts) for name in numbers))


def _part(layer: tf.keras.layers.Layer, num_binary: int) -> str:
    """The part that a layer of one of our networks belongs to."""
    if isinstance(layer, ChannelGating):
        return _GATE
    if isinstance(layer, tf.keras.layers.Conv2D | tf.keras.layers.DepthwiseConv2D):
        if num_binary:
            return _BINARY
        if layer.name.startswith("stem"):
            return _STEM
        return _SHORTCUT if "shortcut" in layer.name else _REAL
    return _CLASSIFIER if isinstance(layer, tf.keras.layers.Dense) else _REST


def section(record: RunRecord, parts: dict[int, list[Part]]) -> dict[str, Any] | None:
    """Rows of each finished stage, and of the last one's parts, for the template."""
    if not parts:
        return None
    by_stage = [
        [
            number,
            BINARIZATIONS[record.results[number].binarization].binary_parts,
            *_cells(total(found)),
        ]
        for number, found in parts.items()
    ]
    last = parts[max(parts)]
    by_part = [[part.name, *_cells(part)] for part in (*last, total(last))]
    return {"stage": max(parts), "by_stage": by_stage, "by_part": by_part}


def _cells(part: Part) -> list[str]:
    counts = (part.binary_macs, part.real_macs, part.parameters)
    return [*(f"{count:,}" for count in counts), kibibytes(part.bits / 8, ",.1f")]
