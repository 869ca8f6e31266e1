"""The training command, as a user meets it."""

import json
import shutil
import signal

import numpy as np
import pytest

from r2b_keras import files, recipes, train
from r2b_keras.errors import InputError
from r2b_keras.models import integers
from r2b_keras.trainers import MOST_SEED, chain
from r2b_keras.trainers.workdir import StageResult, Workdir
from tests.commands import (
    SMALLEST,
    TINY,
    assert_one_sentence,
    flags_of,
    interrupt,
    refusal,
    run,
    stored_weights,
)

LABELS = "losses.cross_entropy=0.5"


def test_prints_a_line_per_epoch_and_the_table(finished):
    workdir, result = finished
    epochs = [line for line in result.stdout.splitlines() if " epoch " in line]
    assert len(epochs) == 8
    for word in ("cross_entropy", "logit_matching", "accuracy", "images/s", "left"):
        assert word in epochs[-1]
    for word in ("expected", "KiB", "activations, weights", str(workdir), "evaluate"):
        assert word in result.stdout
    assert result.stderr == ""


def test_writes_metrics_recipe_manifest_and_tensorboard(finished):
    workdir, _ = finished
    rows = files.read_csv(workdir / "metrics.csv")
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
            "key.txt",
            "model.keras",
            "result.json",
            "tensorboard",
        }
        assert list(folder.glob("tensorboard/train/events*"))


