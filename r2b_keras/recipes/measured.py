"""What we measured of the named recipes: the claims about their stages.

`claims.csv` is a link to `results/claims.csv`, which `reproduce --record` writes; in an
installed package it is a copy.
"""

import functools
import pathlib

from r2b_keras import claims
from r2b_keras.recipes.schema import Expected

SOURCE = "measured"
_CLAIMS = pathlib.Path(__file__).parent / "claims.csv"


def stage_claim(experiment: str, stage: int) -> str:
    """Name of the claim about a stage's accuracy on the test set."""
    return f"{experiment}: stage {stage}, top-1"


def expected(recipe: str, stage: int) -> Expected | None:
    """What a stage of a named recipe reaches, None where it is not claimed.

    Args:
      recipe: its name.
      stage: number of the stage.
    """
    found = _claims().get(stage_claim(recipe.replace("/", "_"), stage))
    if found is None:
        return None
    return Expected(found.value, SOURCE, found.low, found.high)


@functools.cache
def _claims() -> dict[str, claims.Claim]:
    return claims.read(_CLAIMS)
