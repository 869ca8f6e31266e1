"""The folder of a run: what is in it, and whether it belongs to this run.

recipe.json        recipe, seed, precision and data that the folder is for
manifest.json      versions, machine, timings
metrics.csv        one row per epoch of every stage
failed.json        why a run of a sweep or an ablation has failed
stage_K/
  checkpoint.npz   the last finished epoch, while the stage is in progress
  best_N.npz       weights of the best epoch so far, N, where that is kept
  model.keras      the finished student
  key.txt          what its training rests on, see `library.stage_key`
  result.json      written last: the stage is complete
  tensorboard/
"""

import contextlib
import csv
import dataclasses
import pathlib
import weakref
from typing import Any

from r2b_keras import files, folders, recipes
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe

METRICS, FAILURE = "metrics.csv", "failed.json"
_KEY, _RECIPE = "key.txt", "recipe.json"


@dataclasses.dataclass(frozen=True)
class StageResult:
    """What a finished stage gave.

    Attributes:
      stage: its number.
      network: name of the student.
      binarization: the student's, see `Network`.
      top1: accuracy on the test set, a fraction.
      top5: the same among the five best; None for no more than five classes.
      validation_top1: accuracy on the validation part, a fraction; None without one.
      epochs: epochs trained.
      kept_epoch: the one whose weights were kept, from 1 on; None for the last.
      seconds: time they took, validation included.
      bytes: deployed size: binary weights at one bit, those of integer layers at 8 and
        all others at 32.
      parameters: weights, real and binary.
      binary_parameters: how many of them are binary.
    """

    stage: int
    network: str
    binarization: str
    top1: float
    top5: float | None
    validation_top1: float | None
    epochs: int
    seconds: float
    bytes: int
    parameters: int
    binary_parameters: int
    kept_epoch: int | None = None


