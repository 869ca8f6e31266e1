"""Recipes: complete, frozen descriptions of how a chain of stages is trained."""

import difflib

from r2b_keras.errors import InputError
from r2b_keras.recipes import (
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    imagenet,
    pictures,
)
from r2b_keras.recipes.codec import describe, differences, from_dict, to_dict
from r2b_keras.recipes.overrides import apply_overrides
from r2b_keras.recipes.schema import (
    Expected,
    Losses,
    Optimizer,
    Recipe,
    Schedule,
    Stage,
)

__all__ = [
    "Expected",
    "Losses",
    "Optimizer",
    "Recipe",
    "Schedule",
    "Stage",
    "apply_overrides",
    "describe",
    "differences",
    "from_dict",
    "get",
    "names",
    "to_dict",
]

_RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for module in (digits, fashion_mnist, pictures, cifar10, cifar100, imagenet)
    for recipe in module.RECIPES
}


def names() -> tuple[str, ...]:
    """Names that `get` knows."""
    return tuple(_RECIPES)


def get(name: str) -> Recipe:
    """Returns the recipe of this name.

    Raises:
      InputError: no such recipe; the message names the nearest.
    """
    if name not in _RECIPES:
        nearest = difflib.get_close_matches(name, names(), 1, cutoff=0.0)[0]
        raise InputError(
            f"Unknown recipe {name!r}; did you mean {nearest!r}? The recipes are "
            f"{', '.join(names())}."
        )
    return _RECIPES[name]