def test_folders_that_cannot_be_made(tmp_path):
    """No word of free space, and none of epochs, of which there are none."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("mine")
    way = tmp_path / "missing" / ".." / "site"
    assert refusal("train", *SMALLEST, f"--workdir={way}").startswith(
        f"{way} leads back out of {tmp_path / 'missing'}, expected a folder there"
    )
    assert refusal("train", *SMALLEST, "--workdir=/proc/none/run") == (
        "/proc/none/run cannot be made (No such file or directory): choose another "
        "--workdir."
    )
    own = f"--workdir={tmp_path / 'run'}"
    file = site / "index.html"
    for library, place, reason in (
        ("/proc/none/stages", "/proc/none", "No such file or directory"),
        (file / "stages", file / "stages", "Not a directory"),
    ):
        result = run("train", *SMALLEST, "--stage=0", own, f"--library={library}")
        assert_one_sentence(result)
        assert result.stderr == (
            f"{place} cannot be found or made ({reason}): check its name, and that "
            "there is a folder for it.\n"
        )
    result = run("train", *SMALLEST, "--stage=0", own, f"--library={file}")
    assert_one_sentence(result, f"{file} is in the way (File exists): give another na")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "run", site]
    assert list(site.iterdir()) == [file] and file.read_text() == "mine"


@pytest.mark.slow
def test_interrupted_run_gives_the_same_weights_to_the_bit(finished, tmp_path):
    workdir, _ = finished
    arguments = ("train", *TINY, "--stage=3", f"--workdir={tmp_path / 'run'}")
    code, errors = interrupt(arguments, "stage 0 epoch 1/2", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert errors == "Stopped by SIGTERM; finished epochs are kept.\n"
    code, _ = interrupt(arguments, "stage 2 epoch 1/2", signal.SIGKILL)
    assert code == -signal.SIGKILL
    kept = tmp_path / "run" / "stage_3" / "checkpoint.npz"
    code, errors = interrupt(arguments, "stage 3 epoch 1/2", signal.SIGINT, kept)
    assert code == 128 + signal.SIGINT
    assert errors == "Stopped by Ctrl-C; finished epochs are kept.\n"
    result = run(*arguments)
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
    tables = (files.read_csv(x / "metrics.csv") for x in (workdir, tmp_path / "run"))
    for row, other in zip(*tables, strict=True):
        assert [row[name] for name in names] == [other[name] for name in names]


def test_finished_workdir_trains_nothing(finished):
    workdir, _ = finished
    before = {path: path.stat().st_mtime_ns for path in workdir.rglob("*.*")}
    result = run("train", *TINY, "--stage=3", f"--workdir={workdir}")
    assert result.returncode == 0
    assert "Stage 3 is complete" in result.stdout and " epoch " not in result.stdout
    assert before == {path: path.stat().st_mtime_ns for path in workdir.rglob("*.*")}


def test_other_seed_is_refused(finished):
    workdir, _ = finished
    result = run("train", *TINY, "--stage=3", "--seed=1", f"--workdir={workdir}")
    assert_one_sentence(result, "seed: 0 -> 1", str(workdir))


def test_damaged_teacher_is_named(finished, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    model = workdir / "stage_2" / "model.keras"
    model.write_bytes(model.read_bytes()[:1000])
    shutil.rmtree(workdir / "stage_3")
    result = run("train", *TINY, "--only", f"--workdir={workdir}")
    assert_one_sentence(result, str(model), "damaged")


def test_a_network_that_somebody_took_is_missed(finished, tmp_path):
    """By the stage itself and by those that rest on it."""
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    model = workdir / "stage_2" / "model.keras"
    model.unlink()
    said = "Stage 2 was trained in", f"{model} is missing", "put it back, or delete"
    for stage in (2, 3):
        answer = run("train", *TINY, f"--stage={stage}", f"--workdir={workdir}")
        assert_one_sentence(answer, *said)
    answer = run("evaluate", f"--workdir={workdir}", "--stage=2")
    assert_one_sentence(answer, *said)


def test_a_damaged_table_costs_no_epoch(finished, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    shutil.rmtree(workdir / "stage_3")
    table = workdir / "metrics.csv"
    table.write_text(table.read_text().replace(",", ";"))
    answer = run("train", *TINY, f"--workdir={workdir}")
    assert_one_sentence(answer, "metrics.csv is no table")
    assert "stage 3 epoch" not in answer.stdout
    assert not Workdir(workdir).checkpoint(3).exists()


def test_only_names_what_is_missing(finished, tmp_path):
    result = run("train", *TINY, "--stage=2", "--only", f"--workdir={tmp_path / 'new'}")
    assert_one_sentence(result, "teacher (stage 1)", "--only")
    assert not (tmp_path / "new").exists()


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
        (["--stage=-1", "--dry_run"], ["--stage=-1", "0 to 3"]),
        (["--stage=4", "--teacher=m.keras"], ["--stage=4 is out", "0 to 3"]),
        (["--override=stages.3.losses.taps=a=b"], ["taps=a=b'", "losses.attention"]),
        (["--override=stages.0.epoch=1"], ["'epoch'", "'epochs'"]),
        (["--override=stages.0.epochs=few"], ["'few'", "a whole number"]),
        (["--override=stages.0.epochs=9999999999"], ["at most 2147483647"]),
        (["--override=data.source=digitz", "--dry_run"], ["'digitz'", "one of digits"]),
        (["--recipe=/tmp/.json"], ["There is no file /tmp/.json"]),
        (["--override=epochs"], ["key=value"]),
        (["digits"], ["'digits'", "--name=value"]),
        (["--recipe=fashion_mnist", "--data_dir=/no/such/folder"], ["/no/such/folder"]),
    ],
)
def test_bad_input_is_one_sentence(arguments, words, tmp_path):
    result = run("train", f"--workdir={tmp_path / 'new'}", *arguments)
    assert_one_sentence(result, *words)
    assert not (tmp_path / "new").exists()


def test_a_network_that_cannot_be_built_is_told_before_others_are_trained(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(integers, "EXACT", 63 * 127 * 15)
    integer = "--override=stages.3.student.real_layers=integer"
    result = run("train", *TINY, integer, f"--workdir={tmp_path / 'new'}")
    assert_one_sentence(result, "Stage 3: Layer 'stem_conv' adds up 9 products")
    assert not (tmp_path / "new").exists()


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """What a run would be trained with whose recipe's file says these things too."""

    def stop(recipe, stage, workdir, **options):
        kept = "" if options["deterministic"] else " not deterministic"
        raise InputError(f"{stage} {options['seed']} {options['precision']}{kept}.")

    monkeypatch.setattr(chain, "train_chain", stop)

    def settings(values, *arguments):
        path = tmp_path / "recipe.json"
        recipe = recipes.to_dict(recipes.get("digits"))
        files.write_json(path, {"recipe": recipe, **values})
        given = (f"--recipe={path}", f"--workdir={tmp_path}/run", *arguments)
        result = run("train", *given)
        return result.stderr.removesuffix("\n"), result.stdout

    return settings


