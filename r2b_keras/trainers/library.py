"""Finished stages that several runs share: each is trained once, by the first.

Runs of a sweep or an ablation differ in some stages and agree in those before them. A
stage is kept under a key made of all that its training depends on, so that only runs
that would train the very same network ever meet.

LIBRARY/KEY/
  model.keras    as in a workdir
  result.json
  metrics.csv    the stage's rows of it; older libraries have none
LIBRARY/KEY.lock held by the run that is training it
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import shutil
from collections.abc import Iterator
from typing import Any

from r2b_keras import files, locks, recipes
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.recipes.schema import DESCRIPTIONS
from r2b_keras.trainers.workdir import METRICS, Workdir, read_metrics

# Fields that older libraries do not know: left out of a key where they change nothing.
_NEWER = {
    "keep": "last",
    "patience": 0,
    "average": 0.0,
    "student.real_layers": "float",
    "student.prelu_shifts": False,
    "student.thresholds": "learned",
    "student.activation_clip": 1.0,
    "student.weight_standardization": "none",
    "student.weight_quantile": 1.0,
    "augmentation.others": [],
    "augmentation.crop_area": 0.08,
    "losses.label_smoothing": 0.0,
    "losses.class_weights": [],
    "losses.taps": [],
    "optimizer.groups": [],
    "optimizer.clip_norm": 0.0,
}


def stage_key(
    identity: dict[str, Any], recipe: Recipe, number: int, replicas: int = 1
) -> str:
    """What tells a finished stage from any other.

    Two runs give a stage the same key if and only if they would train it alike: its
    own settings, those of the stages that it rests on, the data, the seed (which goes
    with the stage's number), the precision, and how many replicas share a batch.

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
    whole = {**rest, "data": recipes.to_dict(recipe.data), "number": number}
    whole["stages"] = {
        needed: _settings(recipe.stages[needed], identity.get("files", {}))
        for needed in recipe.stages_needed(number)
    }
    if replicas > 1:  # as in older libraries, so that stages of a single one are found
        whole["replicas"] = replicas
    text = json.dumps(whole, sort_keys=True)
    return f"stage_{number}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _settings(stage: Stage, files: dict[str, str]) -> dict[str, Any]:
    """A stage's settings, without words about it and a teacher it does not hear."""
    if not stage.losses.needs_teacher:
        stage = dataclasses.replace(stage, teacher=None)
    values = recipes.to_dict(stage)
    for role in ("teacher", "start_from"):
        values[role] = files.get(values[role], values[role])
    # As in older libraries, so that their stages are found.
    values["student"]["precision"] = values["student"].pop("binarization")
    for path, neutral in _NEWER.items():
        *parts, name = path.split(".")
        owner = values[parts[0]] if parts else values
        if owner[name] == neutral:
            del owner[name]
    return {name: value for name, value in values.items() if name not in DESCRIPTIONS}


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
        # Last: it says that the stage is complete.
        _share(source / "result.json", target / "result.json")
        for left in (workdir.checkpoint(number), workdir.best(number)):
            left.unlink(missing_ok=True)
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
    """The same file under a second name, or a copy where that cannot be."""
    with files.written_whole(target) as aside:
        aside.unlink()
        try:
            os.link(source, aside)
        except OSError:
            shutil.copyfile(source, aside)
