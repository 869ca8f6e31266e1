"""Recipes to plain data and back, for `recipe.json`."""

import contextlib
import dataclasses
import numbers
import typing
from collections.abc import Collection
from typing import Any

from r2b_keras.errors import InputError
from r2b_keras.recipes.schema import DESCRIPTIONS, Recipe


def to_dict(value: Any) -> Any:
    """Turns a recipe into dictionaries, lists, numbers and words."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_dict(getattr(value, field.name)) for field in fields}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    if isinstance(value, numbers.Number) and type(value) not in (bool, int, float):
        # NumPy's, which is no JSON.
        return int(value) if isinstance(value, numbers.Integral) else float(value)  # type: ignore[arg-type]
    return value


def from_dict(values: Any) -> Recipe:
    """Makes a recipe of what `to_dict` gave.

    Raises:
      InputError: fields are missing, unknown or of impossible values.
    """
    try:
        return _decode(Recipe, values)
    except (TypeError, AttributeError) as error:
        raise InputError(
            f"This is no recipe of this version of r2b_keras ({error}): train it again."
        ) from error


def _check_names(kind: Any, given: Collection[str]) -> None:
    """Refuses fields that there are not, and the lack of some that there must be."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    needed = [
        name
        for name, field in fields.items()
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    unknown = [name for name in given if name not in fields]
    lacking = [name for name in needed if name not in given]
    said = ""
    if unknown:
        said = f"no field {unknown[0]!r}"
    elif lacking:
        said = f"a field {lacking[0]!r}, which is missing"
    if said:
        raise InputError(
            f"This is no recipe of this version of r2b_keras: {kind.__name__} has "
            f"{said}."
        )


def _decode(kind: Any, value: Any) -> Any:
    """Makes a value of the type `kind` of plain data."""
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        _check_names(kind, value)
        return kind(**{key: _decode(hints[key], item) for key, item in value.items()})
    if value is None:
        return None
    if typing.get_origin(kind) is tuple:
        return tuple(_decode(options[0], item) for item in value)
    if options and dataclasses.is_dataclass(options[0]):
        return _decode(options[0], value)
    return value


def completed(saved: Any) -> Any:
    """Fills in the recipe's fields that are newer than the file it was saved in.

    A folder from before a field was added trained with its default.

    Args:
      saved: what a folder is for, its recipe under "recipe".

    Returns:
      The same with the whole recipe; as it is where there is none that can be read.
    """
    if isinstance(saved, dict) and "recipe" in saved:
        with contextlib.suppress(InputError):
            return {**saved, "recipe": to_dict(from_dict(saved["recipe"]))}
    return saved


# How an empty word is written, which stands for what goes with the other settings.
DEFAULT = "(default)"


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Names the places where two recipes in plain form differ.

    Summaries and expected accuracies are not looked at: a recipe trains the same when
    they change.

    Args:
      old: what `to_dict` gave for one recipe, or anything that holds it.
      new: the same for the other.
      path: where in the whole the two are.

    Returns:
      One `path: old value -> new value` for each.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [key for key in {**old, **new} if key not in DESCRIPTIONS]
        found = [
            differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in keys
        ]
        return [line for lines in found for line in lines]
    if _holds_stages(old) and _holds_stages(new):
        if len(old) != len(new):
            return [f"{path}: {len(old)} of them -> {len(new)} of them"]
        found = [
            differences(a, b, f"{path}.{index}")
            for index, (a, b) in enumerate(zip(old, new, strict=True))
        ]
        return [line for lines in found for line in lines]
    return [] if old == new else [f"{path}: {old} -> {new}"]


def _holds_stages(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def describe(recipe: Recipe) -> str:
    """Writes a recipe as indented `field: value` lines, for people.

    Values are written as overrides take them.
    """
    return "\n".join(_lines(to_dict(recipe), 0))


def _lines(value: Any, depth: int) -> list[str]:
    lines: list[str] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        head = f"{'  ' * depth}{key}:"
        if isinstance(item, dict) or _holds_stages(item):
            lines += [head, *_lines(item, depth + 1)]
        else:
            lines.append(f"{head} {_word(item)}")
    return lines


def _word(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value) or DEFAULT
