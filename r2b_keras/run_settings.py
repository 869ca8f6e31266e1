"""How a run is trained: by its flags, and by what the file of its recipe says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from absl import flags

from r2b_keras import recipes
from r2b_keras.errors import InputError


def resolve(
    values: flags.FlagValues, recipe: str, names: Sequence[str]
) -> tuple[dict[str, Any], str]:
    """Settings by name, and the words for those of them that come from the file.

    A flag that was given wins over the file, the file over the flag's default.

    Args:
      values: the command's flags.
      recipe: what --recipe names.
      names: of flags, some of `recipes.RUN_SETTINGS`.

    Returns:
      The settings; and one line for people where the file has changed them, else "".

    Raises:
      InputError: no such recipe, or a value in its file that the flag would not take.
    """
    found: dict[str, Any] = {name: values[name].value for name in names}
    own = []
    for name, value in recipes.run_settings(recipe).items():
        if name in found and not values[name].present:
            found[name] = _parsed(values, recipe, name, value)
            own.append(f"--{name}={found[name]}")
    told = f"{recipe} was trained with {' '.join(own)}, and so is this run."
    return found, told if own else ""


def _parsed(values: flags.FlagValues, recipe: str, name: str, value: Any) -> Any:
    try:
        return values[name].parser.parse(value)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{recipe} has the {name} {value!r}, which --{name} does not take "
            f"({error}): restore the file, or give --{name}."
        ) from error
