"""Whether a stage reached what its recipe expects of it."""

import math
from dataclasses import dataclass

from r2b_keras import recipes
from r2b_keras.recipes import Expected, Recipe
from r2b_keras.trainers.library import stage_key

ON_TRACK, BELOW, UNKNOWN = "on track", "below expected", "no expectation"
# Every run is tested on the same images, so its accuracy moves with its seed and with
# rounding alone: 99.7 % of normally distributed values lie within three deviations.
DEVIATIONS = 3.0
# Where the spread over seeds is unknown, what is known stands in for it: how far
# another draw of as many test images would move the accuracy, 95 times in 100.
STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Verdict:
    """A stage's accuracy beside what was expected.

    Attributes:
      word: `ON_TRACK`, `BELOW` or `UNKNOWN`.
      expected: what the recipe expects, or None.
      margin: accuracy minus expected, or None.
      tolerance: how far below it the accuracy may be, a positive fraction, or None.
    """

    word: str
    expected: Expected | None = None
    margin: float | None = None
    tolerance: float | None = None


def tolerance(expected: Expected, num_images: int) -> float:
    """How far below the expectation a good run may end, a fraction.

    Three standard deviations over seeds where they are known; two standard errors of
    the share of right answers among `num_images` independent images, each right with
    the probability expected, where they are not. At least one image, as no accuracy is
    finer than that.
    """
    deviation = expected.deviation
    if deviation is not None:
        return max(DEVIATIONS * deviation, 1 / num_images)
    error = math.sqrt(expected.top1 * (1 - expected.top1) / num_images)
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
    allowed = tolerance(expected, num_images)
    margin = top1 - expected.top1
    # A rounded expectation is not held against the accuracy that it was rounded from.
    word = ON_TRACK if margin >= -allowed - 1e-9 else BELOW
    return Verdict(word, expected, margin, allowed)


def named_recipe(recipe: Recipe) -> Recipe | None:
    """The recipe of this name as this version of the package has it."""
    return recipes.get(recipe.name) if recipe.name in recipes.names() else None


def expectation(recipe: Recipe, number: int) -> Expected | None:
    """What is expected of a stage.

    The named recipe's value, as this version of the package has it, where that recipe
    would train the very same stage, and stages before it; a run's own recipe may hold
    an older value, or none after an override. Else the recipe's own value.
    """
    own, named = recipe.stages[number].expected, named_recipe(recipe)
    if named is None or number >= len(named.stages):
        return own
    same = stage_key({}, recipe, number) == stage_key({}, named, number)
    return (same and named.stages[number].expected) or own
