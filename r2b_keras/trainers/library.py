"""Finished stages that several runs share: each is trained once, by the first.

Runs of a sweep or an ablation differ in some stages and agree in those before them. A
stage is kept under a key made of all that its training depends on, so that only runs
that would train the very same network ever meet.

LIBRARY/KEY/
  model.keras    as in a workdir
  result.json
  metrics.csv    the stage's rows of it, where there are any
LIBRARY/KEY.lock held by the run that is training it
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

from r2b_keras import files, locks, own_code, recipes
from r2b_keras.checks import require_code
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.recipes.schema import DESCRIPTIONS
from r2b_keras.trainers.workdir import METRICS, Workdir, read_metrics

# Code of these is in each key: of larq as its version.
_OWN = ("r2b_keras", "larq")


def stage_key(
    identity: dict[str, Any], recipe: Recipe, number: int, replicas: int = 1
) -> str:
    """What tells a finished stage from any other.

    Two runs give a stage the same key only if they would train it alike: its own
    settings, those of the stages that it rests on, the data, the seed (which goes with
    the stage's number), the precision, how many replicas share a batch, the modules of
    this package that train, larq's version, and the source of other code that the
    settings name. The version of TensorFlow and the machine are not in it, nor is XLA:
    they change the last bits.

    Args:
      identity: see `r2b_keras.trainers.chain.run_identity`.
      recipe: the chain.
      number: the stage.
      replicas: parts of a batch that are trained side by side; each has BatchNorm's
        statistics of its own.

    Returns:
      A name for a folder.
    """
    # A file counts by its content, wherever it is: in `_settings`.
    apart = ("recipe", "files")
    rest = {name: value for name, value in identity.items() if name not in apart}
    stages = {
        needed: _settings(recipe.stages[needed], identity.get("files", {}))
        for needed in recipe.stages_needed(number)
    }
    whole = {
        **rest,
        "data": recipes.to_dict(recipe.data),
        "number": number,
        "replicas": replicas,
        "stages": stages,
        "code": _code({"source": recipe.data.entry.opens}),
        "versions": [own_code.of_training(), importlib.metadata.version("larq")],
    }
    text = json.dumps(_as_floats(whole), sort_keys=True)
    return f"stage_{number}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _as_floats(value: Any) -> Any:
    """The same with one spelling for each number: 1 and 1.0 are equal settings."""
    if isinstance(value, dict):
        return {name: _as_floats(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_floats(item) for item in value]
    return float(value) if type(value) is int else value


def _settings(stage: Stage, files: dict[str, str]) -> dict[str, Any]:
    """A stage's settings, without words about it and a teacher it does not hear."""
    if not stage.losses.needs_teacher:
        stage = dataclasses.replace(stage, teacher=None)
    values = recipes.to_dict(stage)
    for role in ("teacher", "start_from"):
        values[role] = files.get(values[role], values[role])
    values["code"] = _code({**stage.student.code(), **stage.augmentation.code()})
    return {name: value for name, value in values.items() if name not in DESCRIPTIONS}


def _code(named: dict[str, str]) -> dict[str, list[str]]:
    """What tells code, "module:name", from any other: its name and its source.

    Raises:
      InputError: it cannot be imported.
    """
    found = {}
    for entry, code in named.items():
        own = code.partition(".")[0] in _OWN
        source = "" if own else _source_of(require_code(entry, code), code)
        found[entry] = [code, source]
    return found


@functools.cache  # the file may be edited while what was imported of it trains
def _source_of(made: Callable[..., Any], code: str) -> str:
    """The SHA-256 of the files in which some code is named and written."""
    names = {code.partition(":")[0], getattr(made, "__module__", "")}
    paths = (getattr(sys.modules.get(name), "__file__", None) for name in sorted(names))
    digest = hashlib.sha256()
    for path in filter(None, paths):
        digest.update(pathlib.Path(path).read_bytes())
    return digest.hexdigest()


class StageLibrary:
    """A folder of finished stages.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        """Stores the path; nothing is created."""
        self.path = pathlib.Path(path)

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Waits until no other run is training this stage, then holds it.

        A run that is killed lets go of it. Where a file system knows no locks between
        machines, two may train the same stage, and both get the same network.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        if self.is_claimed(key):
            print(f"Waiting for another run to train {key} in {self.path}.", flush=True)
        with locks.held(self._lock(key)):
            yield

    def is_claimed(self, key: str) -> bool:
        """Whether a run is training this stage now."""
        return locks.is_held(self._lock(key))

    def _lock(self, key: str) -> pathlib.Path:
        return self.path / f"{key}.lock"

    def fetch(self, key: str, workdir: Workdir, number: int) -> bool:
        """Puts a finished stage into a workdir; returns whether there is one."""
        source = self.path / key
        if not source.exists():
            return False
        target = workdir.stage(number)
        target.mkdir(parents=True, exist_ok=True)
        _share(source / "model.keras", target / "model.keras")
        rows = read_metrics(source / METRICS)
        if rows:
            workdir.replace_metrics(number, rows)
        workdir.note_key(number, key)
        # Last: it says that the stage is complete.
        _share(source / "result.json", target / "result.json")
        workdir.checkpoint(number).unlink(missing_ok=True)
        workdir.forget_best(number)
        return True

    def publish(self, key: str, workdir: Workdir, number: int) -> None:
        """Adds a stage that a workdir has finished; whole or not at all."""
        target = self.path / key
        if target.exists():
            return
        aside = self.path / f"{files.PARTIAL}{key}-{secrets.token_hex(4)}"
        aside.mkdir(parents=True)
        try:
            for name in ("model.keras", "result.json"):
                _share(workdir.stage(number) / name, aside / name)
            rows = workdir.metrics(number)
            if rows:
                files.write_csv(aside / METRICS, rows)
            aside.rename(target)
        except OSError:
            # Another machine may have published the same just now.
            if not target.exists():
                raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)


def _share(source: pathlib.Path, target: pathlib.Path) -> None:
    """The same file under a second name, or a copy where that cannot be.

    Nobody may write to it: it would change in other folders too.
    """
    with files.written_whole(target) as aside:
        aside.unlink()
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
        with contextlib.suppress(OSError):  # somebody else's, in a shared library
            aside.chmod(aside.stat().st_mode & ~0o222)
