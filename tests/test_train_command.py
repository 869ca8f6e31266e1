"""The training command, as a user meets it."""

import csv
import json
import shutil
import signal

import numpy as np
import pytest

from tests.commands import (
    TINY,
    assert_one_sentence,
    run,
    run_and_interrupt,
    stored_weights,
)


@pytest.mark.slow
def test_prints_a_line_per_epoch_and_the_table(finished):
    workdir, result = finished
    epochs = [line for line in result.stdout.splitlines() if " epoch " in line]
    assert len(epochs) == 8
    for word in ("cross_entropy", "logit_matching", "accuracy", "images/s", "left"):
        assert word in epochs[-1]
    for word in ("expected", "KiB", "activations, weights", str(workdir), "evaluate"):
        assert word in result.stdout
    assert result.stderr == ""


@pytest.mark.slow
def test_writes_metrics_recipe_manifest_and_tensorboard(finished):
    workdir, _ = finished
    rows = _rows(workdir)
    positions = [(int(row["stage"]), int(row["epoch"])) for row in rows]
    assert positions == [(stage, epoch) for stage in range(4) for epoch in (1, 2)]
    assert rows[0]["attention"] == "" and float(rows[2]["attention"]) > 0
    assert [row["flipped_weights"] != "" for row in rows] == [False] * 6 + [True] * 2
    recipe = json.loads((workdir / "recipe.json").read_text())
    assert recipe["seed"] == 0 and recipe["recipe"]["stages"][3]["epochs"] == 2
    manifest = json.loads((workdir / "manifest.json").read_text())
    assert manifest["data_fingerprint"] == recipe["data_fingerprint"]
    assert manifest["timings"]["stage_3_seconds"] > 0
    assert manifest["runs"][0]["versions"]["larq"]
    for stage in range(4):
        folder = workdir / f"stage_{stage}"
        assert {path.name for path in folder.iterdir()} == {
            "model.keras",
            "result.json",
            "tensorboard",
        }
        assert list(folder.glob("tensorboard/train/events*"))


@pytest.mark.slow
def test_interrupted_run_gives_the_same_weights_to_the_bit(finished, tmp_path):
    workdir, _ = finished
    arguments = (*TINY, "--stage=3", f"--workdir={tmp_path / 'run'}")
    code, errors = run_and_interrupt(arguments, "stage 0 epoch 1/2", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert errors == "Stopped by SIGTERM; finished epochs are kept.\n"
    code, _ = run_and_interrupt(arguments, "stage 2 epoch 1/2", signal.SIGKILL)
    assert code == -signal.SIGKILL
    code, errors = run_and_interrupt(arguments, "stage 3 epoch 1/2", signal.SIGINT)
    assert code == 128 + signal.SIGINT
    assert errors == "Stopped by Ctrl-C; finished epochs are kept.\n"
    result = run("train", *arguments)
    assert result.returncode == 0, result.stderr
    assert "stage 3 resumes after epoch 1/2" in result.stdout
    for stage in range(4):
        expected = stored_weights(workdir, stage)
        resumed = stored_weights(tmp_path / "run", stage)
        assert expected.keys() == resumed.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(resumed[name], value, err_msg=name)
    names = ("stage", "epoch", "loss", "accuracy", "val_accuracy", "learning_rate")
    names += ("flipped_weights",)
    for row, other in zip(*map(_rows, (workdir, tmp_path / "run")), strict=True):
        assert [row[name] for name in names] == [other[name] for name in names]


def _rows(workdir):
    with (workdir / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_finished_workdir_trains_nothing(finished):
    workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*.*")}
    result = run("train", *TINY, "--stage=3", f"--workdir={workdir}")
    assert result.returncode == 0
    assert "Stage 3 is complete" in result.stdout and " epoch " not in result.stdout
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*.*")}


@pytest.mark.slow
def test_other_seed_is_refused(finished):
    workdir, _ = finished
    result = run("train", *TINY, "--stage=3", "--seed=1", f"--workdir={workdir}")
    assert_one_sentence(result, "seed: 0 -> 1", str(workdir))


@pytest.mark.slow
def test_damaged_teacher_is_named(finished, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    model = workdir / "stage_2" / "model.keras"
    model.write_bytes(model.read_bytes()[:1000])
    shutil.rmtree(workdir / "stage_3")
    result = run("train", *TINY, "--only", f"--workdir={workdir}")
    assert_one_sentence(result, str(model), "damaged")


@pytest.mark.slow
def test_only_names_what_is_missing(finished, tmp_path):
    result = run("train", *TINY, "--stage=2", "--only", f"--workdir={tmp_path / 'new'}")
    assert_one_sentence(result, "teacher (stage 1)", "--only")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_non_finite_loss_stops_with_stage_epoch_and_step(tmp_path):
    rate = "--override=stages.0.optimizer.learning_rate=1e30"
    result = run("train", *TINY, rate, "--stage=0", f"--workdir={tmp_path / 'run'}")
    assert_one_sentence(result, "stage 0", "epoch 1", "step ", "nan")
    assert not (tmp_path / "run" / "stage_0" / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--recipe=digit"], ["'digit'", "'digits'"]),
        (["--stage=4"], ["--stage=4", "0 to 3"]),
        (["--override=stages.0.epoch=1"], ["'epoch'", "'epochs'"]),
        (["--override=stages.0.epochs=few"], ["'few'", "a whole number"]),
        (["--override=epochs"], ["key=value"]),
        (["digits"], ["'digits'", "--name=value"]),
        (["--recipe=fashion_mnist", "--data_dir=/no/such/folder"], ["/no/such/folder"]),
    ],
)
def test_bad_input_is_one_sentence(arguments, words, tmp_path):
    result = run("train", f"--workdir={tmp_path / 'new'}", *arguments)
    assert_one_sentence(result, *words)
    assert not (tmp_path / "new").exists()


def test_list_and_dry_run_train_nothing(tmp_path):
    listed = run("train", "--list")
    assert listed.returncode == 0 and "fashion_mnist/strong_baseline" in listed.stdout
    dry = run("train", *TINY, "--dry_run", f"--workdir={tmp_path / 'new'}")
    assert dry.returncode == 0 and "width: 8" in dry.stdout
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_evaluate_agrees_with_the_table(finished):
    workdir, _ = finished
    result = run("evaluate", f"--workdir={workdir}", "--stage=3", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    stored = json.loads((workdir / "stage_3" / "result.json").read_text())
    assert report["top1"] == stored["top1"] and report["top5"] == stored["top5"]
    confusion = np.array(report["confusion"])
    assert confusion.sum() == report["num_images"]
    assert np.trace(confusion) / confusion.sum() == pytest.approx(report["top1"])


def test_evaluate_names_what_is_missing(tmp_path):
    assert_one_sentence(run("evaluate"), "--workdir")
    assert_one_sentence(run("evaluate", f"--workdir={tmp_path}"), "recipe.json")
