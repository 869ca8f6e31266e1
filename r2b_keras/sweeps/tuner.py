"""Keras Tuner hooked up to our trainer: a trial is a run of the chain of stages."""

import contextlib
import functools
import time
from collections.abc import Callable
from typing import Any

import grpc

from r2b_keras.environment import kt
from r2b_keras.errors import RUN_FAILURES
from r2b_keras.sweeps import hparams, trials
from r2b_keras.sweeps.oracles import OBJECTIVE, Trial
from r2b_keras.sweeps.sweep import Sweep, trial_number
from r2b_keras.trainers.workdir import Workdir

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
      is_worker: whether another process, the chief, has the oracle that counts.
    """

    def __init__(self, oracle: Any, sweep: Sweep, is_worker: bool = False) -> None:
        """Takes up what an earlier run has left in the folder."""
        self.oracle: Any
        self.sweep = sweep
        self._is_worker_process = is_worker
        self._failed: dict[str, str] = {}
        self._waiting = False
        folder = {"directory": str(sweep.path), "project_name": sweep.tuner.name}
        super().__init__(oracle=oracle, **folder)
        if is_worker:
            self.oracle = PatientClient(self.oracle)
        else:
            oracle.reload()

    def run_trial(self, trial: Trial, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Trains the stage with the trial's values, and all that it rests on.

        Raises:
          TrialProblem: it cannot be trained, nor could others be.
        """
        number, values = trial_number(trial.trial_id), trial.hyperparameters.values
        try:
            with self.sweep.trial_held(number), self._noted(trial):
                return {OBJECTIVE: self._train(number, values)}
        except RUN_FAILURES as error:
            self._failed[trial.trial_id] = self._fail(number, values, error)
            # Left out by `on_trial_end`. Raised, it would be a traceback on the screen.
            return {OBJECTIVE: 0.0}
        except Exception as error:  # Keras Tuner would take it for the trial's failure
            raise TrialProblem from error

    def _noted(self, trial: Trial) -> contextlib.AbstractContextManager[None]:
        """Has a process alone note what it trains; of a worker the chief knows."""
        if self._is_worker_process:
            return contextlib.nullcontext()
        noted: contextlib.AbstractContextManager[None]
        noted = self.oracle.trained_here(trial.trial_id)
        return noted

    def _train(self, number: int, values: dict[str, Any]) -> float:
        texts = self.sweep.texts(values)
        own = f"stages.{self.sweep.settings.stage}."
        shown = "  ".join(f"{p.removeprefix(own)}={t}" for p, t in texts.items())
        print(f"\ntrial {number}: {shown}", flush=True)
        recipe, folder = self.sweep.recipe(values), self.sweep.trial(number)
        result = trials.train(self.sweep, recipe, folder, self.sweep.settings.seed)
        hparams.write_trial(self.sweep, number, values, result)
        return float(result.validation_top1 or 0.0)

    def _fail(self, number: int, values: dict[str, Any], error: Exception) -> str:
        """Marks the trial failed, unless every other would fail in the same way."""
        if self._is_shared(number, values):
            raise TrialProblem from error
        workdir = Workdir(self.sweep.trial(number))
        reason = workdir.note_failure(f"trial {number}", error)
        hparams.write_trial(self.sweep, number, values, None)
        return reason

    def _is_shared(self, number: int, values: dict[str, Any]) -> bool:
        """Whether the stage that failed is the same in all trials."""
        sweep, workdir = self.sweep, Workdir(self.sweep.trial(number))
        recipe = sweep.recipe(values)
        needed = recipe.stages_needed(sweep.settings.stage)
        missing = [number for number in needed if workdir.result(number) is None]
        failed = missing[0] if missing else sweep.settings.stage
        varied = {path.split(".")[1] for path in sweep.texts(values)}
        return not varied & {"*", *map(str, recipe.stages_needed(failed))}

    def on_trial_end(self, trial: Trial) -> None:
        """Passes the trial on, as failed where it is."""
        if trial.trial_id in self._failed:
            trial.status, trial.message = "FAILED", self._failed.pop(trial.trial_id)
        super().on_trial_end(trial)

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
        if not self._is_worker_process:
            self.oracle.save()
