"""What chooses the values: repeatable, whole files, no trial lost."""

import json

import numpy as np
import pytest
from small_sweeps import RATE, TEMPERATURE, make_sweep

from r2b_keras import recipes
from r2b_keras.environment import kt
from r2b_keras.sweeps import oracles
from r2b_keras.sweeps.oracles import OBJECTIVE

# Nine epochs, which Hyperband shares out.
RECIPE = recipes.apply_overrides(recipes.get("digits"), ["stages.3.epochs=9"])
ALIVE = {"tuner0", "tuner1", "tuner2"}


def make(folder, tuner="random", seed=0, max_trials=6, alive=ALIVE, report=None):
    """An oracle that goes on where an earlier one in the folder has stopped."""
    sweep = make_sweep(folder, tuner, seed=seed, recipe=RECIPE)
    oracle = oracles.make_oracle(
        sweep,
        max_trials,
        lambda name: name not in alive,
        report or (lambda trial: None),
    )
    oracle._set_project_dir(str(folder), "tuner")
    sweep.tuner.mkdir(parents=True, exist_ok=True)
    oracle.reload()
    return oracle


def end(oracle, trial, score=0.5, status="COMPLETED"):
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {OBJECTIVE: score})
    trial.status = status
    oracle.end_trial(trial)


def score_of(values) -> float:
    return 0.9 - abs(values[RATE] - 0.01)


def sequence(folder, tuner, seed=0, stop_after=None, count=6):
    """Values of all trials; the oracle is made anew after `stop_after` of them."""
    found = []
    oracle = make(folder, tuner, seed, count)
    while True:
        if len(found) == stop_after:
            oracle = make(folder, tuner, seed, count)
        trial = oracle.create_trial("tuner0")
        if trial.status == "STOPPED":
            return found
        found.append(trial.hyperparameters.values)
        end(oracle, trial, score_of(found[-1]))


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_the_same_seed_gives_the_same_trials(tmp_path, tuner):
    first = sequence(tmp_path / "a", tuner)
    assert len(first) == 6
    assert sequence(tmp_path / "b", tuner) == first
    assert sequence(tmp_path / "c", tuner, seed=1) != first
    # And so does a sweep that was cut in two.
    assert sequence(tmp_path / "d", tuner, stop_after=4) == first


@pytest.mark.slow  # fitting the process takes seconds
def test_a_bayesian_sweep_that_was_cut_goes_on_alike(tmp_path):
    # Three random trials, then one of the fitted process.
    first = sequence(tmp_path / "a", "bayesian", count=4)
    assert sequence(tmp_path / "b", "bayesian", count=4, stop_after=3) == first
    assert first[:3] == sequence(tmp_path / "c", "random", count=3)


@pytest.mark.parametrize("tuner", ["random", "hyperband"])
def test_values_have_few_digits_and_lie_in_their_range(tmp_path, tuner):
    for values in sequence(tmp_path, tuner, seed=3):
        assert 1e-3 <= values[RATE] <= 1e-1
        assert values[RATE] == float(f"{values[RATE]:.4g}")
        assert values[TEMPERATURE] in ("1", "2", "8")


def test_neighbouring_seeds_share_no_draws(tmp_path):
    rates = [
        {values[RATE] for values in sequence(tmp_path / str(seed), "random", seed)}
        for seed in range(3)
    ]
    assert len(set.union(*rates)) == 18


def test_hyperband_trains_the_better_ones_longer(tmp_path):
    # Of 9 epochs: 9 trials of 1 epoch, the best 3 of 3, the best of these of 9.
    values = sequence(tmp_path, "hyperband", count=13)
    assert [v["tuner/epochs"] for v in values] == [1] * 9 + [3] * 3 + [9]
    best = sorted(values[:9], key=score_of)[-3:]
    assert {v[RATE] for v in values[9:12]} == {v[RATE] for v in best}
    assert values[12][RATE] == best[-1][RATE]


def test_failed_trials_in_a_row_do_not_end_the_sweep(tmp_path):
    oracle = make(tmp_path)
    for _ in range(6):
        end(oracle, oracle.create_trial("tuner0"), status="FAILED")
    assert oracle.create_trial("tuner0").status == "STOPPED"
    assert {trial.status for trial in oracle.trials.values()} == {"FAILED"}


