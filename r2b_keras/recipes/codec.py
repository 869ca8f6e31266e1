"""Recipes to plain data and back, for `recipe.json`."""

import dataclasses
from typing import Any

from r2b_keras.recipes.schema import Recipe


def to_dict(value: Any) -> Any:
    """Turns a recipe into dictionaries, lists, numbers and words."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: to_dict(getattr(value, field.name)) for field in fields}
    if isinstance(value, tuple):
        return [to_dict(item) for item in value]
    return value


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Names the places where two recipes in plain form differ.

    Returns:
      One `path: old value -> new value` for each.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        found = [
            differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
            for key in keys
        ]
        return [line for lines in found for line in lines]
    stages = isinstance(old, list) and isinstance(new, list) and len(old) == len(new)
    if stages and any(isinstance(item, dict) for item in old):
        found = [
            differences(a, b, f"{path}.{index}")
            for index, (a, b) in enumerate(zip(old, new, strict=True))
        ]
        return [line for lines in found for line in lines]
    return [] if old == new else [f"{path}: {old} -> {new}"]


def describe(recipe: Recipe) -> str:
    """Writes a recipe as indented `field: value` lines, for people."""
    return "\n".join(_lines(to_dict(recipe), 0))


def _lines(value: Any, depth: int) -> list[str]:
    lines: list[str] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        nested = isinstance(item, dict) or (
            isinstance(item, list) and any(isinstance(part, dict) for part in item)
        )
        head = f"{'  ' * depth}{key}:"
        if nested:
            lines += [head, *_lines(item, depth + 1)]
        else:
            shown = ", ".join(map(str, item)) if isinstance(item, list) else item
            lines.append(f"{head} {shown}")
    return lines
