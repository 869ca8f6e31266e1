"""Runs a sweep: alone, or as the chief or a worker of several processes.

Keras Tuner's variables say which: KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT where
the chief listens, and KERASTUNER_TUNER_ID, "chief" or the worker's own name.
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from r2b_keras import data, drawing, files
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe
from r2b_keras.sweeps import hparams, leases, own, results, sweep_chart
from r2b_keras.sweeps.oracles import Trial, make_oracle
from r2b_keras.sweeps.results import TrialRow
from r2b_keras.sweeps.sweep import Sweep, trial_number
from r2b_keras.sweeps.tuner import SweepTuner, TrialProblem

ALONE, CHIEF, WORKER = "alone", "chief", "worker"
_ID, _IP, _PORT = (
    "KERASTUNER_TUNER_ID",
    "KERASTUNER_ORACLE_IP",
    "KERASTUNER_ORACLE_PORT",
)
_WATCH_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Process:
    """Which process of a sweep this is.

    Attributes:
      role: "alone", "chief" or "worker".
      name: of a worker its own.
      address: where the chief listens, empty for one alone.
    """

    role: str
    name: str
    address: str = ""


def this_process(environment: Mapping[str, str] = os.environ) -> Process:
    """Reads Keras Tuner's variables.

    Raises:
      InputError: some are set and others missing, the port is none, or the name cannot
        be a file's.
    """
    name = environment.get(_ID) or "tuner0"
    if "/" in name:
        raise InputError(
            f"The variable {_ID} is {name!r}, expected a name without '/', as there is "
            "a file of this name."
        )
    if _IP not in environment:
        return Process(ALONE, name)
    for variable in (_ID, _PORT):
        if not environment.get(variable):
            raise InputError(
                f"The variable {_IP} is set and {variable} is not, expected all of "
                f"{_IP}, {_PORT} and {_ID}: set it, or unset all for one process."
            )
    if not environment[_PORT].isdecimal():
        raise InputError(
            f"The variable {_PORT} is {environment[_PORT]!r}, expected a number."
        )
    # As Keras Tuner tells the chief.
    role = CHIEF if "chief" in name else WORKER
    name = CHIEF if role == CHIEF else name
    return Process(role, name, f"{environment[_IP]}:{environment[_PORT]}")


def load_images(recipe: Recipe, data_dir: str | None) -> data.ImageDataset:
    """The images that all trials share.

    Raises:
      InputError: there are none, or none to choose by.
    """
    dataset = data.load(recipe.data, data_dir)
    if not dataset.num_validation:
        raise InputError(
            f"Recipe {recipe.name!r} has data.validation_size 0 and its images no "
            "validation part of their own, expected images to choose by: give "
            "--override=data.validation_size=N."
        )
    return dataset


def run(sweep: Sweep, max_trials: int) -> list[TrialRow]:
    """Runs what is left of a sweep; a worker runs what the chief gives it.

    Args:
      sweep: its folder, which all processes share.
      max_trials: how many trials there are at most, those of earlier runs included.

    Returns:
      All trials, none for a worker.

    Raises:
      InputError: the folder is of another sweep or another process's, or the data, the
        recipe or the chief's address are of no use.
    """
    process = this_process()
    sweep.claim()
    with contextlib.ExitStack() as stack:
        # One alone is its own chief and its own worker.
        names = {process.name, CHIEF} if process.role == ALONE else {process.name}
        for name in sorted(names):
            stack.enter_context(leases.held(sweep.workers, name))
        if process.role != WORKER:
            _tidy(sweep, process)
            hparams.write_experiment(sweep)
        if process.role != CHIEF:
            own.train(sweep, wait=process.role == ALONE)
        oracle = _make_oracle(sweep, max_trials)
        tuner = SweepTuner(oracle, sweep, process.role == WORKER)
        if max_trials > 1:
            # Keras Tuner takes no trials for no limit.
            _search(tuner, oracle, process)
        if process.role == WORKER:
            return []
        # What a worker was killed in, or is still at.
        own.train(sweep, wait=True)
        return _report(sweep, oracle)


def _make_oracle(sweep: Sweep, max_trials: int) -> Any:
    def report(trial: Trial) -> None:
        rows = _report(sweep, oracle)
        print(_progress(rows, trial_number(trial.trial_id), max_trials), flush=True)

    # Trial 0 is none of the oracle's.
    gone = leases.Watch(sweep.workers).gone
    oracle = make_oracle(sweep, max_trials - 1, gone, report)
    return oracle


def _tidy(sweep: Sweep, process: Process) -> None:
    """Removes what a killed process had not finished; workers may be at work."""
    for folder in (sweep.tuner, sweep.hparams):
        files.remove_partial(folder)
    for aside in sweep.path.glob(f"{files.PARTIAL}*"):
        aside.unlink(missing_ok=True)
    if process.role == ALONE:
        files.remove_partial(sweep.path / "trials")


def _search(tuner: SweepTuner, oracle: Any, process: Process) -> None:
    if process.role != ALONE:
        doing = "serves" if process.role == CHIEF else "works for the chief at"
        print(f"{process.name} {doing} {process.address}", flush=True)
    try:
        with _watched(oracle) if process.role == CHIEF else contextlib.nullcontext():
            tuner.search()
    except TrialProblem as problem:
        raise _cause(problem, process) from problem
    except RuntimeError as error:
        if process.role != CHIEF or "bind" not in str(error):
            raise
        raise InputError(
            f"The chief cannot listen at {process.address}, expected an address of "
            f"this machine and a free port: change {_IP} or {_PORT}."
        ) from error


def _cause(problem: TrialProblem, process: Process) -> BaseException:
    import grpc

    cause = problem.__cause__ or problem
    if not isinstance(cause, grpc.RpcError):
        return cause
    return InputError(
        f"The chief at {process.address} does not answer as expected "
        f"({cause.code().name}): see what it prints, start it again with the same "
        "command, then this worker."
    )


@contextlib.contextmanager
def _watched(oracle: Any) -> Iterator[None]:
    """Looks for lost workers while nobody asks; the chief waits for them to end."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_WATCH_SECONDS):
            oracle.release_lost()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _report(sweep: Sweep, oracle: Any) -> list[TrialRow]:
    """Writes the table, the chart and the best recipe as of now."""
    rows = results.read_rows(sweep, list(oracle.trials.values()))
    first = own.row(sweep)
    rows = [first, *rows] if first else rows
    if rows:
        files.write_text(sweep.path / "trials.csv", results.to_csv(rows))
        picture = drawing.to_png(sweep_chart.draw(sweep, rows))
        files.write_bytes(sweep.path / "sweep.png", picture)
    best = results.best(rows)
    if best is not None:
        results.write_best_recipe(sweep, best)
    return rows


def _progress(rows: list[TrialRow], number: int, max_trials: int) -> str:
    row = next(row for row in rows if row.number == number)
    ended = sum(row.status != results.RUNNING for row in rows)
    first = results.best(rows)
    what = f"validation {row.score:.2%}" if row.result else f"failed ({row.reason})"
    top = f"best {first.score:.2%}, trial {first.number}" if first else "none finished"
    return f"trial {number} ended: {what}; {top}; {ended} of {max_trials} trials"
