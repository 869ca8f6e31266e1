"""Keras Tuner hooked up to our trainer: a trial is a run of the chain of stages."""

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import grpc

from r2b_keras import files
from r2b_keras.environment import kt, tf
from r2b_keras.errors import NonFiniteLossError
from r2b_keras.sweeps import board
from r2b_keras.sweeps.oracles import OBJECTIVE, Trial
from r2b_keras.sweeps.sweep import Sweep, trial_number
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.library import StageLibrary
from r2b_keras.trainers.workdir import StageResult, Workdir

# Between two questions of a worker for which there is no trial yet.
_IDLE_SECONDS = 1.0


class TrialProblem(kt.errors.FatalError):
    """What stops the sweep, not only the trial; the cause says what it is."""


class PatientClient:
    """A worker's oracle: asks again where the chief was killed and started again.

    Each question may be asked twice: a worker that has a trial gets the same one, and
    a trial's end counts once.

    Args:
      client: Keras Tuner's, which waits up to an hour for a chief.
    """

    def __init__(self, client: Any) -> None:
        """Stores the client."""
        self._client = client

    def __getattr__(self, name: str) -> Any:
        """The client's attribute; a method asks again, see above."""
        found = getattr(self._client, name)
        return functools.partial(_asked, found) if callable(found) else found


def _asked(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    while True:
        try:
            return method(*args, **kwargs)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise TrialProblem from error


class SweepTuner(kt.Tuner):
    """Runs trials with `train_chain`.

    Keras Tuner's own way of training checks for models of Keras 3; here it only chooses
    the values, keeps the records, and serves other processes.

    Args:
      oracle: what chooses the values.
      sweep: the folder, and what trials train.
    """

    def __init__(self, oracle: Any, sweep: Sweep) -> None:
        """Takes up what an earlier run has left in the folder."""
        self.oracle: Any
        # A failed trial is a line in the table, not a traceback on the screen.
        kt.src.config.DEBUG = False
        self.sweep = sweep
        self._waiting = False
        super().__init__(oracle=oracle, directory=str(sweep.path), project_name="tuner")
        if not self._is_worker() and os.path.exists(oracle._get_oracle_fname()):
            oracle.reload()
        if self._is_worker():
            self.oracle = PatientClient(self.oracle)

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains the stage with the trial's values, and all that it rests on.

        Raises:
          FailedTrialError: the trial cannot be trained; the sweep goes on.
          TrialProblem: nor could others be.
        """
        number, values = trial_number(trial.trial_id), trial.hyperparameters.values
        try:
            with self.sweep.trial_held(number), self._noted(trial):
                result = self._train(number, values)
        except (NonFiniteLossError, tf.errors.ResourceExhaustedError) as error:
            self._fail(number, values, error)
        except Exception as error:
            # Keras Tuner would take a full disk or a defect for the trial's failure.
            raise TrialProblem from error
        return {OBJECTIVE: float(result.validation_top1 or 0.0)}

    def _noted(self, trial: Trial) -> contextlib.AbstractContextManager[None]:
        """Has a process alone note what it trains; of a worker the chief knows."""
        if self._is_worker():
            return contextlib.nullcontext()
        return self.oracle.trained_here(trial.trial_id)

    def _train(self, number: int, values: dict[str, Any]) -> StageResult:
        settings = self.sweep.settings
        print(f"\ntrial {number}: {self._describe(values)}", flush=True)
        results = train_chain(
            self.sweep.recipe(values),
            settings.stage,
            Workdir(self.sweep.trial(number)),
            dataset=settings.dataset,
            seed=settings.seed,
            precision=settings.precision,
            library=StageLibrary(self.sweep.stages),
        )
        board.write_trial(self.sweep, number, values, results[-1])
        return results[-1]

    def _describe(self, values: dict[str, Any]) -> str:
        texts = self.sweep.texts(values)
        own = f"stages.{self.sweep.settings.stage}."
        return "  ".join(f"{p.removeprefix(own)}={t}" for p, t in texts.items())

    def _fail(self, number: int, values: dict[str, Any], error: Exception) -> None:
        """Marks the trial failed, unless every other would fail in the same way."""
        if self._is_shared(number, values):
            raise TrialProblem from error
        reason = str(error).splitlines()[0]
        files.write_json(self.sweep.failure(number), {"reason": reason})
        board.write_trial(self.sweep, number, values, None)
        print(f"trial {number} failed: {reason}", flush=True)
        raise kt.errors.FailedTrialError(reason) from error

    def _is_shared(self, number: int, values: dict[str, Any]) -> bool:
        """Whether the stage that failed is the same in all trials."""
        sweep, workdir = self.sweep, Workdir(self.sweep.trial(number))
        recipe = sweep.recipe(values)
        needed = recipe.stages_needed(sweep.settings.stage)
        missing = [number for number in needed if workdir.result(number) is None]
        failed = missing[0] if missing else sweep.settings.stage
        varied = {path.split(".")[1] for path in sweep.texts(values)}
        return not varied & {"*", *map(str, recipe.stages_needed(failed))}

    def pre_create_trial(self) -> None:
        """Waits a little before asking again for a trial that was not there."""
        if self._waiting:
            time.sleep(_IDLE_SECONDS)
        self._waiting = True

    def on_trial_begin(self, trial: Trial) -> None:
        """There is a trial."""
        self._waiting = False

    def save(self) -> None:
        """Writes the oracle's state; a tuner has none of its own."""
        if not self._is_worker():
            self.oracle.save()

    def _get_tuner_fname(self) -> str:
        """No file, so that Keras Tuner neither reads nor announces one."""
        return str(pathlib.Path(self.project_dir) / "none")
