"""The folder of a run: what is in it, and whether it belongs to this run.

recipe.json        recipe, seed, precision and data that the folder is for
manifest.json      versions, machine, timings
metrics.csv        one row per epoch of every stage
stage_K/
  checkpoint.npz   the last finished epoch, while the stage is in progress
  model.keras      the finished student
  result.json      written last: the stage is complete
  tensorboard/
"""

import csv
import dataclasses
import fcntl
import io
import pathlib
from typing import Any

from r2b_keras import recipes
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe
from r2b_keras.trainers import files


@dataclasses.dataclass(frozen=True)
class StageResult:
    """What a finished stage gave.

    Attributes:
      stage: its number.
      network: name of the student.
      precision: precision of the student.
      top1: accuracy on the test set, a fraction.
      top5: the same among the five best.
      validation_top1: accuracy on the validation part, a fraction; None without one.
      epochs: epochs trained.
      seconds: time they took, validation included.
      bytes: deployed size, binary weights at one bit and all others at 32.
      parameters: weights of any precision.
      binary_parameters: how many of them are binary.
    """

    stage: int
    network: str
    precision: str
    top1: float
    top5: float
    validation_top1: float | None
    epochs: int
    seconds: float
    bytes: int
    parameters: int
    binary_parameters: int


class Workdir:
    """Paths and files of one run's folder.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        """Stores the path; nothing is created."""
        self.path = pathlib.Path(path)
        self._lock: io.TextIOWrapper | None = None

    def stage(self, number: int) -> pathlib.Path:
        """Folder of a stage."""
        return self.path / f"stage_{number}"

    def checkpoint(self, number: int) -> pathlib.Path:
        """Checkpoint of a stage in progress."""
        return self.stage(number) / "checkpoint.npz"

    def model(self, number: int) -> pathlib.Path:
        """Finished student of a stage."""
        return self.stage(number) / "model.keras"

    def result(self, number: int) -> StageResult | None:
        """Result of a stage, None while it is not complete.

        Raises:
          InputError: the file is damaged.
        """
        path = self.stage(number) / "result.json"
        if not path.exists():
            return None
        values = files.read_json(path)
        try:
            return StageResult(**values)
        except TypeError as error:
            raise InputError(
                f"{path} is not a stage's result ({error}): delete the folder "
                f"{path.parent} to train that stage again."
            ) from error

    def save_result(self, result: StageResult) -> None:
        """Marks a stage complete and removes its checkpoint."""
        path = self.stage(result.stage) / "result.json"
        files.write_json(path, dataclasses.asdict(result))
        self.checkpoint(result.stage).unlink(missing_ok=True)

    def claim(self, identity: dict[str, Any]) -> None:
        """Takes the folder for this run: creates it, or checks that it is the same run.

        Args:
          identity: recipe, seed, precision and data fingerprint, as plain data.

        Raises:
          InputError: the folder is of another run (the message names what differs), or
            another process is at work in it.
        """
        path = self.path / "recipe.json"
        if path.exists():
            self.check(identity)
        elif self.path.exists() and any(self.path.iterdir()):
            raise InputError(
                f"{self.path} is not empty and holds no recipe.json, expected a new "
                "folder or one made by this command: choose another --workdir."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        if not path.exists():
            files.write_json(path, identity)

    def recipe(self) -> Recipe:
        """The recipe that the folder was made for.

        Raises:
          InputError: there is none.
        """
        path = self.path / "recipe.json"
        if not path.exists():
            raise InputError(
                f"{self.path} holds no recipe.json, expected the --workdir of a "
                "training run: make one with `python -m r2b_keras.train --workdir=...`."
            )
        return recipes.from_dict(files.read_json(path)["recipe"])

    def check(self, identity: dict[str, Any]) -> None:
        """Raises `InputError` if the folder was made by another run."""
        saved = files.read_json(self.path / "recipe.json")
        found = recipes.differences(saved, identity)
        if found:
            raise InputError(
                f"{self.path} was made by another run: {'; '.join(found[:5])}"
                f"{' and more' if len(found) > 5 else ''}. Choose another --workdir, "
                "or give the same recipe, overrides, seed, precision and data."
            )

    def _take_lock(self) -> None:
        """Holds a lock on the folder for the life of the process."""
        self._lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                f"Another process is training in {self.path}: wait for it, or choose "
                "another --workdir."
            ) from error

    def append_metrics(self, stage: int, epoch: int, values: dict[str, float]) -> None:
        """Writes an epoch's row to `metrics.csv`.

        Rows of the same stage from this epoch on, left by a run that was cut off after
        them but before its checkpoint, are replaced.
        """
        path = self.path / "metrics.csv"
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                rows = [
                    row
                    for row in csv.DictReader(file)
                    if (int(row["stage"]), int(row["epoch"])) < (stage, epoch)
                    or int(row["stage"]) > stage
                ]
        new = {"stage": stage, "epoch": epoch}
        rows.append(new | {name: f"{value:.6g}" for name, value in values.items()})
        rows.sort(key=lambda row: (int(row["stage"]), int(row["epoch"])))
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        files.write_text(path, text.getvalue())
