"""Trains one trial."""

import pathlib

from r2b_keras.recipes import Recipe
from r2b_keras.sweeps.sweep import Sweep
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.library import StageLibrary
from r2b_keras.trainers.workdir import StageResult, Workdir


def train(sweep: Sweep, recipe: Recipe, folder: pathlib.Path, seed: int) -> StageResult:
    """Trains the stage that is tuned, and all that it rests on.

    Args:
      sweep: its settings, and the stages that trials share.
      recipe: of the trial.
      folder: its workdir.
      seed: for weights, order and augmentation.

    Raises:
      NonFiniteLossError: the loss left the reals.
      MemoryLackError: the network does not fit into memory.
    """
    settings = sweep.settings
    *_, result = train_chain(
        recipe,
        settings.stage,
        Workdir(folder),
        dataset=settings.dataset,
        seed=seed,
        precision=settings.precision,
        library=StageLibrary(sweep.stages),
    )
    return result