def test_settings_in_the_recipes_file_are_defaults(settings, tmp_path):
    best = {"stage": 1, "seed": 3, "precision": "bfloat16", "trial": 7}
    words = "--stage=1 --seed=3 --precision=bfloat16"
    line = f"{tmp_path}/recipe.json was trained with {{}}, and so is this run.\n"
    assert settings(best) == ("1 3 bfloat16.", line.format(words))
    assert settings(best, "--seed=0", "--precision=float32") == (
        "1 0 float32.",
        line.format("--stage=1"),
    )
    every = ("--stage=2", "--seed=4", "--precision=float16")
    assert settings(best, *every) == ("2 4 float16.", "")
    # A workdir's own file has no stage.
    assert settings({"seed": 5, "precision": "float32", "deterministic": True}) == (
        "3 5 float32.",
        line.format("--seed=5 --precision=float32 --deterministic=True"),
    )
    assert settings({"deterministic": False}) == (
        "3 0 float32 not deterministic.",
        line.format("--deterministic=False"),
    )
    assert settings({"deterministic": False}, "--deterministic") == ("3 0 float32.", "")
    assert settings({}) == ("3 0 float32.", "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", MOST_SEED + 1),
        ("seed", 1.5),
        ("stage", None),
        ("precision", "int8"),
        ("deterministic", "perhaps"),
    ],
)
def test_settings_that_the_flags_do_not_take(settings, name, value):
    sentence, printed = settings({name: value})
    assert f"has the {name} {value!r}, which --{name} does not take" in sentence
    assert printed == "" and "\n" not in sentence


@pytest.mark.slow
def test_the_largest_seed_trains(tmp_path):
    options = ("--stage=0", f"--seed={MOST_SEED}", f"--workdir={tmp_path / 'run'}")
    result = run("train", *TINY, *options)
    assert result.returncode == 0, result.stderr


def test_list_and_dry_run_train_nothing(tmp_path):
    listed = run("train", "--list")
    assert listed.returncode == 0 and "fashion_mnist/strong_baseline" in listed.stdout
    dry = run("train", *TINY, "--dry_run", f"--workdir={tmp_path / 'new'}")
    assert dry.returncode == 0 and "width: 8" in dry.stdout
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("setting", "mended"),
    [
        ("losses.class_weights=balanced", LABELS),
        ("losses.label_smoothing=0.1", LABELS),
        ("optimizer.groups=logits/*:4,logits/*:1:5", "optimizer.weight_decay=0.1"),
        ("optimizer.decay=decoupled", "optimizer.weight_decay=0.1"),
    ],
)
def test_what_would_change_nothing_is_refused(tmp_path, setting, mended):
    flags = ["train", "--recipe=digits", f"--workdir={tmp_path / 'run'}"]
    flags += [f"--override=stages.3.{x}" for x in ("losses.cross_entropy=0", setting)]
    message = refusal(*flags)
    assert f"Override 'stages.3.{setting}' is of no use" in message
    assert f"{mended.partition('=')[0]} above 0" in message
    assert "which stage 3 does not have: set that too" in message
    given = (*flags, f"--override=stages.3.{mended}", "--dry_run")
    assert run(*given).returncode == 0


def test_groups_of_no_weight_are_told_before_any_stage_trains(tmp_path):
    change = "--override=stages.3.optimizer.groups=head/*:10"
    result = run("train", *TINY, change, f"--workdir={tmp_path / 'new'}")
    assert_one_sentence(result, "Stage 3: optimizer.groups has the pattern 'head/*'")
    assert not (tmp_path / "new").exists()


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


@pytest.mark.parametrize(
    ("flags", "ending"),
    [
        ((), "--stage=0"),
        (("--data_dir=my photos",), "--stage=0 '--data_dir=my photos'"),
        (("--import=mine", "--import=more"), "--stage=0 --import=mine --import=more"),
    ],
)
def test_the_command_that_evaluates_is_whole(tmp_path, flags, ending):
    """It can be pasted, and finds the images and what was imported."""
    recipe, workdir = recipes.get("digits"), Workdir(tmp_path)
    workdir.claim({"recipe": recipes.to_dict(recipe)})
    result = StageResult(0, "resnet18", "real", 0.9, 1.0, None, 1, 1.0, 1, 1, 0)
    with flags_of("train", *flags):
        again = train.needed_again()
    *_, line = train.summary(recipe, [result], workdir, again).splitlines()
    command = f"evaluate    python -m r2b_keras.evaluate --workdir={tmp_path} "
    assert line == command + ending


def test_evaluate_names_what_is_missing(tmp_path):
    assert_one_sentence(run("evaluate"), "--workdir")
    assert_one_sentence(run("evaluate", f"--workdir={tmp_path}"), "recipe.json")
