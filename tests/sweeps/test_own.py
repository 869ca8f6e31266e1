"""The recipe's own setting: trained as it is, and what its seeds say of the best."""

import threading
from types import SimpleNamespace

import pytest
from small_sweeps import RATE, TEMPERATURE, failed, finished, make_result, make_sweep

from r2b_keras import claims, locks, recipes
from r2b_keras.errors import NonFiniteLossError
from r2b_keras.sweeps import own, trials
from r2b_keras.sweeps.results import FAILED, FINISHED
from r2b_keras.trainers.workdir import Workdir

SCORES = (0.90, 0.92, 0.91, 0.93, 0.94)


@pytest.fixture
def trained(monkeypatch):
    """Trainings that give a number of `SCORES` for each seed; the recipe, and seeds."""
    done = []

    def train(recipe, stage, workdir, *, seed, **options):
        done.append((recipe, seed))
        workdir.path.mkdir(parents=True, exist_ok=True)
        if SCORES[seed] is None:
            raise NonFiniteLossError("The loss is nan.")
        workdir.stage(stage).mkdir(parents=True)
        result = make_result(SCORES[seed])
        workdir.save_result(result)
        return [result]

    monkeypatch.setattr(trials, "train_chain", train)
    return done


def test_trial_0_is_the_recipe_itself_and_once(tmp_path, trained):
    sweep = make_sweep(tmp_path, seeds=3)
    own.train(sweep, wait=True)
    own.train(sweep, wait=True)
    assert trained == [(sweep.settings.recipe, seed) for seed in (0, 1, 2)]
    row = own.row(sweep)
    rate = recipes.get("digits").stages[3].optimizer.learning_rate
    assert (row.number, row.status, row.score) == (0, FINISHED, 0.90)
    assert row.values == {RATE: f"{rate:g}", TEMPERATURE: "1"}
    assert (tmp_path / "hparams" / "trial_000").exists()
    assert own.scores(sweep) == {0: 0.90, 1: 0.92, 2: 0.91}
    assert Workdir(tmp_path / "trials" / "000").result(3).validation_top1 == 0.90


def test_what_another_process_trains_is_left_to_it(tmp_path, trained):
    sweep = make_sweep(tmp_path, seeds=2)
    (tmp_path / "trials").mkdir(parents=True)
    with locks.held(tmp_path / "trials" / "000.lock"):
        own.train(sweep, wait=False)
        assert [seed for _, seed in trained] == [1] and own.row(sweep) is None
    own.train(sweep, wait=True)
    assert [seed for _, seed in trained] == [1, 0]


def test_a_recipe_that_fails_does_not_end_the_sweep(tmp_path, trained, monkeypatch):
    monkeypatch.setattr("test_own.SCORES", (None, 0.5))
    sweep = make_sweep(tmp_path, seeds=2)
    own.train(sweep, wait=True)
    own.train(sweep, wait=True)
    assert len(trained) == 2
    row = own.row(sweep)
    assert (row.status, row.reason, row.score) == (FAILED, "The loss is nan.", -1.0)
    assert own.scores(sweep) == {1: 0.5}


@pytest.mark.parametrize(
    ("best", "num_seeds", "words"),
    [
        (0.89, 5, "no: no trial is better than the recipe's own setting"),
        (0.95, 5, "not shown: seeds alone keep 1 trial of the recipe's own setting"),
        (0.9568, 5, "not shown"),
        (0.957, 5, "yes: seeds alone keep 1 trial of the recipe's own setting"),
        (0.9999, 4, "not known: it takes 5 seeds of the recipe's own setting"),
    ],
)
def test_whether_tuning_has_helped(tmp_path, trained, best, num_seeds, words):
    """The mean is 0.92, and 2.1318 * 0.015811 * sqrt(6 / 5) = 0.03692 above it."""
    sweep = make_sweep(tmp_path, seeds=num_seeds)
    own.train(sweep, wait=True)
    rows = [own.row(sweep), finished(1, best), failed(2)]
    spread, helped = own.told(sweep, rows)
    assert helped.startswith(f"helped      {words}")
    if num_seeds == 5:
        assert spread.startswith("spread      1.58 points, the standard deviation")
        assert "over 5 seeds; their mean is 92.00%" in spread
    if "shown" in words or "yes" in words:
        assert "below 95.69% in 95% of sweeps" in helped


def test_the_best_of_many_trials_has_to_be_better(tmp_path, trained):
    """2.7764 in place of 2.1318 for two trials, and so on: the best is lucky."""
    sweep = make_sweep(tmp_path, seeds=5)
    own.train(sweep, wait=True)
    words = []
    for count in (1, 2, 8):
        rows = [own.row(sweep), finished(1, 0.967)]
        rows += [finished(number, 0.9) for number in range(2, count + 1)]
        _, helped = own.told(sweep, [*rows, failed(count + 1)])
        words.append(helped.split()[1])
        assert f"keep {count} trial" in helped
        assert ("below 96.81%" in helped) == (count == 2)
    assert words == ["yes:", "not", "not"]


def test_what_so_few_seeds_cannot_show_is_told(tmp_path, trained):
    """Of 200 trials chance may bring one to 109 %: none could ever lie above."""
    sweep = make_sweep(tmp_path, seeds=5)
    own.train(sweep, wait=True)
    rows = [own.row(sweep)] + [finished(number, 0.99) for number in range(1, 201)]
    _, helped = own.told(sweep, rows)
    assert helped.startswith("helped      not known: for all that 5 seeds of the recip")
    assert "one of 200 trials to 100%; take more (--seeds)" in helped


def test_the_unit_is_an_image_of_the_validation_part_that_there_is(tmp_path, trained):
    """A folder that keeps one has validation_size 0."""
    recipe = recipes.apply_overrides(recipes.get("digits"), ["data.validation_size=0"])
    units = []
    for num_validation in (144, 10):
        images = SimpleNamespace(fingerprint="abc", num_validation=num_validation)
        sweep = make_sweep(tmp_path, seeds=5, recipe=recipe, dataset=images)
        own.train(sweep, wait=True)
        _, helped = own.told(sweep, [own.row(sweep), finished(1, 0.95)])
        _, high = claims.interval(SCORES, 1, 1 / num_validation, 0.9)
        told = f"below {high:.2%}" if high < 1 else "not known"
        assert told in helped
        units.append(helped)
    assert units[0] != units[1]


def test_one_seed_has_no_spread(tmp_path, trained):
    sweep = make_sweep(tmp_path)
    own.train(sweep, wait=True)
    spread, helped = own.told(sweep, [own.row(sweep), finished(1, 0.99)])
    assert "not known" in spread and "there are 1" in helped


def test_hyperbands_table_has_the_recipes_epochs(tmp_path, trained):
    sweep = make_sweep(tmp_path, tuner="hyperband")
    own.train(sweep, wait=True)
    assert own.row(sweep).values["stage.epochs"] == "20"


def test_what_another_process_trains_is_waited_for(tmp_path, trained):
    sweep = make_sweep(tmp_path)
    (tmp_path / "trials").mkdir(parents=True)
    waiter = threading.Thread(target=own.train, args=(sweep, True))
    with locks.held(tmp_path / "trials" / "000.lock"):
        waiter.start()
        waiter.join(0.3)
        assert waiter.is_alive() and trained == []
    waiter.join(30)
    assert [seed for _, seed in trained] == [0]
