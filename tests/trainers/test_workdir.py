"""The run's folder: whose it is, who is at work in it, and what it records."""

import dataclasses
import gc
import json
import os

import pytest
from small_workdirs import finished, result

from r2b_keras import files, recipes
from r2b_keras.errors import InputError
from r2b_keras.trainers.workdir import FAILURE, Workdir

RESULT = result(1)


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
    with pytest.raises(InputError, match=difference):
        Workdir(tmp_path).claim(other)


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


def test_second_object_is_refused_until_the_first_is_gone(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.claim(identity())
    workdir.claim(identity())
    with pytest.raises(InputError, match="Another process is training in"):
        Workdir(tmp_path).claim(identity())
    del workdir
    gc.collect()
    Workdir(tmp_path).claim(identity())


def test_recipe_of_a_folder_without_one(tmp_path):
    with pytest.raises(InputError, match=r"holds no recipe\.json"):
        Workdir(tmp_path).recipe()


@pytest.mark.parametrize("content", ["[]", "{}", '{"recipe": {"name": "digits"}}', "{"])
def test_damaged_recipe_is_an_input_error(tmp_path, content):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(InputError, match="(holds|is) no recipe|not valid JSON"):
        Workdir(tmp_path).recipe()


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
    assert (tmp_path / "metrics.csv").read_text().splitlines() == [
        "stage,epoch,loss,attention,logit_matching",
        "0,1,2,,",
        "1,1,3,0.5,",
        "2,1,4,,0.25",
    ]


def test_resumed_epoch_replaces_its_row_and_those_after_it(tmp_path):
    """The tenth epoch comes after the ninth."""
    workdir = Workdir(tmp_path)
    for stage, epochs in ((0, 2), (1, 11), (2, 1)):
        for epoch in range(1, epochs + 1):
            workdir.append_metrics(stage, epoch, {"loss": epoch})
    workdir.append_metrics(1, 10, {"loss": 99})
    _, *lines = (tmp_path / "metrics.csv").read_text().splitlines()
    before = [f"1,{epoch},{epoch}" for epoch in range(1, 10)]
    assert lines == ["0,1,1", "0,2,2", *before, "1,10,99", "2,1,1"]


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


def test_a_stage_that_is_wanted_and_not_complete_is_told_so(tmp_path):
    files.write_json(tmp_path / "recipe.json", identity())
    workdir = Workdir(tmp_path)
    with pytest.raises(InputError, match=r"^No stage is complete in .*: none\): train"):
        workdir.finished_stage()
    workdir = finished(tmp_path, 0)
    assert workdir.finished_stage() == 0
    with pytest.raises(InputError, match=r"^Stage 3 is not complete in .*: 0\): train"):
        workdir.finished_stage(3)


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


@pytest.mark.parametrize(
    "error, wanted",
    [
        (ValueError("no room\nat all"), "no room"),
        (ValueError("\n"), "ValueError"),
        (KeyError(), "KeyError"),
    ],
)
def test_a_failure_has_a_reason_whatever_the_error_says(
    tmp_path, capsys, error, wanted
):
    assert Workdir(tmp_path).note_failure("trial 3", error) == wanted
    assert json.loads((tmp_path / FAILURE).read_text()) == {"reason": wanted}
    assert capsys.readouterr().out == f"trial 3 failed: {wanted}\n"
