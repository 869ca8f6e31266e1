"""Brings a workdir up to a stage: trains what is missing, reuses what is there."""

import contextlib
import errno
import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from r2b_keras import data, recipes
from r2b_keras.checks import require_choice, require_code, require_count, require_range
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, MemoryLackError
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.trainers import MOST_SEED, PRECISIONS, manifest, trained
from r2b_keras.trainers.best_epoch import check_validation
from r2b_keras.trainers.execution import Execution, facts
from r2b_keras.trainers.library import StageLibrary, stage_key
from r2b_keras.trainers.stage import Run, check_fit, train_stage
from r2b_keras.trainers.strategies import check_batch, make_workers
from r2b_keras.trainers.workdir import StageResult, Workdir
from r2b_keras.trainers.workers import Workers

DEFAULT_EXECUTION = Execution()


def run_identity(
    recipe: Recipe, seed: int, precision: str, deterministic: bool, fingerprint: str
) -> dict[str, Any]:
    """What makes two runs the same: they may share a workdir only if this is equal.

    Raises:
      InputError: a file that a stage rests on cannot be read.
    """
    return {
        "recipe": recipes.to_dict(recipe),
        "seed": seed,
        "precision": precision,
        "deterministic": deterministic,
        "data_fingerprint": fingerprint,
        **trained.files_of(recipe),
    }


def stages_to_train(
    recipe: Recipe, stage: int, workdir: Workdir, only: bool = False
) -> list[int]:
    """Numbers of the stages that a run has to train, in order.

    Args:
      recipe: the chain.
      stage: the stage to reach.
      workdir: what is complete there is not trained again.
      only: train just this stage.

    Raises:
      InputError: no such stage, or `only` and something it rests on is missing, or
        the network of a stage that is complete.
    """
    recipe.require_stage(stage)
    needed = recipe.stages_needed(stage)
    for number in needed:
        workdir.require_model(number)
    missing = [n for n in needed if workdir.result(n) is None]
    if not only:
        return missing
    if stage not in missing:
        return []
    wanted = recipe.stages[stage]
    roles = {"teacher": wanted.teacher, "start weights": wanted.start_from}
    absent = [
        f"its {role} (stage {number})"
        for role, number in roles.items()
        if number in missing
    ]
    if not absent:
        return [stage]
    raise InputError(
        f"--only cannot train stage {stage}: {' and '.join(absent)} are missing in "
        f"{workdir.path}; run without --only, or train the missing stage first."
    )


def train_chain(
    recipe: Recipe,
    stage: int,
    workdir: Workdir,
    *,
    data_dir: str | None = None,
    dataset: data.ImageDataset | None = None,
    seed: int = 0,
    only: bool = False,
    precision: str = "float32",
    strategy: str = "none",
    deterministic: bool = True,
    execution: Execution = DEFAULT_EXECUTION,
    library: StageLibrary | None = None,
) -> list[StageResult]:
    """Brings a workdir up to a stage.

    Stages that are complete there are reused, one that was cut off is resumed at its
    last finished epoch, missing ones are trained first.

    With `deterministic`, TensorFlow's operations stay so in this process: there is no
    way back. Keras's precision and the random numbers of Python and NumPy go on as they
    were before; TensorFlow's do not, and Keras counts the names of layers anew.

    Args:
      recipe: the chain.
      stage: the stage to reach.
      workdir: the run's folder.
      data_dir: where the images lie, None for the source's own places.
      dataset: what `data.load(recipe.data)` gives, where it was loaded already.
      seed: for weights, order and augmentation.
      only: train just this stage.
      precision: "float32", or "bfloat16" or "float16" for mixed precision.
      strategy: "none", "mirrored", "multi_worker" or "tpu".
      deterministic: results repeat to the bit on the same machine.
      execution: how steps are executed.
      library: stages that other runs have finished are taken from there, and this
        workdir's are added; not with "multi_worker".

    Returns:
      Results of the stages that stage `stage` rests on, itself last.

    Raises:
      InputError: bad arguments, data, or a workdir of another run; nothing was changed.
      NonFiniteLossError: the loss left the reals.
      MemoryLackError: a stage does not fit into memory.
      WorkerLostError: another process of "multi_worker" is gone.
    """
    _check_arguments(recipe, workdir, dataset)
    for name, value in (("The stage", stage), ("The seed", seed)):
        require_count(name, value, 0)
    require_range("The seed", seed, 0, MOST_SEED)
    stage, seed = int(stage), int(seed)  # NumPy's are no JSON
    numbers = stages_to_train(recipe, stage, workdir, only)
    stages = [recipe.stages[number] for number in numbers]
    # All is checked before anything is trained, rather than when a stage's turn comes.
    _check_settings(precision, strategy, library)
    with _computing_in(precision), _own_draws():
        workers = _set_up(stages, strategy, deterministic)
        _import_code(stages)
        dataset = data.load(recipe.data, data_dir) if dataset is None else dataset
        _check_images(dataset, stages, workers)
        fingerprint = dataset.fingerprint
        identity = run_identity(recipe, seed, precision, deterministic, fingerprint)
        run = Run(recipe, workdir, dataset, seed, workers, execution)
        check_fit(run, numbers)
        needed = recipe.stages_needed(stage)
        finished = [number for number in needed if workdir.result(number)]
        executed = facts(strategy, workers, execution)
        try:
            _train(run, numbers, library, identity, executed)
            if library is not None:
                _publish(run, finished, library, identity)
        finally:
            # An error's traceback keeps the object, in a notebook for as long as it is.
            workdir.release()
    results = (workdir.result(number) for number in needed)
    return [result for result in results if result]


