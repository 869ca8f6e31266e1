"""Recipes: complete, frozen descriptions of how a chain of stages is trained."""

import os
import pathlib
from typing import Any

from r2b_keras import files
from r2b_keras.checks import one_of
from r2b_keras.errors import InputError
from r2b_keras.recipes import (
    cifar10,
    cifar100,
    cifar100_small,
    digits,
    fashion_mnist,
    imagenet,
    pictures,
)
from r2b_keras.recipes.codec import (
    completed,
    describe,
    differences,
    from_dict,
    to_dict,
)
from r2b_keras.recipes.needs import require_heeded
from r2b_keras.recipes.overrides import apply_overrides
from r2b_keras.recipes.schema import Recipe, Stage
from r2b_keras.recipes.stage_parts import Expected, Losses, Optimizer, Schedule

__all__ = [
    "Expected",
    "Losses",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Stage",
    "apply_overrides",
    "completed",
    "describe",
    "differences",
    "from_dict",
    "get",
    "names",
    "require_heeded",
    "run_settings",
    "to_dict",
]

_RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for module in (
        digits,
        fashion_mnist,
        pictures,
        cifar10,
        cifar100,
        cifar100_small,
        imagenet,
    )
    for recipe in module.RECIPES
}

# Of a file that holds a recipe: what else it takes to train it as it was trained.
RUN_SETTINGS = ("stage", "seed", "precision", "deterministic")


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return tuple(_RECIPES)


def get(name: str) -> Recipe:
    """Returns the recipe of this name, or of this file.

    Args:
      name: one of `names()`; or a path ending in `.json`, of a workdir's `recipe.json`
        or a sweep's `best_recipe.json`.

    Raises:
      InputError: no such recipe, and the message names all; or no such file, or one
        without a recipe.
    """
    name = os.fspath(name)
    if name.endswith(".json"):
        return _read(pathlib.Path(name))
    if name not in _RECIPES:
        raise InputError(f"Unknown recipe {name!r}, {one_of(name, names())}")
    return _RECIPES[name]


def run_settings(name: str) -> dict[str, Any]:
    """What the file of a recipe says about the run that it is of.

    Args:
      name: as `get` takes it.

    Returns:
      Those of `RUN_SETTINGS` that are there; of a recipe that is named and not a
      file's, none.

    Raises:
      InputError: as `get`.
    """
    if not name.endswith(".json"):
        return {}
    values = _content(pathlib.Path(name))
    return {key: values[key] for key in RUN_SETTINGS if key in values}


def _read(path: pathlib.Path) -> Recipe:
    try:
        return from_dict(_content(path)["recipe"])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _content(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = files.read_json(path)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise InputError(
            f"There is no file {path}, expected a recipe.json, as training and sweeps "
            "write it."
        ) from error
    if not isinstance(values, dict) or "recipe" not in values:
        raise InputError(
            f"{path} holds no recipe, expected a recipe.json, as training and sweeps "
            "write it."
        )
    return values
