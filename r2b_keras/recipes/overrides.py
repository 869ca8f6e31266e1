"""Typed changes of a recipe from the command line: `stages.3.epochs=4`."""

import dataclasses
import itertools
import math
import os
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from r2b_keras.checks import one_of
from r2b_keras.errors import InputError
from r2b_keras.recipes.codec import DEFAULT
from r2b_keras.recipes.schema import DESCRIPTIONS, Recipe, Stage

ANY_STAGE = "*"

Path = tuple[str, ...]
# Changes as a tree: fields and stage numbers on the way, and at the end the new value
# with the override that asks for it.
Tree = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class _Change:
    value: Any
    override: str


def apply_overrides(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe with some fields changed.

    All changes are made at once, so that they may depend on each other (another kind of
    schedule, and its epochs); of two changes of one field the later one holds. What the
    recipe expects of its stages is dropped, as it is no longer the same recipe.

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
    changes: Tree = {}
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path.strip():
            raise InputError(
                f"Override {override!r} has no '=': expected key=value, for example "
                "stages.3.epochs=10."
            )
        keys = [key.strip() for key in path.split(".")]
        try:
            for found, value in _resolve(recipe, keys, text.strip()):
                _insert(changes, found, _Change(value, override))
        except InputError as error:
            raise InputError(f"Override {override!r}: {error}") from error
    changed = _apply(recipe, changes)
    if changed == recipe:
        return recipe
    stages = (dataclasses.replace(stage, expected=None) for stage in changed.stages)
    return dataclasses.replace(changed, stages=tuple(stages))


def _resolve(value: Any, keys: list[str], text: str) -> Iterator[tuple[Path, Any]]:
    """Finds the fields at `keys` below `value`, and the text's value for each."""
    key, rest = keys[0], keys[1:]
    if isinstance(value, tuple):
        for index in _indices(len(value), key):
            if not rest:
                raise InputError(
                    f"stage {key} is not one value: name a field of it, for example "
                    f"stages.{key}.epochs."
                )
            for path, parsed in _resolve(value[index], rest, text):
                yield (str(index), *path), parsed
        return
    _check_field(value, key)
    current = getattr(value, key)
    if not rest:
        kind = typing.get_type_hints(type(value))[key]
        yield (key,), _parse(key, kind, text)
    elif dataclasses.is_dataclass(current) or _holds_stages(current):
        for path, parsed in _resolve(current, rest, text):
            yield (key, *path), parsed
    else:
        raise InputError(f"{key!r} is a single value and has no field {rest[0]!r}.")


def _check_field(value: Any, key: str) -> None:
    words = ("name", *DESCRIPTIONS) if isinstance(value, Recipe | Stage) else ()
    if key in words:
        raise InputError(f"{key!r} describes the recipe and is no setting of it.")
    names = [field.name for field in dataclasses.fields(value)]
    settings = [name for name in names if name not in words]
    if key not in settings:
        raise InputError(
            f"{type(value).__name__} has no field {key!r}, {one_of(key, settings)}"
        )


def _holds_stages(value: Any) -> bool:
    return isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value))


def _indices(count: int, key: str) -> list[int]:
    if key == ANY_STAGE:
        return list(range(count))
    # One spelling of each: 03 would be stage 3 to some and another key to others.
    if key in map(str, range(count)):
        return [int(key)]
    raise InputError(
        f"there is no stage {key!r}, expected 0 to {count - 1}, or * for all."
    )


def _parse(key: str, kind: Any, text: str) -> Any:
    """Turns text into a value of the field's type, or says what was expected."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    is_none = text.lower() == "none"
    if origin in (types.UnionType, typing.Union):
        kinds = [option for option in arguments if option is not type(None)]
        if is_none:
            return None
        if kinds == [int, str]:  # a stage or a file, wherever the next command starts
            path = os.path.abspath(os.path.expanduser(text)) if text else text
            return int(text) if text.isdecimal() else path
        return _parse_single(key, kinds[0], text, " or none")
    if dataclasses.is_dataclass(kind) or key == "stages":
        below = "0.epochs" if key == "stages" else dataclasses.fields(kind)[0].name
        raise InputError(
            f"{key} is not one value: name a field of it, for example {key}.{below}."
        )
    if origin is tuple:
        inside = "" if is_none else _without_brackets(text)
        parts = [part.strip() for part in inside.split(",") if part.strip()]
        return tuple(_parse(key, arguments[0], part) for part in parts)
    return _parse_single(key, kind, text)


def _without_brackets(text: str) -> str:
    """What stands between brackets around the whole of it, or all of it without any.

    Brackets within it are its own: a pattern of weights may begin with some.
    """
    closing = {"(": ")", "[": "]"}.get(text[:1])
    if closing is None or not text.endswith(closing):
        return text
    depths = itertools.accumulate((x in "([") - (x in ")]") for x in text)
    return text[1:-1] if all(itertools.islice(depths, len(text) - 1)) else text


def _parse_single(key: str, kind: Any, text: str, otherwise: str = "") -> Any:
    if kind is bool and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind in (int, float, str):
        try:
            value = kind("" if text == DEFAULT else text)
            if kind is not float or math.isfinite(value):
                return value
        except ValueError:
            pass
    expected = {int: "a whole number", float: "a number", bool: "true or false"}
    raise InputError(f"{key} got {text!r}, expected {expected[kind]}{otherwise}.")


def _insert(changes: Tree, path: Path, change: _Change) -> None:
    for key in path[:-1]:
        changes = changes.setdefault(key, {})
    # The last override is the last in the tree too, and so in messages.
    changes.pop(path[-1], None)
    changes[path[-1]] = change


def _apply(value: Any, change: _Change | Tree) -> Any:
    """Makes all changes below `value` at once, so that only the result is checked."""
    if isinstance(change, _Change):
        return change.value
    if isinstance(value, tuple):
        items = ((str(index), item) for index, item in enumerate(value))
        return tuple(_apply(v, change[i]) if i in change else v for i, v in items)
    fields = {key: _apply(getattr(value, key), below) for key, below in change.items()}
    try:
        return dataclasses.replace(value, **fields)
    except ValueError as error:
        asked = list(dict.fromkeys(_overrides(change)))
        noun = "Override" if len(asked) == 1 else "Overrides"
        raise InputError(f"{noun} {' and '.join(map(repr, asked))}: {error}") from error


def _overrides(change: _Change | Tree) -> list[str]:
    if isinstance(change, _Change):
        return [change.override]
    return [text for below in change.values() for text in _overrides(below)]
