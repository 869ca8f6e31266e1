"""What we measured of the named recipes: the claims about their stages.

`claims.csv` is a link to `results/claims.csv`, which `reproduce --record` writes; in an
installed package it is a copy.
"""

import functools
import pathlib

from r2b_keras import claims
from r2b_keras.recipes.stage_parts import Expected

SOURCE = "measured"
# SHA-256 of the images that were measured, by a recipe's `data.source`. A folder may
# hold others: plain MNIST has the names and sizes of Fashion-MNIST's files. A name of
# TensorFlow Datasets says which images they are; their order is its preparation's.
FINGERPRINTS = {
    "digits": "31f0e2b40091813d85a3ac08228ca42117d90746d0a7f90632ee6ea1c63ae052",
    "fashion_mnist": "145c7cc693ba9309a106bf85524ac71e85fcfb2e7d8183008ef3c512c60b6793",
}
_CLAIMS = pathlib.Path(__file__).parent / "claims.csv"


def stage_claim(experiment: str, stage: int) -> str:
    """Name of the claim about a stage's accuracy on the test set."""
    return f"{experiment}: stage {stage}, top-1"


def expected(recipe: str, stage: int, precision: str = "float32") -> Expected | None:
    """What a stage of a named recipe reaches, None where it is not claimed.

    Args:
      recipe: its name.
      stage: number of the stage.
      precision: compute precision, which has claims of its own.
    """
    experiment = recipe.replace("/", "_")
    if precision != "float32":
        experiment += f"_{precision}"
    found = _claims().get(stage_claim(experiment, stage))
    if found is None:
        return None
    return Expected(found.value, SOURCE, found.low, found.high)


def expected_of_stages(recipe: str, num_stages: int) -> list[Expected | None]:
    """What each stage of a named recipe reaches, in float32."""
    return [expected(recipe, stage) for stage in range(num_stages)]


@functools.cache
def _claims() -> dict[str, claims.Claim]:
    return claims.read(_CLAIMS)
