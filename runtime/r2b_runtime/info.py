"""What a `.tflite` file is, for people and for programs; nothing is run."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

from r2b_runtime import model_file
from r2b_runtime.board.errors import InputError
from r2b_runtime.board.terminal import on_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2b_runtime.board.card import ModelCard
    from r2b_runtime.model_file import Tensor

_CHANNELS = {1: "1 channel (grey)", 3: "3 channels (red, green, blue)"}
_FRAMINGS = {
    "whole": "whole: the whole picture is scaled",
    "center": "center: the middle 224/256 of the shorter side is scaled",
}
_NO_CARD = (
    "There is no model card in it: classes, mean, std and framing are what the network "
    "was trained with."
)


@dataclasses.dataclass(frozen=True)
class Info:
    """What a file says of itself.

    Attributes:
      model: its path.
      num_bytes: its size.
      inputs: what the network takes.
      outputs: what it gives.
      card: classes, preprocessing and origin, None where the file does not tell.
    """

    model: str
    num_bytes: int
    inputs: list[Tensor]
    outputs: list[Tensor]
    card: ModelCard | None

    def to_text(self) -> str:
        """A page for people, numbers as the C++ example takes them."""
        parts = _of_tensors(self) if self.card is None else _of_card(self.card)
        lines = [f"{self.model}, {self.num_bytes / 1024:.0f} KiB"]
        lines += [f"{name:<13} {value}" for name, value in parts]
        if self.card is None:
            lines.append(_NO_CARD)
        else:
            names = enumerate(self.card.class_names)
            lines += [f"{index:>8}  {name}" for index, name in names]
        return "\n".join(map(on_one_line, lines))


def of_file(path: str) -> Info:
    """Reads what a file says of itself.

    Raises:
      InputError: the file is missing or damaged, or has the card of another network.
    """
    content = model_file.read(path)
    inputs, outputs = model_file.read_tensors(content)
    card = model_file.read_card(content)
    if card is not None:
        _check_fits(path, card, inputs, outputs)
    return Info(os.fspath(path), len(content), inputs, outputs, card)


def _check_fits(
    path: str, card: ModelCard, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> None:
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{path} has a model card, and {len(inputs)} inputs and {len(outputs)} "
            "outputs, expected one of each: convert the network again."
        )
    shapes = inputs[0].shape[1:], outputs[0].shape[1:]
    card.check_fits(path, *shapes, input_type=inputs[0].type)


def _of_tensors(info: Info) -> Iterator[tuple[str, str]]:
    for what, tensors in (("input", info.inputs), ("output", info.outputs)):
        for each in tensors:
            sides = ("any" if side < 0 else str(side) for side in each.shape)
            shape = " x ".join(sides) or "of a shape that is left open"
            yield what, f"{each.name}: {shape}, {each.type}"


def _of_card(card: ModelCard) -> Iterator[tuple[str, str]]:
    height, width, channels = card.image_shape
    takes = "(pixel / 255 - mean) / std, float32"
    if card.input_type == "uint8":
        takes = "pixels, uint8; mean and std are in the file"
    yield "input", f"height {height}, width {width}, {_CHANNELS[channels]}"
    yield "takes", takes
    yield "mean", ",".join(map(str, card.mean))
    yield "std", ",".join(map(str, card.std))
    yield "framing", _FRAMINGS[card.framing]
    turned = "turned by their EXIF orientation"
    yield "pictures", turned if card.upright else "as they are stored"
    if card.recipe is not None:
        stage = "" if card.stage is None else f", stage {card.stage}"
        yield "recipe", f"{card.recipe}{stage}"
    if card.accuracy is not None:
        yield "accuracy", f"{card.accuracy:.2%} (top-1 of the Keras model, test set)"
    if card.network is not None:
        yield "network", str(card.network.get("name", "its options are in --json"))
    yield "real weights", card.real_weights
    if card.versions:
        versions = (f"{name} {version}" for name, version in card.versions.items())
        yield "made with", ", ".join(versions)
    yield "classes", str(len(card.class_names))
