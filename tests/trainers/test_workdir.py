"""The run's folder: whose it is, who is at work in it, and what it records."""

import csv
import dataclasses
import gc
import json
import os
import subprocess
import sys

import pytest

from r2b_keras import files, recipes
from r2b_keras.errors import InputError
from r2b_keras.trainers.workdir import StageResult, Workdir

RESULT = StageResult(
    stage=1,
    network="real_to_binary18",
    binarization="soft",
    top1=0.875,
    top5=0.99,
    validation_top1=None,
    epochs=3,
    seconds=12.5,
    bytes=1234,
    parameters=5678,
    binary_parameters=90,
)


def identity(overrides=(), recipe="digits", **changes):
    chosen = recipes.apply_overrides(recipes.get(recipe), list(overrides))
    return {
        "recipe": recipes.to_dict(chosen),
        "seed": 0,
        "precision": "float32",
        "deterministic": True,
        "data_fingerprint": "abc",
        **changes,
    }


def listing(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


def test_claim_creates_the_folder(tmp_path):
    workdir = Workdir(tmp_path / "deep" / "run")
    assert not workdir.path.exists()
    workdir.claim(identity())
    assert json.loads((workdir.path / "recipe.json").read_text()) == identity()
    assert workdir.recipe() == recipes.get("digits")


def test_claim_takes_an_empty_folder_and_a_path_as_text(tmp_path):
    Workdir(str(tmp_path)).claim(identity())
    assert (tmp_path / "recipe.json").exists()


def test_same_run_may_come_back(tmp_path):
    Workdir(tmp_path).claim(identity())
    before = (tmp_path / "recipe.json").stat().st_mtime_ns
    again = Workdir(tmp_path)
    again.claim(identity())
    again.claim(identity())
    assert (tmp_path / "recipe.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        (identity(seed=3), r"seed: 0 -> 3"),
        (identity(precision="bfloat16"), r"precision: float32 -> bfloat16"),
        (identity(data_fingerprint="xyz"), r"data_fingerprint: abc -> xyz"),
        (identity(["stages.2.epochs=99"]), r"stages\.2\.epochs: \d+ -> 99"),
        (identity(recipe="fashion_mnist"), r"recipe\.name: digits -> fashion_mnist"),
    ],
)
def test_another_run_is_refused_by_name_of_the_difference(tmp_path, other, difference):
    Workdir(tmp_path).claim(identity())
    before = listing(tmp_path)
    with pytest.raises(InputError, match=difference):
        Workdir(tmp_path).claim(other)
    assert listing(tmp_path) == before


def test_run_killed_before_its_first_file_may_come_back(tmp_path):
    """Between taking the lock and writing `recipe.json`, on SIGKILL or a full disk."""
    for name in (".settings.lock", ".lock"):
        (tmp_path / name).touch()
    (tmp_path / f"{files.PARTIAL}recipe-1234.json").write_text('{"recipe": {"na')
    Workdir(tmp_path).claim(identity())
    assert sorted(os.listdir(tmp_path)) == [".lock", ".settings.lock", "recipe.json"]


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    Workdir(tmp_path).claim(identity())
    gc.collect()
    stage = tmp_path / "stage_0"
    stage.mkdir()
    (stage / f"{files.PARTIAL}checkpoint-1234.npz").write_text("half")
    (stage / "checkpoint.npz").write_text("whole")
    Workdir(tmp_path).claim(identity())
    assert os.listdir(stage) == ["checkpoint.npz"]


def claim_in_another_process(path):
    program = (
        "import json, sys\n"
        "from r2b_keras.trainers.workdir import Workdir\n"
        "Workdir(sys.argv[1]).claim(json.loads(sys.argv[2]))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(path), json.dumps(identity())],
        capture_output=True,
        text=True,
    )


