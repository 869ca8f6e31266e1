"""Tables of trials."""

import csv
import io
import shlex

import pytest
from small_sweeps import RATE, TEMPERATURE, failed, finished, make_sweep

from r2b_keras import files, recipes
from r2b_keras.errors import InputError
from r2b_keras.sweeps import results
from r2b_keras.sweeps.results import RUNNING, TrialRow

RUNS = TrialRow(4, RUNNING, {RATE: "0.02", TEMPERATURE: "2"})
ROWS = [
    finished(0, 0.91),
    failed(1),
    finished(2, 0.955, rate="0.002", temperature="8"),
    finished(3, 0.955),
    RUNS,
]


def test_the_best_is_the_first_of_equals():
    assert results.best(ROWS).number == 2
    assert [row.number for row in results.ranked(ROWS)] == [2, 3, 0, 1, 4]
    assert results.best([failed(0), RUNS]) is None


def test_table():
    assert results.to_text(ROWS) == (
        "   trial  validation  seconds    size  learning_rate  temperature\n"
        "       2      95.50%     12.3  10 KiB          0.002            8\n"
        "       3      95.50%     12.3  10 KiB           0.01            1\n"
        "recipe 0      91.00%     12.3  10 KiB           0.01            1\n"
        "       1      failed        -       -            0.1            8\n"
        "       4     running        -       -           0.02            2"
    )


def test_fields_that_end_alike_keep_their_names():
    values = {"stages.2.epochs": "3", "stage.epochs": "5", RATE: "1"}
    head = results.to_text([TrialRow(0, RUNNING, values)]).splitlines()[0]
    assert head.split()[4:] == ["stages.2.epochs", "epochs", "learning_rate"]


def test_csv_is_in_the_order_of_the_trials_and_without_test_accuracy():
    table = list(csv.DictReader(io.StringIO(results.to_csv(ROWS))))
    assert [row["trial"] for row in table] == ["0", "1", "2", "3", "4"]
    assert table[2] == {
        "trial": "2",
        "status": "finished",
        "validation_top1": "0.955",
        "epochs": "20",
        "seconds": "12.3",
        "bytes": "10240",
        RATE: "0.002",
        TEMPERATURE: "8",
        "reason": "",
    }
    assert table[1]["validation_top1"] == table[4]["seconds"] == ""
    assert table[1]["reason"] == "The loss is nan, sadly"


def test_summary_has_the_test_accuracy_of_the_best_alone():
    text = results.summary(make_sweep("runs/a"), ROWS, 5)
    assert "trial 2: validation 95.50%, test 20.00%" in text
    assert "30.00%" not in text and "0.00% " not in text.replace("20.00% ", "")
    assert "failed      1; trials.csv says why" in text
    # Both the curves of the trials and TensorBoard's HParams lie below it.
    assert "tensorboard --logdir=runs/a\n" in text
    assert (
        "python -m r2b_keras.train --recipe=runs/a/best_recipe.json --stage=3 --seed=0 "
        "--workdir=runs/a_best" in text
    )
    assert "failed" not in results.summary(make_sweep(), [finished(0, 0.5)], 1)


def test_summary_tells_how_the_best_was_trained():
    given = {"data_dir": "/images", "modules": ("my_parts",)}
    sweep = make_sweep(seed=4, precision="bfloat16", **given)
    text = results.summary(sweep, ROWS, 5)
    words = ("--seed=4", "--precision=bfloat16", "--data_dir=/images")
    for word in (*words, "--import=my_parts"):
        assert word in text


def test_a_shell_takes_the_command_of_the_summary_as_it_is():
    text = results.summary(make_sweep("my runs/a", data_dir="/my images"), ROWS, 5)
    command = text.rpartition("train it    ")[2]
    words = shlex.split(command)
    assert "--recipe=my runs/a/best_recipe.json" in words
    assert "--data_dir=/my images" in words


def test_no_trial_has_finished():
    with pytest.raises(InputError, match="None of the 2 trials .*: The loss is nan"):
        results.summary(make_sweep(), [failed(0), failed(1)], 2)


def test_best_recipe_can_be_read(tmp_path):
    sweep = make_sweep(tmp_path)
    recipe = sweep.recipe({RATE: 0.002, TEMPERATURE: "8"})
    sweep.trial(2).mkdir(parents=True)
    files.write_json(
        sweep.trial(2) / "recipe.json", {"recipe": recipes.to_dict(recipe)}
    )
    results.write_best_recipe(sweep, ROWS[2])
    path = tmp_path / "best_recipe.json"
    assert recipes.get(str(path)) == recipe
    assert recipe.stages[3].optimizer.learning_rate == 0.002
    assert recipe.stages[3].losses.temperature == 8.0
    found = files.read_json(path)
    assert (found["trial"], found["validation_top1"]) == (2, 0.955)
    assert (found["stage"], found["seed"], found["precision"]) == (3, 0, "float32")
