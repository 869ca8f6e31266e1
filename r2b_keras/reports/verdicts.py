"""Whether a stage reached what its recipe expects of it."""

import math
from dataclasses import dataclass

from r2b_keras import recipes
from r2b_keras.recipes import Expected, Recipe
from r2b_keras.trainers.library import stage_key

ON_TRACK, BELOW, UNKNOWN = "on track", "below expected", "no expectation"
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Verdict:
    """A stage's accuracy beside what was expected.

    Attributes:
      word: `ON_TRACK`, `BELOW` or `UNKNOWN`.
      expected: the expected accuracy, a fraction, or None.
      source: where that number is from; empty without one.
      margin: accuracy minus expected, or None.
      tolerance: how far below it the accuracy may be, a positive fraction, or None.
    """

    word: str
    expected: float | None = None
    source: str = ""
    margin: float | None = None
    tolerance: float | None = None


def tolerance(expected: float, num_images: int) -> float:
    """How far chance alone may move the accuracy on a test set.

    Two standard errors of the share of right answers among `num_images` independent
    images, each right with the probability `expected`; at least one image.
    """
    error = math.sqrt(expected * (1 - expected) / num_images)
    return max(STANDARD_ERRORS * error, 1 / num_images)


def judge(top1: float, expected: Expected | None, num_images: int) -> Verdict:
    """Compares an accuracy, a fraction, with what was expected of it.

    Args:
      top1: accuracy on the test set.
      expected: of the recipe, None where nobody has measured.
      num_images: of the test set.
    """
    if expected is None:
        return Verdict(UNKNOWN)
    allowed = tolerance(expected.top1, num_images)
    margin = top1 - expected.top1
    # A rounded expectation is not held against the accuracy that it was rounded from.
    word = ON_TRACK if margin >= -allowed - 1e-9 else BELOW
    return Verdict(word, expected.top1, expected.source, margin, allowed)


def named_recipe(recipe: Recipe) -> Recipe | None:
    """The recipe of this name as this version of the package has it."""
    return recipes.get(recipe.name) if recipe.name in recipes.names() else None


def expectation(recipe: Recipe, number: int) -> Expected | None:
    """What is expected of a stage.

    The recipe's own value. Overrides drop it; where they lead to the very same stage,
    and stages before it, as the named recipe has, that one's value counts.
    """
    own = recipe.stages[number].expected
    named = named_recipe(recipe)
    if own is not None or named is None or number >= len(named.stages):
        return own
    same = stage_key({}, recipe, number) == stage_key({}, named, number)
    return named.stages[number].expected if same else None
