"""Keras Tuner's oracles, which choose the values of the trials, made to last.

Left to themselves they lose trials: one whose worker dies stays "running" for ever, one
whose file is written in the moment of a kill is counted and never run, and files are
cut off. Here a lost trial goes to another worker, and files are whole.
"""

import collections
import contextlib
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from r2b_keras import files
from r2b_keras.environment import kt
from r2b_keras.sweeps import space as space_module
from r2b_keras.sweeps.space import Space
from r2b_keras.sweeps.sweep import Sweep, trial_number

OBJECTIVE = "validation_top1"
# A trial that has taken so many processes with it (by its memory, say) is given up.
MOST_LOSSES = 3

# Hyperband trains the best third of the trials three times as long, as published.
_HYPERBAND_FACTOR = 3
# The number of trials is what ends a sweep.
_ENDLESS = 10**6
# Oracles count on from their seed, so neighbours would share most of their draws; and
# they take a seed of 0 for none.
_SEED_STRIDE = 1_000_003
# NumPy's knows twice as many, which leaves room to count on.
_NUM_SEEDS = 2**31

Trial = Any  # keras_tuner.engine.trial.Trial
_TRIAL = kt.engine.trial.Trial


class _Lasting:
    """What is common to our oracles; comes before Keras Tuner's class."""

    # Of Keras Tuner's class.
    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    tuner_ids: set[str]

    def prepare(
        self,
        space: Space,
        file: pathlib.Path,
        gone: Callable[[str], bool],
        report: Callable[[Trial], None],
    ) -> None:
        """Sets what Keras Tuner's constructors do not take.

        Args:
          space: for the digits of the values.
          file: where the state is kept.
          gone: tells whether the worker of this name has ended.
          report: called with each trial that has ended.
        """
        self._fields = {field.name: field for field in space.fields}
        self._file = file
        self._gone = gone
        self._losses: dict[str, int] = collections.defaultdict(int)
        # Trials whose process was lost, to be given to another.
        self._lost: list[str] = []
        self._training: str | None = None
        self.report = report
        self.verbose = 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Chooses the next values, with the digits that a trial is trained with."""
        answer = super().populate_space(trial_id)  # type: ignore[misc]
        values = answer.get("values")
        if values:
            answer["values"] = {n: self._rounded(n, v) for n, v in values.items()}
        return answer

    def _rounded(self, name: str, value: Any) -> Any:
        if isinstance(value, float) and name in self._fields:
            return space_module.rounded(self._fields[name], value)
        return value

    @kt.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """Gives a worker a trial; tells it to wait while others' may come back."""
        self.release_lost()
        if self._lost and tuner_id not in self.ongoing_trials:
            return self._give_again(tuner_id)
        trial = super().create_trial(tuner_id)  # type: ignore[misc]
        if trial.status == "STOPPED" and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = "IDLE"
        return trial

    def _give_again(self, tuner_id: str) -> Trial:
        trial = self.trials[self._lost.pop()]
        trial.status = "RUNNING"
        self.tuner_ids.add(tuner_id)
        self.ongoing_trials[tuner_id] = trial
        self.save()
        return trial

    def end_trial(self, trial: Trial) -> None:
        """Takes a trial's end, also from a worker that had been given up."""
        if self._end(trial):
            # Outside of the lock: others need not wait for tables and charts.
            self.report(self.trials[trial.trial_id])

    @kt.synchronized
    def _end(self, trial: Trial) -> bool:
        """Returns whether the trial had not ended before."""
        if trial.trial_id in self.end_order:
            # Whoever else was running it has come too late.
            self.ongoing_trials = {
                worker: other
                for worker, other in self.ongoing_trials.items()
                if other.trial_id != trial.trial_id
            }
            return False
        if trial.trial_id in self._lost:
            self._lost.remove(trial.trial_id)
        # What came over the service has lost digits.
        trial.hyperparameters = self.trials[trial.trial_id].hyperparameters
        super().end_trial(trial)  # type: ignore[misc]
        return True

    @kt.synchronized
    def release_lost(self) -> None:
        """Makes the trials of workers that are gone free for others."""
        lost = [worker for worker in self.ongoing_trials if self._gone(worker)]
        for worker in lost:
            self._lose(f"worker {worker}", self.ongoing_trials.pop(worker))
        self.tuner_ids -= {worker for worker in self.tuner_ids if self._gone(worker)}
        if lost:
            self.save()

    def _lose(self, process: str, trial: Trial) -> None:
        self._losses[trial.trial_id] += 1
        if self._losses[trial.trial_id] < MOST_LOSSES:
            self._lost.append(trial.trial_id)
            what = "goes to another"
        else:
            trial.status = "FAILED"
            trial.message = f"its process was lost {MOST_LOSSES} times"
            self.end_order.append(trial.trial_id)
            what = f"is given up, as {trial.message}"
        number = trial_number(trial.trial_id)
        print(f"{process} is gone: trial {number} {what}", flush=True)

    @contextlib.contextmanager
    def trained_here(self, trial_id: str) -> Iterator[None]:
        """Notes that the process that holds this state trains a trial, or no longer.

        A sweep of one process has nobody else to see it vanish. What it notes is saved
        and is taken back however the training ends, by an error, Ctrl-C or SIGTERM too:
        a trial that was stopped is taken up by the next run, as often as its user
        likes. Only a process that is killed leaves the note, and the next run counts
        that as a loss; so a SIGKILL of the user's counts, as nobody can tell it from
        that of a machine short of memory.
        """
        self._training = trial_id
        self.save()
        try:
            yield
        finally:
            self._training = None
            self.save()

    def get_state(self) -> dict[str, Any]:
        """What is saved, the trials too: a kill cannot part them from the rest."""
        return {
            **super().get_state(),  # type: ignore[misc]
            "trials": [trial.get_state() for trial in self.trials.values()],
            "losses": self._losses,
            "lost": self._lost,
            "training": self._training,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes up what was saved."""
        found = [_TRIAL.from_state(each) for each in state["trials"]]
        self.trials = {trial.trial_id: trial for trial in found}
        super().set_state(state)  # type: ignore[misc]
        self._losses.update(state["losses"])
        self._lost = state["lost"]
        self._training = state["training"]

    def reload(self) -> None:
        """Reads the saved state, if any; workers that are alive keep their trials."""
        if not self._file.exists():
            return
        self.set_state(files.read_json(self._file))
        # Keras Tuner saves before it takes a trial that has ended from this list.
        self.ongoing_trials = {
            worker: trial
            for worker, trial in self.ongoing_trials.items()
            if trial.trial_id not in self.end_order
        }
        # The last run's process was killed in a trial.
        lost, self._training = self._training, None
        for worker, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == lost:
                self._lose("the process of the last run", trial)
                del self.ongoing_trials[worker]
        self.tuner_ids |= set(self.ongoing_trials)
        self.save()

    def save(self) -> None:
        """Writes the state, whole or not at all."""
        files.write_json(self._file, self.get_state())

    def _compute_values_hash(self, values: dict[str, Any]) -> str:
        """Values that are trained alike are alike; no public hook tells it so."""
        rounded = {name: self._rounded(name, value) for name, value in values.items()}
        return super()._compute_values_hash(rounded)  # type: ignore[misc]


class RandomOracle(_Lasting, kt.oracles.RandomSearchOracle):
    """Every value drawn at random from its range."""


class HyperbandOracle(_Lasting, kt.oracles.HyperbandOracle):
    """Many short trials, of which the better third is trained three times as long."""


class BayesianOracle(_Lasting, kt.oracles.BayesianOptimizationOracle):
    """Values that a Gaussian process, fitted to the trials so far, thinks best."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Chooses values from a seed of the trial's own: a resumed sweep goes on alike.

        Keras Tuner does not save the state of its random numbers.
        """
        self._random_state = np.random.RandomState(self.seed + len(self.trials))
        with warnings.catch_warnings():
            # About bounds of the kernel: of no use to a user.
            warnings.simplefilter("ignore")
            return super().populate_space(trial_id)


def hyperparameters(space: Space) -> Any:
    """The space as Keras Tuner has it; choices are words, as overrides have them."""
    found = kt.HyperParameters()
    for field in space.fields:
        if field.kind == "choice":
            found.Choice(field.name, list(field.choices))
        elif field.kind == "int":
            found.Int(field.name, int(field.low), int(field.high))
        else:
            found.Float(field.name, field.low, field.high, sampling=field.kind)
    return found


def make_oracle(
    sweep: Sweep,
    max_trials: int,
    gone: Callable[[str], bool],
    report: Callable[[Trial], None] = lambda trial: None,
) -> Any:
    """Makes the oracle of a sweep's tuner; its seed gives the same values again.

    Args:
      sweep: what varies, and where the state is kept.
      max_trials: how many trials there are at most.
      gone: tells whether the worker of this name has ended.
      report: called with each trial that has ended.
    """
    settings, space = sweep.settings, sweep.settings.space
    options: dict[str, Any] = {
        "objective": kt.Objective(OBJECTIVE, "max"),
        "hyperparameters": hyperparameters(space),
        "seed": 1 + settings.seed * _SEED_STRIDE % _NUM_SEEDS,
        # Failed trials are part of a sweep, however many come in a row.
        "max_consecutive_failed_trials": None,
    }
    oracle: Any
    if settings.tuner == "random":
        oracle = RandomOracle(max_trials=max_trials, **options)
    elif settings.tuner == "bayesian":
        points = _initial_points(space, max_trials)
        oracle = BayesianOracle(
            max_trials=max_trials, num_initial_points=points, **options
        )
    else:
        oracle = HyperbandOracle(
            max_epochs=settings.recipe.stages[settings.stage].epochs,
            factor=_HYPERBAND_FACTOR,
            hyperband_iterations=_ENDLESS,
            **options,
        )
        oracle.max_trials = max_trials
    oracle.prepare(space, sweep.tuner / "oracle.json", gone, report)
    return oracle


def _initial_points(space: Space, max_trials: int) -> int:
    """Random trials before the process is fitted.

    Keras Tuner's three for each field, but a third of the trials at most: a short sweep
    would else be a random one.
    """
    return max(3, min(3 * len(space.fields), max_trials // 3))
