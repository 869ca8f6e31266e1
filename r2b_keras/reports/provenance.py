"""Where a run's numbers come from, and how to make them again."""

import importlib.util
import pathlib
import shlex
from collections.abc import Sequence
from typing import Any

from r2b_keras import recipes
from r2b_keras.board.card import ModelCard
from r2b_keras.recipes import Recipe
from r2b_keras.reports import deployed
from r2b_keras.reports.deployed import Deployed
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.trainers.expectations import named_recipe
from r2b_keras.trainers.workdir import Workdir

LINE = 80


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


def data_dir(runs: list[dict[str, Any]]) -> str | None:
    """The folder of images that the last run was given which was given any."""
    found = _given(runs, "data_dir")
    return found[-1] if found else None


def own_code(runs: list[dict[str, Any]]) -> list[str]:
    """The modules that the last run imported which imported any, as flags."""
    return [f"--import={name}" for name in _given(runs, "import")]


def _given(runs: list[dict[str, Any]], name: str) -> list[str]:
    """All values of a flag in the last run that was given any."""
    for run in reversed(runs):
        words = [str(word) for word in run.get("command", [])][1:]
        found = []
        # As absl reads flags: one hyphen or two, a value behind "=" or as a word of its
        # own.
        for place, word in enumerate(words):
            flag, equals, value = word.partition("=")
            if flag in (f"-{name}", f"--{name}"):
                found += [value] if equals else words[place + 1 : place + 2]
        if found:
            return found
    return []


def convert_command(
    workdir: Workdir,
    name: str,
    card: ModelCard | None,
    images: str | None,
    modules: Sequence[str] = (),
) -> str:
    """A command that makes a converted file, again as far as its card tells.

    Args:
      workdir: the run's folder.
      name: of the file to write.
      card: what it says about itself, None for a file that is not there yet.
      images: the run's `data_dir`.
      modules: its `own_code`.
    """
    words = ["python", "-m", "r2b_keras.convert", f"--workdir={workdir.path}"]
    if card is not None:
        words += [
            f"--stage={card.stage}",
            f"--real_weights={card.real_weights}",
            f"--input={card.input_type}",
        ]
    return _in_lines([*words, *_images(images), *modules, f"--output={name}"])


def train_command(
    record: RunRecord, images: str | None, modules: Sequence[str] = ()
) -> str:
    """A command that trains the same chain in a new folder, from the saved recipe.

    Args:
      record: of the run.
      images: its `data_dir`.
      modules: its `own_code`.
    """
    identity = record.identity
    words = [
        *("python", "-m", "r2b_keras.train"),
        f"--recipe={record.workdir.path / 'recipe.json'}",
        f"--stage={len(record.recipe.stages) - 1}",
        f"--seed={identity.get('seed', 0)}",
        f"--precision={identity.get('precision', 'float32')}",
        *_images(images),
        *modules,
    ]
    if not identity.get("deterministic", True):
        words.append("--nodeterministic")
    return _in_lines([*words, "--workdir=NEW_FOLDER"])


def _images(folder: str | None) -> list[str]:
    return [] if folder is None else [f"--data_dir={folder}"]


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


def section(record: RunRecord, files: list[Deployed]) -> dict[str, Any]:
    """All that is needed to run it again, for the template.

    Args:
      record: of the run.
      files: what was converted.
    """
    images, modules = data_dir(record.runs), own_code(record.runs)
    identity = record.identity
    own = [file for file in files if deployed.is_of_run(file, record)]
    path = record.workdir.path / "recipe.json"
    output = str(record.workdir.path / "model.tflite")
    return {
        "commands": [command_line(run) for run in record.runs],
        "train": train_command(record, images, modules),
        "recipe": path.read_text(encoding="utf-8-sig"),
        "changes": changes(record.recipe),
        "convert": convert_command(record.workdir, output, None, images, modules),
        "conversions": [
            convert_command(record.workdir, file.name, file.card, images, modules)
            for file in own
            if file.card
        ],
        "unknown_files": [file.name for file in files if file not in own],
        "facts": [
            ("Seed", identity.get("seed")),
            ("Precision", identity.get("precision")),
            ("Deterministic", "yes" if identity.get("deterministic") else "no"),
            ("Data fingerprint, SHA-256", identity.get("data_fingerprint")),
            *_machines(record.runs),
        ],
    }


def _machines(runs: list[dict[str, Any]]) -> list[tuple[str, object]]:
    """Revision, machine and versions of the runs, of later ones where they differ."""
    shown: list[tuple[str, object]] = []
    seen: list[tuple[Any, ...]] = []
    for number, run in enumerate(runs, 1):
        found = tuple(run.get(key) for key in ("git_revision", "machine", "versions"))
        if found in seen:
            continue
        seen.append(found)
        which = "" if len(runs) == 1 else f", run {number}"
        revision, machine, versions = found
        shown += [
            (f"Git revision{which}", revision or "not in a checkout"),
            (f"Machine{which}", _in_words(machine)),
            (f"Versions{which}", _in_words(versions)),
        ]
    return shown


def _in_words(values: object) -> str:
    if not isinstance(values, dict):
        return "not recorded"
    return ", ".join(f"{name} {value}" for name, value in values.items())