def test_a_lost_workers_trial_goes_to_another(tmp_path, capsys):
    alive = set(ALIVE)
    oracle = make(tmp_path, alive=alive)
    lost, other = oracle.create_trial("tuner0"), oracle.create_trial("tuner1")
    alive.remove("tuner0")
    end(oracle, other)
    again = oracle.create_trial("tuner1")
    assert again.trial_id == lost.trial_id
    assert again.hyperparameters.values == lost.hyperparameters.values
    assert "worker tuner0 is gone: trial 1 goes to another" in capsys.readouterr().out
    assert oracle.tuner_ids == {"tuner1"}


def test_a_worker_that_comes_back_takes_its_trial_up(tmp_path):
    oracle = make(tmp_path)
    trial = oracle.create_trial("tuner0")
    assert oracle.create_trial("tuner0").trial_id == trial.trial_id


def test_a_trial_that_takes_its_workers_with_it_is_given_up(tmp_path, capsys):
    alive = set(ALIVE)
    oracle = make(tmp_path, alive=alive)
    for worker in ("tuner0", "tuner1", "tuner2"):
        assert oracle.create_trial(worker).trial_id == "0"
        alive.remove(worker)
    oracle.release_lost()
    trial = oracle.trials["0"]
    assert (trial.status, oracle.end_order) == ("FAILED", ["0"])
    assert trial.message == "its process was lost 3 times"
    alive.add("tuner3")
    assert oracle.create_trial("tuner3").trial_id == "1"
    assert "trial 1 is given up" in capsys.readouterr().out
    # And stays so.
    assert make(tmp_path, alive=alive).trials["0"].status == "FAILED"


def test_a_trial_that_takes_the_only_process_with_it_is_given_up(tmp_path, capsys):
    held = []
    for run in range(3):
        oracle = make(tmp_path)
        trial = oracle.create_trial("tuner0")
        assert (trial.trial_id, oracle._losses["0"]) == ("0", run)
        # The process is killed in the block: nothing leaves it.
        held.append(oracle.trained_here("0"))
        held[-1].__enter__()
    oracle = make(tmp_path)
    assert oracle.trials["0"].status == "FAILED"
    assert oracle.trials["0"].message == "its process was lost 3 times"
    assert oracle.end_order == ["0"] and not oracle.ongoing_trials
    printed = capsys.readouterr().out
    assert printed.count("the process of the last run is gone: trial 1 goes") == 2
    assert printed.count("trial 1 is given up, as its process was lost 3 times") == 1
    # And stays so, and the next trial is another one's.
    oracle = make(tmp_path)
    assert oracle.trials["0"].status == "FAILED" and oracle.end_order == ["0"]
    assert oracle.create_trial("tuner0").trial_id == "1"
    assert "given up" not in capsys.readouterr().out


def test_a_trial_that_is_stopped_again_and_again_is_not_given_up(tmp_path):
    for _ in range(5):
        oracle = make(tmp_path)
        assert oracle.create_trial("tuner0").trial_id == "0"
        with pytest.raises(KeyboardInterrupt), oracle.trained_here("0"):
            raise KeyboardInterrupt
    assert make(tmp_path)._losses["0"] == 0


def test_workers_wait_while_a_trial_may_come_back(tmp_path):
    alive = set(ALIVE)
    oracle = make(tmp_path, max_trials=2, alive=alive)
    first, _ = oracle.create_trial("tuner0"), oracle.create_trial("tuner1")
    end(oracle, first)
    assert oracle.create_trial("tuner0").status == "IDLE"
    assert oracle.tuner_ids == {"tuner0", "tuner1"}
    alive.remove("tuner1")
    back = oracle.create_trial("tuner0")
    assert (back.trial_id, back.status) == ("1", "RUNNING")
    end(oracle, back)
    assert oracle.create_trial("tuner0").status == "STOPPED"
    assert oracle.tuner_ids == set()


def test_an_end_counts_once(tmp_path):
    reported = []
    alive = set(ALIVE)
    oracle = make(
        tmp_path, alive=alive, report=lambda trial: reported.append(trial.trial_id)
    )
    trial = oracle.create_trial("tuner0")
    late = kt.engine.trial.Trial.from_state(trial.get_state())
    alive.remove("tuner0")
    again = oracle.create_trial("tuner1")
    end(oracle, again, 0.7)
    end(oracle, late, 0.7)
    assert (reported, oracle.end_order) == (["0"], ["0"])


