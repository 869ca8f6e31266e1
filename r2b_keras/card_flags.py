"""Flags that say what a model card would, for networks that come without one."""

from __future__ import annotations

import math
import pathlib

from absl import flags

from r2b_keras import path_flags
from r2b_keras.board.card import FRAMINGS
from r2b_keras.errors import InputError


def define(purpose: str) -> None:
    """Declares them; `purpose` ends their descriptions."""
    path_flags.define("labels", None, f"File, a class name a line, {purpose}.")
    flags.DEFINE_string(
        "mean", None, f"Means of the channels, as 0.485,0.456,0.406, {purpose}."
    )
    flags.DEFINE_string(
        "std", None, f"Standard deviations, in units of pixel / 255, {purpose}."
    )
    flags.DEFINE_enum(
        "framing", None, FRAMINGS, f"Part of a picture to use, {purpose}."
    )


def given(values: flags.FlagValues) -> dict[str, object]:
    """What the flags say, by the names of the card's fields.

    Raises:
      InputError: a flag cannot be read.
    """
    found: dict[str, object] = {}
    if values.labels is not None:
        found["class_names"] = _read_labels(values.labels)
    for name in ("mean", "std"):
        if values[name].value is not None:
            found[name] = _numbers(name, str(values[name].value))
    if values.framing is not None:
        found["framing"] = values.framing
    return found


def _read_labels(path: str) -> tuple[str, ...]:
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise InputError(
            f"--labels={path} cannot be read ({reason}): expected a text file with one "
            "class name per line."
        ) from error
    names = tuple(line.strip() for line in text.rstrip().split("\n"))
    if not any(names):
        raise InputError(
            f"--labels={path} is empty, expected a text file with one class name per "
            "line."
        )
    if not all(names):
        raise InputError(
            f"--labels={path} has no name in line {names.index('') + 1}, expected one "
            "class name per line: fill the line, or delete it."
        )
    return names


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
        if all(map(math.isfinite, values)):
            return values
    except ValueError:
        pass
    raise InputError(
        f"--{name}={text} is not a list of numbers: separate them by commas, such as "
        f"--{name}=0.5,0.5,0.5."
    )
