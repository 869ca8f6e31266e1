"""The folder of a sweep: what is in it, whose it is, and the recipe of each trial.

sweep.json         recipe, stage, tuner, space, seed, precision and data
tuner/             Keras Tuner's state
workers/           signs of life of the processes
stages/            finished stages, shared by all trials
trials/ID/         the workdir of each trial, of which 000 is the recipe's own setting;
                   failed.json says why one has failed
seeds/N/           the recipe's own setting with further seeds
hparams/           for TensorBoard
trials.csv, sweep.png, best_recipe.json
"""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from r2b_keras import folders, locks, own_code, recipes
from r2b_keras.checks import require_choice, require_count
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe
from r2b_keras.sweeps import space as space_module
from r2b_keras.sweeps.space import Field, Space

if TYPE_CHECKING:
    from r2b_keras.data import ImageDataset

# Keras Tuner's name for the epochs that Hyperband gives to a trial.
EPOCHS = "tuner/epochs"

TUNERS = ("random", "hyperband", "bayesian")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a sweep does; two runs share a folder only if `identity` is equal.

    Attributes:
      recipe: what the trials change.
      stage: the stage that is tuned.
      tuner: "random", "hyperband" or "bayesian".
      space: what varies.
      seed: of the values and of every training.
      precision: compute precision.
      data_dir: where the images lie, None for the source's own places.
      dataset: the images, which all trials share.
      seeds: with how many seeds, from `seed` on, the recipe's own setting is trained.
      modules: what was imported for parts of the user's own.
    """

    recipe: Recipe
    stage: int
    tuner: str
    space: Space
    seed: int
    precision: str
    data_dir: str | None
    dataset: "ImageDataset"
    seeds: int = 1
    modules: tuple[str, ...] = ()

    def identity(self) -> dict[str, Any]:
        """Plain data for `sweep.json`; where images and modules lie does not matter.

        Raises:
          InputError: a file that a stage rests on cannot be read.
        """
        from r2b_keras.trainers import trained

        return {
            "recipe": recipes.to_dict(self.recipe),
            "stage": self.stage,
            "tuner": self.tuner,
            "space": self.space.content,
            "seed": self.seed,
            "precision": self.precision,
            "data_fingerprint": self.dataset.fingerprint,
            "training_code": own_code.of_training()[:16],
            **trained.files_of(self.recipe),
        }


def check_settings(
    recipe: Recipe,
    stage: int,
    tuner: str,
    space: Space,
    max_trials: int = 1,
    seeds: int = 1,
) -> None:
    """Refuses what can be refused before any data is loaded.

    Raises:
      InputError: no trials, or a space that Hyperband cannot have.
    """
    require_choice("--tuner", tuner, TUNERS)
    require_count("--max_trials", max_trials)
    require_count("--seeds", seeds)
    if tuner != "hyperband":
        return
    epochs = recipe.stages[stage].epochs
    if epochs < 3:
        raise InputError(
            f"Stage {stage} has {epochs} epochs, expected at least 3 for Hyperband, "
            "which starts with a third of them: take --tuner=random."
        )
    for field in space.fields:
        if field.path in (f"stages.{stage}.epochs", "stages.*.epochs"):
            raise InputError(
                f"{space.source} names {field.name!r}, but the epochs of stage {stage} "
                "are what Hyperband varies itself: leave it out, or take another "
                "--tuner."
            )


def trial_number(trial_id: str) -> int:
    """Number of one of Keras Tuner's trials: 0 is the recipe's own setting."""
    return int(trial_id) + 1


class Sweep:
    """Paths of a sweep's folder, and what its trials train.

    Args:
      path: the folder; it need not exist yet.
      settings: what the sweep does.
    """

    def __init__(self, path: str | pathlib.Path, settings: Settings) -> None:
        """Stores both; nothing is created."""
        self.path = pathlib.Path(path)
        self.settings = settings
        self.tuner = self.path / "tuner"
        self.workers = self.path / "workers"
        self.stages = self.path / "stages"
        self.hparams = self.path / "hparams"

    def trial(self, number: int) -> pathlib.Path:
        """Workdir of a trial."""
        return self.path / "trials" / f"{number:03d}"

    def own(self, offset: int) -> pathlib.Path:
        """Workdir of the recipe's own setting, whose first seed is trial 0."""
        seed = self.settings.seed + offset
        return self.path / "seeds" / str(seed) if offset else self.trial(0)

    def own_values(self) -> dict[str, Any]:
        """The recipe's own values of the fields that vary, as Keras Tuner has them.

        Of a field of all stages that of the tuned one.
        """
        fields = self.settings.space.fields
        return {field.name: self._own_value(field) for field in fields}

    def _own_value(self, field: Field) -> Any:
        path = field.path.replace("*", str(self.settings.stage))
        value = space_module.value_at(recipes.to_dict(self.settings.recipe), path)
        if field.kind == "choice":
            return space_module.as_text(value)
        return int(value) if field.kind == "int" else float(value)

    def texts(self, values: Mapping[str, Any]) -> dict[str, str]:
        """A trial's values by override path.

        With Hyperband's epochs for the stage that is tuned. Each of its trials trains
        anew, from the stage's own start: the learning rate's schedule depends on the
        length, so a longer trial is no continuation of a shorter one; and so the best
        recipe alone gives the trial's accuracy again.
        """
        fields = self.settings.space.fields
        found = {
            field.path: space_module.as_text(values[field.name]) for field in fields
        }
        if EPOCHS in values:
            found[f"stages.{self.settings.stage}.epochs"] = str(values[EPOCHS])
        return found

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a trial with these values, as Keras Tuner has them."""
        return space_module.change(self.settings.recipe, self.texts(values))

    def claim(self) -> None:
        """Takes the folder for this sweep: creates it, or checks that it is the same.

        Raises:
          InputError: the folder is of another sweep (the message names what differs),
            or holds other files.
        """
        settings = (
            "recipe, overrides, stage, tuner, space, seed, precision, data and code of "
            "the package"
        )
        wanted = self.settings.identity()
        folders.claim(self.path, "sweep.json", wanted, "sweep", settings)

    @contextlib.contextmanager
    def trial_held(self, number: int) -> Iterator[None]:
        """Waits until no other process trains this trial, then holds it.

        Two may have it where one was given up for lost too early.
        """
        self.trial(number).parent.mkdir(parents=True, exist_ok=True)
        with locks.held(self.trial(number).with_suffix(".lock")):
            yield