def test_one_given_up_too_early_need_not_run_again(tmp_path):
    alive = set(ALIVE)
    oracle = make(tmp_path, alive=alive)
    trial = oracle.create_trial("tuner0")
    alive.remove("tuner0")
    oracle.release_lost()
    end(oracle, trial, 0.7)
    assert oracle.create_trial("tuner1").trial_id == "1"
    assert oracle.trials["0"].score == 0.7


def test_a_new_chief_leaves_trials_with_workers_that_live(tmp_path):
    oracle = make(tmp_path)
    kept, lost = oracle.create_trial("tuner0"), oracle.create_trial("tuner1")
    new = make(tmp_path, alive={"tuner0", "tuner2"})
    assert new.create_trial("tuner2").trial_id == lost.trial_id
    assert new.ongoing_trials["tuner0"].trial_id == kept.trial_id
    assert new.tuner_ids == {"tuner0", "tuner2"}


def test_a_trial_of_which_only_the_file_was_written_never_began(tmp_path):
    oracle = make(tmp_path)
    end(oracle, oracle.create_trial("tuner0"))
    state = (tmp_path / "tuner" / "oracle.json").read_text()
    cut = oracle.create_trial("tuner0").hyperparameters.values
    # The kill came after the trial's file and before the oracle's.
    (tmp_path / "tuner" / "oracle.json").write_text(state)
    new = make(tmp_path)
    assert list(new.trials) == ["0"]
    trial = new.create_trial("tuner0")
    assert (trial.trial_id, trial.hyperparameters.values) == ("1", cut)


def test_files_are_written_whole(tmp_path, monkeypatch):
    oracle = make(tmp_path)
    end(oracle, oracle.create_trial("tuner0"))
    path = tmp_path / "tuner" / "oracle.json"
    before = path.read_text()
    monkeypatch.setattr(oracle, "get_state", lambda: {"cut": object()})
    with pytest.raises(TypeError):
        oracle.save()
    assert path.read_text() == before and json.loads(before)["end_order"] == ["0"]


def test_the_space_as_keras_tuner_has_it():
    content = {
        RATE: {"log": [1e-3, 1e-1]},
        "stage.losses.logit_matching": {"linear": [0.5, 3]},
        "stage.epochs": {"int": [2, 9]},
        TEMPERATURE: {"choice": [1, 2, 8]},
    }
    space = make_sweep(content=content).settings.space
    rate, weight, epochs, temperature = oracles.hyperparameters(space).space
    assert (rate.min_value, rate.max_value, rate.sampling) == (1e-3, 1e-1, "log")
    assert (weight.min_value, weight.max_value) == (0.5, 3.0)
    assert weight.sampling == "linear"
    assert (epochs.min_value, epochs.max_value) == (2, 9)
    assert list(temperature.values) == ["1", "2", "8"]


def test_values_that_are_trained_alike_are_alike(tmp_path):
    oracle = make(tmp_path)
    hashes = [
        oracle._compute_values_hash({RATE: rate, TEMPERATURE: "2"})
        for rate in (0.01, 0.010000004, 0.01001)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_values_that_lost_digits_on_their_way_are_not_kept(tmp_path):
    oracle = make(tmp_path)
    trial = oracle.create_trial("tuner0")
    values = dict(trial.hyperparameters.values)
    sent = kt.engine.trial.Trial.from_state(trial.get_state())
    sent.hyperparameters.values[RATE] = float(np.float32(values[RATE]))
    assert sent.hyperparameters.values != values
    end(oracle, sent)
    assert oracle.trials["0"].hyperparameters.values == values


@pytest.mark.parametrize(
    ("max_trials", "points"), [(4, 3), (9, 3), (15, 5), (18, 6), (100, 6)]
)
def test_a_third_of_a_bayesian_sweep_is_random_at_most(tmp_path, max_trials, points):
    """Of two fields: Keras Tuner's own six are too many for a short sweep."""
    oracle = make(tmp_path, "bayesian", max_trials=max_trials)
    assert oracle.num_initial_points == points
