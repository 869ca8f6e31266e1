"""Typed changes of a recipe from the command line: `stages.3.epochs=4`."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any

from r2b_keras.errors import InputError
from r2b_keras.recipes.schema import Recipe

ANY_STAGE = "*"


def apply_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe with some fields changed.

    Args:
      recipe: what to change; it stays as it is.
      overrides: `path=value` each, the path through the fields of the recipe, for
        example `stages.3.optimizer.learning_rate=0.01`; `stages.*.epochs=1` changes
        every stage. Values are numbers, words, `none`, `true`, `false`, or numbers with
        commas between them.

    Raises:
      InputError: no such field (the message names the nearest), or a value of the wrong
        type or out of its range.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise InputError(
                f"Override {override!r} has no '=': expected key=value, for example "
                "stages.3.epochs=10."
            )
        try:
            recipe = _replace(recipe, path.split("."), text.strip())
        except ValueError as error:
            raise InputError(f"Override {override!r}: {error}") from error
    return recipe


def _replace(value: Any, keys: list[str], text: str) -> Any:
    """Returns `value` with the field at `keys` set to the parsed text."""
    key, rest = keys[0], keys[1:]
    if isinstance(value, tuple):
        items = list(value)
        for index in _indices(items, key):
            if not rest:
                raise InputError(f"stage {index} is not one value: name a field of it.")
            items[index] = _replace(items[index], rest, text)
        return tuple(items)
    names = [field.name for field in dataclasses.fields(value)]
    if key not in names:
        nearest = difflib.get_close_matches(key, names, 1, cutoff=0.0)[0]
        raise InputError(
            f"{type(value).__name__} has no field {key!r}; did you mean {nearest!r}?"
        )
    field_type = typing.get_type_hints(type(value))[key]
    current = getattr(value, key)
    if not rest:
        return dataclasses.replace(value, **{key: _parse(key, field_type, text)})
    if not (dataclasses.is_dataclass(current) or _holds_stages(current)):
        raise InputError(f"{key!r} is a single value and has no field {rest[0]!r}.")
    return dataclasses.replace(value, **{key: _replace(current, rest, text)})


def _holds_stages(value: Any) -> bool:
    return (
        isinstance(value, tuple) and bool(value) and dataclasses.is_dataclass(value[0])
    )


def _indices(items: list[Any], key: str) -> list[int]:
    if key == ANY_STAGE:
        return list(range(len(items)))
    if key.isdigit() and int(key) < len(items):
        return [int(key)]
    raise InputError(
        f"there is no stage {key!r}, expected 0 to {len(items) - 1}, or * for all."
    )


def _parse(key: str, kind: Any, text: str) -> Any:
    """Turns text into a value of the field's type, or says what was expected."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if text.lower() == "none":
            return None
        kind = next(option for option in arguments if option is not type(None))
        return _parse(key, kind, text)
    if origin is tuple:
        inside = text.strip("()[] ")
        parts = [part for part in inside.split(",") if part.strip()]
        return tuple(_parse(key, arguments[0], part.strip()) for part in parts)
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in (int, float, str):
        try:
            return kind(text)
        except ValueError:
            pass
    expected = {int: "a whole number", float: "a number", bool: "true or false"}.get(
        kind, "a value that can be written in one word"
    )
    raise InputError(f"{key} got {text!r}, expected {expected}.")
