"""The sweep's folder: whose it is, and what its trials train."""

import json
from types import SimpleNamespace

import pytest
from small_sweeps import RATE, TEMPERATURE, make_sweep

from r2b_keras import own_code, recipes
from r2b_keras.errors import InputError
from r2b_keras.sweeps import space
from r2b_keras.sweeps.sweep import check_settings

DIGITS = recipes.get("digits")


def test_trials_recipe():
    recipe = make_sweep().recipe({RATE: 0.002, TEMPERATURE: "8"})
    expected = recipes.apply_overrides(
        DIGITS,
        ["stages.3.optimizer.learning_rate=0.002", "stages.3.losses.temperature=8"],
    )
    assert recipe == expected


def test_a_value_that_came_over_the_service_trains_the_same():
    import numpy as np

    sweep = make_sweep()
    for rate in (0.001235, 0.09999, 0.01234):
        sent = float(np.float32(rate))
        assert sent != rate
        values = {RATE: rate, TEMPERATURE: "2"}
        assert sweep.recipe(values) == sweep.recipe(values | {RATE: sent})


def test_hyperbands_epochs_are_the_stages():
    sweep = make_sweep(tuner="hyperband", stage=1, recipe=recipes.get("cifar100"))
    values = {RATE: 0.002, TEMPERATURE: "8", "tuner/epochs": 35}
    stage = sweep.recipe(values).stages[1]
    assert stage.epochs == 35 and stage.schedule.drop_epochs == (15, 25, 32)


def test_the_same_sweep_takes_the_folder_again(tmp_path):
    make_sweep(tmp_path / "a").claim()
    make_sweep(tmp_path / "a", data_dir="/elsewhere").claim()
    # As its last line advises: the recipe's own setting with more seeds.
    make_sweep(tmp_path / "a", seeds=5).claim()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"tuner": "bayesian"}, "tuner: random -> bayesian"),
        ({"precision": "bfloat16"}, "precision: float32 -> bfloat16"),
        (
            {"dataset": SimpleNamespace(fingerprint="abd")},
            "data_fingerprint: abc -> abd",
        ),
        ({"stage": 2}, "stage: 3 -> 2"),
        (
            {"recipe": recipes.apply_overrides(DIGITS, ["stages.0.epochs=3"])},
            "recipe.stages.0.epochs: 10 -> 3",
        ),
        (
            {"content": {RATE: {"log": [1e-3, 1e-2]}}},
            f"space.{RATE}.log: [0.001, 0.1] -> [0.001, 0.01]",
        ),
    ],
)
def test_another_sweep_does_not(tmp_path, changes, words):
    make_sweep(tmp_path / "a").claim()
    with pytest.raises(InputError, match="was made by another sweep") as problem:
        make_sweep(tmp_path / "a", **changes).claim()
    assert words in str(problem.value)


def test_trials_of_other_code_do_not_come_into_one_sweep(tmp_path, monkeypatch):
    make_sweep(tmp_path / "a").claim()
    monkeypatch.setattr(own_code, "of_training", lambda: "of another revision")
    with pytest.raises(InputError, match="training_code: .* -> of another revis"):
        make_sweep(tmp_path / "a").claim()


def test_a_file_is_told_by_its_content(tmp_path):
    file = tmp_path / "start.keras"
    recipe = recipes.apply_overrides(DIGITS, [f"stages.0.start_from={file}"])
    with pytest.raises(InputError, match="start.keras cannot be read"):
        make_sweep(tmp_path / "a", recipe=recipe).claim()
    file.write_bytes(b"one")
    make_sweep(tmp_path / "a", recipe=recipe).claim()
    make_sweep(tmp_path / "a", recipe=recipe).claim()
    file.write_bytes(b"another")
    with pytest.raises(InputError, match="by another sweep: files.*start.keras"):
        make_sweep(tmp_path / "a", recipe=recipe).claim()


def test_a_folder_from_before_a_field_was_added_is_the_same_sweeps(tmp_path):
    make_sweep(tmp_path / "a").claim()
    path = tmp_path / "a" / "sweep.json"
    old = json.loads(path.read_text())
    for stage in old["recipe"]["stages"]:
        del stage["student"]["synchronized_batch_norm"]
    path.write_text(json.dumps(old))
    make_sweep(tmp_path / "a").claim()


def test_a_folder_of_other_files_is_refused(tmp_path):
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(InputError, match="holds no sweep.json"):
        make_sweep(tmp_path).claim()
    with pytest.raises(InputError, match="is a file"):
        make_sweep(tmp_path / "holiday.jpg").claim()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("name", ["stage.epochs", "stages.3.epochs", "stages.*.epochs"])
def test_epochs_are_hyperbands_own(name):
    epochs = space.parse({name: {"int": [2, 5]}}, "space.json", DIGITS, 3)
    check_settings(DIGITS, 3, "random", epochs)
    with pytest.raises(InputError, match="--tuner is 'grid', expected one of"):
        check_settings(DIGITS, 3, "grid", epochs)
    with pytest.raises(InputError, match="are what Hyperband varies itself"):
        check_settings(DIGITS, 3, "hyperband", epochs)
    # Those of another stage are not.
    other = space.parse({"stages.2.epochs": {"int": [2, 5]}}, "s.json", DIGITS, 3)
    check_settings(DIGITS, 3, "hyperband", other)


def test_hyperband_needs_epochs_to_share_out():
    recipe = recipes.apply_overrides(DIGITS, ["stages.3.epochs=2"])
    with pytest.raises(InputError, match="2 epochs, expected at least 3"):
        check_settings(recipe, 3, "hyperband", make_sweep().settings.space)


def test_of_a_field_of_all_stages_the_tuned_one_s_is_the_recipe_s_own():
    name = "stages.*.optimizer.learning_rate"
    recipe = recipes.apply_overrides(
        DIGITS, [f"stages.{k}.optimizer.learning_rate=0.00{k + 1}" for k in range(4)]
    )
    sweep = make_sweep(content={name: {"log": [1e-3, 1e-1]}}, recipe=recipe)
    assert sweep.own_values() == {name: 0.004}