def _check_arguments(recipe: Any, workdir: Any, dataset: Any) -> None:
    """Refuses what commands cannot give, and callers of Python may."""
    if tf.distribute.has_strategy():
        raise InputError(
            "train_chain was called in the scope of a strategy, expected outside of "
            "any: leave the block, and give the strategy's name, such as 'mirrored'."
        )
    for name, value, kind in (
        ("recipe", recipe, Recipe),
        ("workdir", workdir, Workdir),
    ):
        if not isinstance(value, kind):
            raise InputError(
                f"The {name} is {value!r}, expected a {kind.__name__}, such as "
                "recipes.get('digits') or trainers.Workdir('runs/digits')."
            )
    if dataset is not None and dataset.config != recipe.data:
        raise InputError(
            f"The dataset was loaded by {dataset.config}, expected the recipe's "
            f"{recipe.data}: give what data.load(recipe.data) gives."
        )


@contextlib.contextmanager
def _own_draws() -> Iterator[None]:
    """Leaves Python's and NumPy's generators as they were: each stage seeds them."""
    states = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def _check_settings(
    precision: str, strategy: str, library: StageLibrary | None
) -> None:
    require_choice("Precision", precision, PRECISIONS)
    if library is not None and strategy == "multi_worker":
        raise InputError(
            "A library of stages was given with the strategy 'multi_worker', expected "
            "one or the other: stages are shared by runs of one process each."
        )