class Workdir:
    """Paths and files of one run's folder.

    Args:
      path: the folder; it need not exist yet.
    """

    def __init__(self, path: str | pathlib.Path) -> None:
        """Stores the path; nothing is created."""
        self.path = pathlib.Path(path)
        self._held: weakref.finalize | None = None

    def stage(self, number: int) -> pathlib.Path:
        """Folder of a stage."""
        return self.path / f"stage_{number}"

    def key(self, number: int) -> str | None:
        """What a stage's training rested on, see `library.stage_key`.

        None where that is not known, or where parts of it rested on something else.
        """
        path = self.stage(number) / _KEY
        return path.read_text(encoding="utf-8").strip() if path.exists() else None

    def note_key(self, number: int, key: str | None) -> None:
        """Writes down what a stage's training rests on; None for not known."""
        path = self.stage(number) / _KEY
        if key is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write_text(path, f"{key}\n")

    def checkpoint(self, number: int) -> pathlib.Path:
        """Checkpoint of a stage in progress."""
        return self.stage(number) / "checkpoint.npz"

    def best(self, number: int, epoch: int) -> pathlib.Path:
        """Weights of an epoch of a stage in progress that was the best so far."""
        return self.stage(number) / f"best_{epoch}.npz"

    def forget_best(self, number: int, but: int = 0) -> None:
        """Deletes weights of best epochs of a stage, those of one epoch excepted."""
        for path in self.stage(number).glob("best*.npz"):
            if path != self.best(number, but):
                path.unlink(missing_ok=True)

    def model(self, number: int) -> pathlib.Path:
        """Finished student of a stage."""
        return self.stage(number) / "model.keras"

    def require_model(self, number: int) -> None:
        """Refuses a stage that is complete but for its student, which somebody took.

        Raises:
          InputError: the file is missing.
        """
        path = self.model(number)
        if self.result(number) is not None and not path.exists():
            raise InputError(
                f"Stage {number} was trained in {self.path}, but {path} is missing: "
                f"put it back, or delete the folder {path.parent} to train it again."
            )

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
        except (TypeError, AttributeError) as error:
            raise InputError(
                f"{path} is not a stage's result ({error}): delete the folder "
                f"{path.parent} to train that stage again."
            ) from error

    def finished_stage(self, stage: int | None = None) -> int:
        """The stage that is asked for, or the last finished one when None.

        Raises:
          InputError: it is not complete, or the recipe has no such stage.
        """
        count = len(self.recipe().stages)
        if stage is not None and not 0 <= stage < count:
            raise InputError(
                f"--stage={stage} is out of range, the recipe of {self.path} has "
                f"stages 0 to {count - 1}."
            )
        finished = [number for number in range(count) if self.result(number)]
        if stage is None and finished:
            return finished[-1]
        if stage is None or stage not in finished:
            wanted = "No stage is" if stage is None else f"Stage {stage} is not"
            complete = ", ".join(map(str, finished)) or "none"
            raise InputError(
                f"{wanted} complete in {self.path} (complete: {complete}): train it "
                "first with `python -m r2b_keras.train`."
            )
        return stage

    def save_result(self, result: StageResult) -> None:
        """Marks a stage complete and removes its checkpoints."""
        path = self.stage(result.stage) / "result.json"
        files.write_json(path, dataclasses.asdict(result))
        self.checkpoint(result.stage).unlink(missing_ok=True)
        self.forget_best(result.stage)

    def failure(self) -> str | None:
        """Why the run has failed, None where no such thing was noted.

        Raises:
          InputError: the file is damaged.
        """
        path = self.path / FAILURE
        if not path.exists():
            return None
        values = files.read_json(path)
        if not isinstance(values, dict) or "reason" not in values:
            raise InputError(
                f"{path} gives no reason: delete it to train that run again."
            )
        return str(values["reason"])

    def note_failure(self, name: str, error: Exception) -> str:
        """Notes why the run `name` has failed, says so and returns the reason."""
        # Of TensorFlow's errors the other lines are the trace of a graph.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        files.write_json(self.path / FAILURE, {"reason": reason})
        print(f"{name} failed: {reason}", flush=True)
        return reason

    def claim(self, identity: dict[str, Any], alone: bool = True) -> None:
        """Takes the folder for this run: creates it, or checks that it is the same run.

        Args:
          identity: recipe, seed, precision and data fingerprint, as plain data.
          alone: hold it for as long as this object or process lives; False in a process
            that works with the one that holds it.

        Raises:
          InputError: the folder is of another run (the message names what differs).
          FolderInUseError: another process is at work in it.
        """
        settings = "recipe, overrides, seed, precision and data"
        folders.claim(self.path, _RECIPE, identity, "run", settings)
        if not alone or self._held:
            return
        held = contextlib.ExitStack()
        held.enter_context(folders.in_use(self.path, "training"))
        self._held = weakref.finalize(self, held.close)
        files.remove_partial(self.path)

    def release(self) -> None:
        """Lets go of the folder, if this object holds it: others may claim it."""
        if self._held is not None:
            self._held()
            self._held = None

    @property
    def has_recipe(self) -> bool:
        """Whether it is a run's folder, as far as a look tells."""
        return (self.path / _RECIPE).exists()

    def recipe(self) -> Recipe:
        """The recipe that the folder was made for.

        Raises:
          InputError: there is none, or it is damaged.
        """
        return recipes.from_dict(self.identity()["recipe"])

    def identity(self) -> dict[str, Any]:
        """What the folder was made for: recipe, seed, precision, data fingerprint.

        Raises:
          InputError: there is none, or it is damaged.
        """
        path = self.path / _RECIPE
        if not self.has_recipe:
            raise InputError(
                f"{self.path} holds no recipe.json, expected the --workdir of a "
                "training run: make one with `python -m r2b_keras.train --workdir=...`."
            )
        identity: Any = files.read_json(path)
        if not isinstance(identity, dict) or "recipe" not in identity:
            raise InputError(
                f"{path} holds no recipe: restore it, or train in a new folder."
            )
        return identity

    def append_metrics(self, stage: int, epoch: int, values: dict[str, float]) -> None:
        """Writes an epoch's row to `metrics.csv`.

        Rows of the same stage from this epoch on, left by a run that was cut off after
        them but before its checkpoint, are replaced.

        Raises:
          InputError: the file is damaged.
        """
        before = [row for row in self.metrics(stage) if int(row["epoch"]) < epoch]
        new: dict[str, Any] = {"stage": stage, "epoch": epoch}
        new |= {name: as_written(value) for name, value in values.items()}
        self.replace_metrics(stage, [*before, new])

    def metrics(self, stage: int) -> list[dict[str, Any]]:
        """A stage's rows of `metrics.csv`, without the columns of other stages.

        Raises:
          InputError: the file is damaged.
        """
        return [
            {name: value for name, value in row.items() if value}
            for row in read_metrics(self.path / METRICS)
            if int(row["stage"]) == stage
        ]

    def replace_metrics(self, stage: int, rows: list[dict[str, Any]]) -> None:
        """Writes a stage's rows of `metrics.csv` in place of those that it has.

        Args:
          stage: its number.
          rows: as `metrics` gives them, at least one.

        Raises:
          InputError: the file is damaged.
        """
        path = self.path / METRICS
        others = [row for row in read_metrics(path) if int(row["stage"]) != stage]
        in_order = sorted(
            [*others, *rows], key=lambda row: (int(row["stage"]), int(row["epoch"]))
        )
        files.write_csv(path, in_order)


def as_written(value: float) -> str:
    """A number as `metrics.csv` has it."""
    return f"{value:.6g}"


def read_metrics(path: pathlib.Path) -> list[dict[str, Any]]:
    """Rows of a `metrics.csv`, none where there is no file yet.

    Raises:
      InputError: the file is damaged.
    """
    if not path.exists():
        return []
    try:
        rows = files.read_csv(path)
        damaged = any(
            None in row or not (int(row["stage"]) >= 0 and int(row["epoch"]) >= 0)
            for row in rows
        )
    except (ValueError, KeyError, TypeError, csv.Error):
        damaged = True
    if damaged:
        raise InputError(
            f"{path} is no table of this command's: restore it, or move it away to "
            "start a new one."
        )
    return rows
