"""`python -m r2b_keras.report`, as a user meets it."""

import errno
import json
import os
import pathlib
import shutil

import pytest
from html_checks import Reader

from r2b_keras import report
from r2b_keras.errors import InputError
from tests.commands import assert_one_sentence, refusal, run


@pytest.fixture
def only_stage_0(finished, tmp_path):
    """A workdir whose training was cut off in stage 1."""
    workdir = shutil.copytree(finished[0], tmp_path / "a run")
    for number in (2, 3):
        shutil.rmtree(workdir / f"stage_{number}")
    (workdir / "stage_1" / "result.json").unlink()
    return workdir


@pytest.mark.slow
def test_finished_workdir_with_a_file_in_it(finished, converted, tmp_path):
    """All that the page shows is in it, and nothing else is written."""
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    shutil.copy(converted[0], workdir / "small.tflite")
    # What the page shows of the last stage, TensorBoard shows too.
    assert list((workdir / "stage_3" / "tensorboard" / "attention").iterdir())
    page, before = workdir / "report.html", set(workdir.rglob("*"))
    result = run("report", f"--workdir={workdir}", "--num_images=2")
    assert (result.returncode, result.stderr) == (0, "")
    assert set(workdir.rglob("*")) - before == {page}
    read = Reader(page.read_text(encoding="utf-8"))
    assert read.problems == []
    pictures = {image["id"] for image in read.all("img")}
    assert f"{page}, with {len(pictures)} pictures in it\n" in result.stdout
    expected = {f"stage_{n}_attention_{i}" for n in (1, 2, 3) for i in (1, 2)}
    expected |= {"stage_3_flips", "gates_last", "confusion"}
    expected |= {f"stage_{n}_{k}" for n in range(4) for k in ("loss", "accuracy")}
    assert expected <= pictures and "stage_1_attention_3" not in pictures
    stage = json.loads((workdir / "stage_3" / "result.json").read_text())
    shown = f"{100 * stage['top1']:.2f}\u00a0%"
    sentence = f"classifies {shown} of 359 test images correctly"
    for words in (sentence, "small.tflite", f"{converted[0].stat().st_size:,}"):
        assert words in read.text
    assert f"classified correctly; recorded when it was trained: {shown}." in read.text
    for words in ("Median, ms", "lce_indirect", "no expectation", "weights, packed"):
        assert words in read.text
    # TINY's overrides, and the command that was given.
    assert "stages.3.epochs: 20 -> 2" in read.text
    assert "'--override=stages.*.epochs=2'" in read.text
    # All that is needed to do without the folder.
    assert (workdir / "recipe.json").read_text() in read.text
    assert read.all("details") and "--output=small.tflite" in read.text
    assert "size of small.tflite" in read.text


def test_unfinished_workdir(only_stage_0, tmp_path):
    output = tmp_path / "page" / "photos.html"
    # The user's own, of the same name.
    (output.parent / "photos" / "cat").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    code, printed, _ = run("report", f"--workdir={only_stage_0}", f"--output={output}")
    assert code == 0 and str(output) in printed
    assert sorted(tmp_path.rglob("*")) == sorted([*before, output])
    read = Reader(output.read_text(encoding="utf-8"))
    assert read.problems == []
    for words in (
        "Stage 0, the last finished of 4 stages",
        "not begun",
        "No finished stage has a teacher.",
        "No finished stage has gates.",
        "No .tflite file lies in the folder",
        f"'--output={only_stage_0 / 'model.tflite'}'",
    ):
        assert words in read.text
    assert "confusion" in [image["id"] for image in read.all("img")]


def test_a_teacher_that_is_a_file_is_named(only_stage_0, tmp_path):
    path, output = only_stage_0 / "recipe.json", tmp_path / "report.html"
    run_of = json.loads(path.read_text())
    stage = run_of["recipe"]["stages"][0]
    stage["teacher"] = "/elsewhere/other.keras"
    stage["losses"]["logit_matching"] = 1.0
    path.write_text(json.dumps(run_of))
    result = run("report", f"--workdir={only_stage_0}", f"--output={output}")
    assert result[0] == 0, result
    read = Reader(output.read_text(encoding="utf-8"))
    assert read.problems == []
    told = "Its teacher is /elsewhere/other.keras, which this folder does not hold."
    assert told in read.text and "No finished stage has a teacher" not in read.text


def test_a_full_disk_leaves_nothing_behind(only_stage_0, monkeypatch):
    def refuse(path, text, **_):
        path.write_bytes(text[:9].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(only_stage_0.rglob("*"))
    monkeypatch.setattr(pathlib.Path, "write_text", refuse)
    result = run("report", f"--workdir={only_stage_0}")
    assert_one_sentence(result, "No space left on device", "report.html")
    assert sorted(only_stage_0.rglob("*")) == before


def test_nothing_finished_and_damaged_metrics(only_stage_0):
    shutil.rmtree(only_stage_0 / "stage_0")
    with (only_stage_0 / "metrics.csv").open("a") as file:
        file.write("3,oops\n")
    (only_stage_0 / "manifest.json").unlink()
    assert run("report", f"--workdir={only_stage_0}")[0] == 0
    read = Reader((only_stage_0 / "report.html").read_text(encoding="utf-8"))
    assert read.problems == []
    for words in (
        "None of the 4 stages is finished yet.",
        "metrics.csv is damaged: line 10 cannot be read and is left out",
        "There is no manifest.json",
    ):
        assert words in read.text


def test_what_is_no_workdir(tmp_path):
    assert "--workdir is missing" in refusal("report")
    message = refusal("report", f"--workdir={tmp_path}")
    assert f"{tmp_path} holds no recipe.json" in message
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_read_or_written(finished, tmp_path):
    workdir = f"--workdir={finished[0]}"
    assert "is a folder" in refusal("report", workdir, f"--output={tmp_path}")
    for name in ("page", "page.htm", ".html"):
        message = refusal("report", workdir, f"--output={tmp_path / name}")
        assert f"--output={tmp_path / name} does not end in .html" in message
    output = f"--output={tmp_path / 'report.html'}"
    message = refusal("report", workdir, output, "--model=none.tflite")
    assert "There is no file none.tflite" in message
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(b"not a network")
    result = run("report", workdir, output, f"--model={damaged}")
    assert_one_sentence(result, "damaged.tflite is no .tflite file")
    assert not (tmp_path / "report.html").exists()
    other = tmp_path / "other.html"
    os.link(damaged, other)
    with pytest.raises(InputError, match="damaged.tflite, which this command reads"):
        report.check_output(str(other), [finished[0], None, damaged])
    assert other.read_bytes() == b"not a network"
    assert sorted(tmp_path.iterdir()) == [damaged, other]


def test_other_images_are_refused(finished, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    identity = json.loads((workdir / "recipe.json").read_text())
    identity["data_fingerprint"] = "0" * 64
    (workdir / "recipe.json").write_text(json.dumps(identity))
    result = run("report", f"--workdir={workdir}")
    assert_one_sentence(result, "have the fingerprint", f"as in {workdir}")
