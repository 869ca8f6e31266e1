"""Whether a stage reached what its recipe expects of it, by the rule of the claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r2b_keras import claims, recipes
from r2b_keras.recipes import Expected, Recipe
from r2b_keras.recipes.measured import FINGERPRINTS, SOURCE
from r2b_keras.recipes.measured import expected as claimed
from r2b_keras.trainers.library import stage_key

ON_TRACK, BELOW, ABOVE = "on track", "below expected", "above expected"
# Where only another's single number is known, nothing says how far a good run may be.
UNJUDGED, UNKNOWN = "no interval", "no expectation"
_WORDS = {claims.WITHIN: ON_TRACK, claims.BELOW: BELOW, claims.ABOVE: ABOVE}


@dataclass(frozen=True)
class Verdict:
    """A stage's accuracy beside what was expected.

    Attributes:
      word: `ON_TRACK`, `BELOW`, `ABOVE`, `UNJUDGED` or `UNKNOWN`.
      expected: what the recipe expects, or None.
      margin: accuracy minus expected, or None.
    """

    word: str
    expected: Expected | None = None
    margin: float | None = None


def judge(top1: float, expected: Expected | None) -> Verdict:
    """Compares an accuracy, a fraction, with what was expected of it.

    Args:
      top1: accuracy on the test set.
      expected: of the recipe, None where nobody has measured.
    """
    if expected is None:
        return Verdict(UNKNOWN)
    margin = top1 - expected.top1
    if expected.low is None or expected.high is None:
        return Verdict(UNJUDGED, expected, margin)
    word = _WORDS[claims.place(top1, expected.low, expected.high)]
    return Verdict(word, expected, margin)


def interval(expected: Expected | None) -> str:
    """Where the accuracy should lie, "97.5-100.0%"; else the one number known, or -."""
    if expected is None:
        return "-"
    if expected.low is None or expected.high is None:
        return f"{expected.top1:.1%}"
    return f"{100 * expected.low:.1f}-{expected.high:.1%}"


def named_recipe(recipe: Recipe) -> Recipe | None:
    """The recipe of this name as this version of the package has it."""
    return recipes.get(recipe.name) if recipe.name in recipes.names() else None


def expectation(
    recipe: Recipe, number: int, identity: Mapping[str, Any]
) -> Expected | None:
    """What is expected of a stage of a run.

    The named recipe's value, as this version of the package has it, where that recipe
    would train the very same stage, and stages before it; a run's own recipe may hold
    an older value, or none after an override. Else the recipe's own value. What was
    measured counts for runs on the same images in the same precision alone.

    Args:
      recipe: the run's.
      number: the stage.
      identity: the run's precision and data fingerprint, see `Workdir.identity`.
    """
    own, named = recipe.stages[number].expected, named_recipe(recipe)
    same = (
        named is not None
        and number < len(named.stages)
        and stage_key({}, recipe, number) == stage_key({}, named, number)
    )
    found = (same and named and named.stages[number].expected) or own
    fingerprint = identity.get("data_fingerprint")
    is_same_data = fingerprint == FINGERPRINTS.get(recipe.data.source, fingerprint)
    precision = identity.get("precision", "float32")
    if is_same_data and precision == "float32":
        return found
    if is_same_data and same and (claim := claimed(recipe.name, number, precision)):
        return claim
    # Others' single numbers stand beside a run; none is judged by them.
    return None if found is None or found.source == SOURCE else found