def test_second_process_is_refused_until_the_first_is_done(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(identity())
    refused = claim_in_another_process(tmp_path)
    assert refused.returncode != 0
    assert "Another process is training in" in refused.stderr.splitlines()[-1]
    del workdir
    gc.collect()
    allowed = claim_in_another_process(tmp_path)
    assert allowed.returncode == 0, allowed.stderr


def test_second_object_of_the_same_process_is_refused_too(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(identity())
    with pytest.raises(InputError, match="Another process"):
        Workdir(tmp_path).claim(identity())
    workdir.claim(identity())


def test_recipe_of_a_folder_without_one(tmp_path):
    with pytest.raises(InputError, match=r"holds no recipe\.json"):
        Workdir(tmp_path).recipe()


@pytest.mark.parametrize("content", ["[]", "{}", '{"recipe": {"name": "digits"}}', "{"])
def test_damaged_recipe_is_an_input_error(tmp_path, content):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(InputError, match="(holds|is) no recipe|not valid JSON"):
        Workdir(tmp_path).recipe()


def rows(workdir):
    with (workdir.path / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_metrics_are_one_row_an_epoch(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.append_metrics(0, 1, {"loss": 2.5, "accuracy": 1 / 3})
    workdir.append_metrics(0, 2, {"loss": 1e-7, "accuracy": 1.0})
    assert (tmp_path / "metrics.csv").read_text() == (
        "stage,epoch,loss,accuracy\n0,1,2.5,0.333333\n0,2,1e-07,1\n"
    )


def test_columns_of_all_stages_are_kept(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.append_metrics(0, 1, {"loss": 2.0})
    workdir.append_metrics(1, 1, {"loss": 3.0, "attention": 0.5})
    workdir.append_metrics(2, 1, {"logit_matching": 0.25, "loss": 4.0})
    assert rows(workdir) == [
        dict(zip(("stage", "epoch", "loss", "attention", "logit_matching"), row))  # noqa: B905
        for row in (
            ("0", "1", "2", "", ""),
            ("1", "1", "3", "0.5", ""),
            ("2", "1", "4", "", "0.25"),
        )
    ]


def test_resumed_epoch_replaces_its_row_and_those_after_it(tmp_path):
    workdir = Workdir(tmp_path)
    for stage, epochs in ((0, 2), (1, 4), (2, 1)):
        for epoch in range(1, epochs + 1):
            workdir.append_metrics(stage, epoch, {"loss": 10 * stage + epoch})
    workdir.append_metrics(1, 3, {"loss": 99})
    found = [(row["stage"], row["epoch"], row["loss"]) for row in rows(workdir)]
    assert found == [
        ("0", "1", "1"),
        ("0", "2", "2"),
        ("1", "1", "11"),
        ("1", "2", "12"),
        ("1", "3", "99"),
        ("2", "1", "21"),
    ]


def test_tenth_epoch_comes_after_the_ninth(tmp_path):
    workdir = Workdir(tmp_path)
    for epoch in range(1, 12):
        workdir.append_metrics(0, epoch, {"loss": 1})
    assert [int(row["epoch"]) for row in rows(workdir)] == list(range(1, 12))


@pytest.mark.parametrize(
    "content",
    [b"loss\n1\n", b"stage,epoch\n0,one\n", b"stage,epoch\n0,1,2\n", b"\xff\xfe\n1\n"],
)
def test_damaged_metrics_are_named_and_kept(tmp_path, content):
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.csv is no table"):
        Workdir(tmp_path).append_metrics(0, 2, {"loss": 1.0})
    assert path.read_bytes() == content


def test_result_round_trip(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    workdir.checkpoint(1).touch()
    assert workdir.result(1) is None
    workdir.save_result(RESULT)
    assert workdir.result(1) == RESULT
    assert workdir.result(0) is None
    assert not workdir.checkpoint(1).exists(), "a finished stage needs no checkpoint"


def test_checkpoint_stays_until_the_result_is_written(tmp_path, monkeypatch):
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    workdir.checkpoint(1).touch()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        workdir.save_result(RESULT)
    assert workdir.result(1) is None
    assert workdir.checkpoint(1).exists()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"stage": 1, "colour": "red"}'])
def test_damaged_result_is_named(tmp_path, content):
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    path = workdir.stage(1) / "result.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"stage_1.result\.json"):
        workdir.result(1)
    path.write_text(json.dumps({**dataclasses.asdict(RESULT), "extra": 1}))
    with pytest.raises(InputError, match="extra"):
        workdir.result(1)


def test_result_from_before_a_field_was_renamed(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.stage(1).mkdir()
    old = dataclasses.asdict(RESULT)
    old["precision"] = old.pop("binarization")
    (workdir.stage(1) / "result.json").write_text(json.dumps(old))
    assert workdir.result(1) == RESULT


def test_folder_from_before_a_field_was_added_trained_with_its_default(tmp_path):
    Workdir(tmp_path).claim(identity())
    path = tmp_path / "recipe.json"
    old = json.loads(path.read_text())
    for stage in old["recipe"]["stages"]:
        del stage["student"]["synchronized_batch_norm"]
    path.write_text(json.dumps(old))
    Workdir(tmp_path).claim(identity())
    assert Workdir(tmp_path).recipe() == recipes.get("digits")
    with pytest.raises(InputError, match="synchronized_batch_norm: False -> True"):
        Workdir(tmp_path).claim(
            identity(["stages.*.student.synchronized_batch_norm=true"])
        )
