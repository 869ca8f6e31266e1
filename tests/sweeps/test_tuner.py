"""Trials that fail: which are marked, and which stop the sweep."""

import json

import grpc
import pytest
from small_sweeps import RATE, TEMPERATURE, make_result, make_sweep

from r2b_keras.environment import kt
from r2b_keras.errors import InputError, NonFiniteLossError
from r2b_keras.sweeps import trials
from r2b_keras.sweeps.oracles import make_oracle
from r2b_keras.sweeps.tuner import PatientClient, SweepTuner, TrialProblem
from r2b_keras.trainers.workdir import Workdir

VALUES = {RATE: 0.01, TEMPERATURE: "2"}


class Refused(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


class Chief:
    """Gives the answers one after the other; raises those that are errors."""

    def __init__(self, *answers) -> None:
        self.objective = "validation_top1"
        self._answers = list(answers)

    def create_trial(self, tuner_id):
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return tuner_id, answer


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs trial 1, whose training ends in `error` with some stages complete."""

    def run(error, complete=(0, 1, 2), content=None, values=VALUES):
        sweep = make_sweep(tmp_path / "sweep", content=content)
        oracle = make_oracle(sweep, 1, lambda name: False)

        def train(recipe, stage, workdir, **options):
            raise error

        def result(self, number):
            return make_result(0.9) if number in complete else None

        monkeypatch.setattr(trials, "train_chain", train)
        monkeypatch.setattr(Workdir, "result", result)
        found = kt.HyperParameters()
        found.values = dict(values)
        sweep.trial(1).mkdir(parents=True)
        tuner = SweepTuner(oracle, sweep)
        monkeypatch.setattr(
            oracle,
            "populate_space",
            lambda _: {"values": found.values, "status": "RUNNING"},
        )
        tuner.search()
        return oracle.trials["0"]

    return run


def test_a_loss_that_is_not_finite_fails_the_trial(run, tmp_path, capsys):
    error = NonFiniteLossError("The loss is nan in stage 3.")
    trial = run(error)
    assert (trial.status, trial.message) == ("FAILED", "The loss is nan in stage 3.")
    assert trial.score is None
    path = tmp_path / "sweep" / "trials" / "001" / "failed.json"
    assert json.loads(path.read_text()) == {"reason": "The loss is nan in stage 3."}
    # A line, and no traceback.
    printed, errors = capsys.readouterr()
    assert "trial 1 failed: The loss is nan" in printed and errors == ""


def test_in_a_stage_that_all_trials_share_it_stops_the_sweep(run, tmp_path):
    error = NonFiniteLossError("The loss is nan in stage 2.")
    with pytest.raises(TrialProblem) as problem:
        run(error, complete=(0, 1))
    assert problem.value.__cause__ is error
    assert not (tmp_path / "sweep" / "trials" / "001" / "failed.json").exists()


@pytest.mark.parametrize("stage", ["1", "*"])
def test_in_an_earlier_stage_that_varies_it_fails_the_trial(run, stage):
    name = f"stages.{stage}.optimizer.learning_rate"
    trial = run(
        NonFiniteLossError("The loss is nan in stage 2."),
        complete=(0, 1),
        content={name: {"log": [1e-3, 1e-1]}},
        values={name: 0.01},
    )
    assert trial.status == "FAILED"


@pytest.mark.parametrize("error", [InputError("No images."), OSError("disk full")])
def test_what_is_not_the_trials_fault_stops_the_sweep(run, error):
    with pytest.raises(TrialProblem) as problem:
        run(error)
    assert problem.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("No images.")])
def test_the_only_process_notes_what_it_trains(run, tmp_path, monkeypatch, error):
    state = tmp_path / "sweep" / "tuner" / "oracle.json"
    during = []
    monkeypatch.setattr(
        trials,
        "StageLibrary",
        lambda path: during.append(json.loads(state.read_text())["training"]),
    )
    with pytest.raises((KeyboardInterrupt, TrialProblem)):
        run(error)
    assert during == ["0"] and json.loads(state.read_text())["training"] is None


def test_a_worker_asks_again_where_the_chief_was_away():
    away = Refused(grpc.StatusCode.UNAVAILABLE)
    client = PatientClient(Chief(away, away, "trial"))
    assert client.create_trial("tuner0") == ("tuner0", "trial")
    assert client.objective == "validation_top1"


def test_other_answers_of_the_service_stop_the_worker():
    client = PatientClient(Chief(Refused(grpc.StatusCode.DEADLINE_EXCEEDED)))
    with pytest.raises(TrialProblem):
        client.create_trial("tuner0")


def test_trials_are_judged_by_the_validation_part(tmp_path, monkeypatch):
    """To choose by the test images would spoil them."""
    sweep = make_sweep(tmp_path / "sweep")
    oracle = make_oracle(sweep, 1, lambda name: False)
    results = [make_result(0.75, test=0.5)]
    monkeypatch.setattr(trials, "train_chain", lambda *args, **options: results)
    SweepTuner(oracle, sweep).search()
    trial = oracle.trials["0"]
    assert (trial.status, trial.score) == ("COMPLETED", 0.75)