@contextlib.contextmanager
def _computing_in(precision: str) -> Iterator[None]:
    """Has Keras build layers of this precision, and then of the one before again."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(PRECISIONS[precision])
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _set_up(stages: list[Stage], strategy: str, deterministic: bool) -> Workers:
    """Has TensorFlow compute where and how it is to."""
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    # Connecting to other machines must come before anything else that TensorFlow does.
    workers = make_workers(strategy)
    for stage in stages:
        check_batch(stage.batch_size, workers.strategy)
    return workers


def _import_code(stages: list[Stage]) -> None:
    for stage in stages:
        named = {**stage.student.code(), **stage.augmentation.code()}
        for entry, code in named.items():
            require_code(entry, code)


def _check_images(
    dataset: data.ImageDataset, stages: list[Stage], workers: Workers
) -> None:
    """Refuses images that would stop a run later; says so where it takes long."""
    for stage in stages:
        dataset.steps_per_epoch(stage.batch_size)
    check_validation([stage.keep == "best" for stage in stages], dataset.num_validation)
    if not stages:
        return
    if dataset.num_unchecked and workers.is_chief:
        print(
            f"decoding {dataset.num_unchecked} pictures of the validation and test "
            "parts, to see that none is broken",
            flush=True,
        )
    dataset.require_sound_evaluation()


def _claim(workdir: Workdir, identity: dict[str, Any], workers: Workers) -> None:
    """Takes the folder for all workers: the chief does, the others look at it."""
    if workers.is_chief:
        workdir.claim(identity)
    workers.wait()
    if not workers.is_chief:
        workers.wait_for(workdir.path / "recipe.json")
        workdir.claim(identity, alone=False)


def _train(
    run: Run,
    numbers: list[int],
    library: StageLibrary | None,
    identity: dict[str, Any],
    executed: dict[str, Any],
) -> None:
    """Takes the folder and trains these stages; the manifest is written as it goes."""

    def note() -> None:
        if run.workers.is_chief:
            num_stages = len(run.recipe.stages)
            manifest.write_manifest(run.workdir, identity, num_stages, executed)

    with run.workers.lost_is_told():
        _claim(run.workdir, identity, run.workers)
        # Another process may have finished some while images were read.
        numbers = [n for n in numbers if run.workdir.result(n) is None]
        run.workers.require_equal(len(numbers), "stages to train")
        for number in numbers:
            note()
            _train_or_fetch(run, number, library, identity)
        if numbers:
            note()


def _train_or_fetch(
    run: Run, number: int, library: StageLibrary | None, identity: dict[str, Any]
) -> None:
    key, is_shared = _key(run, number, identity)
    if library is None or not is_shared:
        _train_noted(run, number, key)
        return
    with library.claimed(key):
        if not library.fetch(key, run.workdir, number):
            _train_noted(run, number, key)
            if run.workdir.key(number) == key:
                library.publish(key, run.workdir, number)


def _key(run: Run, number: int, identity: dict[str, Any]) -> tuple[str, bool]:
    """A stage's key, and whether it rests on stages that their keys are true of.

    One that does not is nobody else's.
    """
    replicas = run.workers.strategy.num_replicas_in_sync
    needed = run.recipe.stages_needed(number)
    *before, key = (stage_key(identity, run.recipe, n, replicas) for n in needed)
    return key, before == [run.workdir.key(n) for n in needed[:-1]]


def _publish(
    run: Run, numbers: list[int], library: StageLibrary, identity: dict[str, Any]
) -> None:
    """Adds stages that were finished without this library, or not added any more."""
    for number in numbers:
        key, is_shared = _key(run, number, identity)
        if is_shared and run.workdir.key(number) == key:
            library.publish(key, run.workdir, number)


def _train_noted(run: Run, number: int, key: str) -> None:
    """Trains a stage; the workdir has its key if all of its epochs are of that."""
    if run.workers.is_chief:
        begins = not run.workdir.checkpoint(number).exists()
        before = run.workdir.key(number)
        alike = begins or before == key
        if before is not None and not alike:
            print(
                f"Stage {number} goes on with other code, other packages or another "
                "number of replicas than it began with: it ends otherwise than a stage "
                "of one kind would.",
                flush=True,
            )
        run.workdir.note_key(number, key if alike else None)
    with _lack_is_told(run, number):
        train_stage(run, number)


# What TensorFlow calls exhausted as it does memory, and tells in words alone.
_OTHER_LACKS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)


@contextlib.contextmanager
def _lack_is_told(run: Run, number: int) -> Iterator[None]:
    """Turns what TensorFlow says of a full disk or memory into words for users.

    Raises:
      MemoryLackError: the stage does not fit into memory.
      OSError: the disk is full.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        for lack in _OTHER_LACKS:
            if os.strerror(lack) in str(error):
                raise OSError(lack, os.strerror(lack)) from error
        raise MemoryLackError(
            f"Stage {number} does not fit into memory: in a new --workdir, lower "
            f"stages.{number}.batch_size, which is "
            f"{run.recipe.stages[number].batch_size}, or the networks' width; stages "
            "before it that stay as they are come from a --library that both runs "
            "have, or from this --workdir by --start_from and --teacher."
        ) from error
