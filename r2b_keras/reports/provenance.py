"""Where a run's numbers come from, and how to make them again."""

import importlib.util
import pathlib
import shlex
from typing import Any

from r2b_keras import files, recipes
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe
from r2b_keras.reports.verdicts import named_recipe
from r2b_keras.trainers.workdir import Workdir

LINE = 80


def read_identity(workdir: Workdir) -> dict[str, Any]:
    """What `recipe.json` says beside the recipe: seed, precision, fingerprint."""
    identity: dict[str, Any] = files.read_json(workdir.path / "recipe.json")
    return identity


def read_manifest(workdir: Workdir) -> dict[str, Any]:
    """The `manifest.json`, empty where there is none.

    Raises:
      InputError: it is damaged.
    """
    path = workdir.path / "manifest.json"
    if not path.exists():
        return {}
    manifest = files.read_json(path)
    runs = manifest.get("runs", []) if isinstance(manifest, dict) else None
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise InputError(
            f"{path} is no manifest of this package's: restore it, or move it away."
        )
    result: dict[str, Any] = manifest
    return result


def command_line(run: dict[str, Any]) -> str:
    """How a run was started, to be pasted into a shell.

    Args:
      run: an entry of the manifest's `runs`.
    """
    words = [str(word) for word in run.get("command", [])]
    if not words:
        return "(not recorded)"
    name = pathlib.PurePath(words[0]).stem
    ours = words[0].endswith(".py") and name.isidentifier()
    if ours and importlib.util.find_spec(f"r2b_keras.{name}") is not None:
        words[:1] = ["python", "-m", f"r2b_keras.{name}"]
    return _in_lines(words)


def from_recipe_file(workdir: Workdir, recipe: Recipe, identity: dict[str, Any]) -> str:
    """A command that trains the same chain in a new folder, from the saved recipe."""
    words = [
        "python",
        "-m",
        "r2b_keras.train",
        f"--recipe={workdir.path / 'recipe.json'}",
        f"--stage={len(recipe.stages) - 1}",
        f"--seed={identity.get('seed', 0)}",
        f"--precision={identity.get('precision', 'float32')}",
    ]
    if not identity.get("deterministic", True):
        words.append("--nodeterministic")
    return _in_lines([*words, "--workdir=NEW_FOLDER"])


def _in_lines(words: list[str]) -> str:
    """A command for a shell, with a line for each option where one would be long."""
    if len(shlex.join(words)) <= LINE:
        return shlex.join(words)
    first = next((i for i, word in enumerate(words) if word.startswith("--")), 1)
    rest = (shlex.quote(word) for word in words[first:])
    return " \\\n    ".join([shlex.join(words[:first]), *rest])


def changes(recipe: Recipe) -> list[str] | None:
    """Where a run's recipe differs from the named one as this version has it.

    Returns:
      `path: named value -> this run's` for each; None where no recipe has this name.
    """
    named = named_recipe(recipe)
    if named is None:
        return None
    return recipes.differences(recipes.to_dict(named), recipes.to_dict(recipe))
