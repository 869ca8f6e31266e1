"""`python -m r2b_keras.reproduce`: small experiments in place of the real ones."""

import contextlib
import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow_datasets as tfds

from r2b_keras import files, folders, reproduce
from r2b_keras.claims import Claim
from r2b_keras.claims import write as write_claims
from r2b_keras.reproduction import checkout, experiments, seeds
from r2b_keras.reproduction.definitions import Experiment, Number, Step
from tests import commands

ARGUMENTS = (
    "train",
    *commands.TINY,
    "--stage=0",
    "--workdir={folder}",
    "--seed={seed}",
    "--library={stages}",
)
SMALL = Experiment(
    "small",
    "one stage",
    True,
    (Step(ARGUMENTS), Step(ARGUMENTS, "table.txt")),
    (Number("stage 0, top-1", "stage_0/result.json", "top1"),),
    num_images=359,
    num_seeds=6,
)
CLAIM = "small: stage 0, top-1"


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL,))
    monkeypatch.setattr(reproduce, "REPRODUCED", f"{tmp_path}/reproduction")


@pytest.fixture
def trained(monkeypatch):
    """Trainings that give the number of this list for each seed, and were counted."""
    values = [0.900, 0.901, 0.902, 0.903, 0.904, 0.905]
    done = []

    def run(experiment, step, seed, workdir):
        folder = workdir / experiment.name / f"seed_{seed}"
        if step.output:
            (folder / step.output).write_text("table\n")
            return
        done.append(seed)
        (folder / "stage_0").mkdir(exist_ok=True)
        found = {"top1": values[seed]}
        (folder / "stage_0" / "result.json").write_text(json.dumps(found))
        manifest = {"runs": [{"git_revision": "abc"}]}
        (folder / "manifest.json").write_text(json.dumps(manifest))
        for name in ("recipe.json", "metrics.csv"):
            (folder / name).write_text("{}\n")

    monkeypatch.setattr(reproduce, "_run", run)
    monkeypatch.setattr(checkout, "check", lambda root, results: None)
    return values, done


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def both(results, tmp_path):
    return (f"--results={results}", f"--workdir={tmp_path / 'work'}")


def test_recording_keeps_each_seed_and_makes_the_claims(trained, results, both):
    values, done = trained
    assert commands.run("reproduce", "--record", *both)[0] == 0
    assert done == [0, 1, 2, 3, 4, 5]
    kept = {p.relative_to(results).as_posix() for p in results.rglob("[!.]*.*")}
    assert kept == {
        "seeds.csv",
        "claims.csv",
        "small/table.txt",
        "small/recipe.json",
        "small/manifest.json",
        "small/metrics.csv",
        "small/stage_0/result.json",
    }
    (claim,) = files.read_csv(results / "claims.csv")
    assert (claim["claim"], claim["seeds"], claim["runs"]) == (CLAIM, "6", "1")
    assert float(claim["value"]) == pytest.approx(0.9025)
    # Again: seed 0 gives the same, so that the others stand.
    done.clear()
    assert commands.run("reproduce", "--record", *both)[0] == 0
    assert done == [0]
    # It gives another number: the code has changed, and all are made anew.
    values[0] = 0.89
    done.clear()
    assert commands.run("reproduce", "--record", *both)[0] == 0
    assert done == [0, 1, 2, 3, 4, 5]
    assert [
        float(row["value"]) for row in files.read_csv(results / "seeds.csv")
    ] == values


def test_other_code_loses_nothing_of_what_it_has_just_recorded(
    trained, results, both, monkeypatch
):
    """The second of two whose difference is claimed changes too, in another number."""
    stages = ("stage 0, top-1", "stage 1, top-1")
    numbers = tuple(
        Number(title, f"stage_{number}/result.json", "top1")
        for number, title in enumerate(stages)
    )
    chain, baseline = (
        dataclasses.replace(SMALL, name=name, numbers=numbers, num_seeds=5)
        for name in ("chain", "baseline")
    )
    last = tuple(seeds.Term(each.name, stages[1]) for each in (chain, baseline))
    monkeypatch.setattr(experiments, "EXPERIMENTS", (chain, baseline))
    monkeypatch.setattr(experiments, "_DIFFERENCES", (last,))
    run, code = reproduce._run, {}

    def of_two_stages(experiment, step, seed, workdir):
        run(experiment, step, seed, workdir)
        folder = workdir / experiment.name / f"seed_{seed}"
        (folder / "stage_1").mkdir(exist_ok=True)
        for name in ("stage_0", "stage_1"):
            found = {"top1": 0.8 + 0.01 * seed + code["shift"]}
            (folder / name / "result.json").write_text(json.dumps(found))
        manifest = {"runs": [{"git_revision": code["name"]}]}
        (folder / "manifest.json").write_text(json.dumps(manifest))

    monkeypatch.setattr(reproduce, "_run", of_two_stages)
    monkeypatch.setattr(checkout, "_git", lambda *arguments: f"{code['name']}\n")
    expected = {
        f"{name}: {stage}" for name in ("chain", "baseline") for stage in stages
    }
    expected.add(f"{last[0].text} - {last[1].text}")
    for name, shift in (("abc", 0.0), ("abcd", 0.01)):
        code.update(name=name, shift=shift)
        assert commands.run("reproduce", "--record", *both)[0] == 0
        rows = files.read_csv(results / "claims.csv")
        assert {row["claim"] for row in rows} == expected
        assert {row["seeds"] for row in rows} == {"5"}


def test_what_another_process_recorded_meanwhile_stays(
    trained, results, both, monkeypatch
):
    other = dataclasses.replace(SMALL, name="other")
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL, other))
    run = reproduce._run

    def beside(experiment, step, seed, workdir):
        run(experiment, step, seed, workdir)
        if (experiment, seed) == (SMALL, 2) and step.output is None:
            reproduce.record(other, workdir, results)

    monkeypatch.setattr(reproduce, "_run", beside)
    assert commands.run("reproduce", "--record", "--experiment=small", *both)[0] == 0
    names = [row["experiment"] for row in files.read_csv(results / "seeds.csv")]
    assert names == ["small"] * 6 + ["other"] * 6
    assert len(files.read_csv(results / "claims.csv")) == 2


def test_two_that_record_at_once_lose_nothing(trained, results, tmp_path, monkeypatch):
    """Each with a --workdir of its own: what they share are the results."""
    other = dataclasses.replace(SMALL, name="other")
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL, other))
    write, both_wait = seeds.write, threading.Barrier(2)

    def slowly(path, measured):
        with contextlib.suppress(threading.BrokenBarrierError):
            both_wait.wait(timeout=0.2)
        write(path, measured)

    monkeypatch.setattr(seeds, "write", slowly)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(reproduce.record, SMALL, tmp_path / "a", results)
        reproduce.record(other, tmp_path / "b", results)
    first.result()
    names = [row["experiment"] for row in files.read_csv(results / "seeds.csv")]
    assert names == ["small"] * 6 + ["other"] * 6


def test_images_that_are_missing_are_told_before_anything_is_trained(
    trained, tmp_path, monkeypatch
):
    _, done = trained
    step = Step(("train", "--recipe=cifar100", "--workdir={folder}"))
    late = dataclasses.replace(SMALL, name="late", steps=(step,))
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL, late))
    write_claims(tmp_path / "claims.csv", [])
    empty = tmp_path / "empty"
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(empty))
    for flag in ("--nolist", "--record"):
        told = commands.refusal("reproduce", f"--results={tmp_path}", flag)
        assert f"cifar100 of TensorFlow Datasets is not prepared in {empty}" in told
        assert "TFDS_DATA_DIR" in told
    assert done == []
    # Of other images nothing can be compared.
    monkeypatch.setattr(seeds, "FINGERPRINTS", {"digits": "0" * 64})
    names = (f"--results={tmp_path}", "--experiment=small")
    assert "images of digits here have" in commands.refusal("reproduce", *names)
    assert done == []


def test_commands_would_be_those_of_another_package(trained, tmp_path, monkeypatch):
    """An installed `r2b` that is started in a checkout."""
    write_claims(tmp_path / "claims.csv", [])
    monkeypatch.chdir(tmp_path)
    assert commands.run("reproduce", f"--results={tmp_path}")[0] == 1
    (tmp_path / "r2b_keras").mkdir()
    told = commands.refusal("reproduce", f"--results={tmp_path}")
    assert f"but {tmp_path} has one too" in told


def test_a_run_under_which_the_code_changed_is_not_recorded(
    trained, results, both, monkeypatch
):
    run = reproduce._run

    def change(experiment, step, seed, workdir):
        run(experiment, step, seed, workdir)
        if seed == 1:
            manifest = workdir / experiment.name / "seed_1" / "manifest.json"
            manifest.write_text('{"runs": [{"git_revision": "abc-dirty"}]}')

    monkeypatch.setattr(reproduce, "_run", change)
    result = commands.run("reproduce", "--record", *both)
    commands.assert_one_sentence(result, "seed_1", "abc-dirty")
    assert [row["seed"] for row in files.read_csv(results / "seeds.csv")] == ["0"]


def test_recording_that_was_stopped_goes_on(trained, results, both, monkeypatch):
    values, done = trained
    values[3:] = [KeyboardInterrupt] * 3
    run = reproduce._run

    def stopped(experiment, step, seed, workdir):
        if values[seed] is KeyboardInterrupt:
            raise KeyboardInterrupt
        run(experiment, step, seed, workdir)

    monkeypatch.setattr(reproduce, "_run", stopped)
    assert commands.run("reproduce", "--record", *both)[0] == 130
    assert [row["seed"] for row in files.read_csv(results / "seeds.csv")] == [
        "0",
        "1",
        "2",
    ]
    # Three seeds are no claim.
    assert files.read_csv(results / "claims.csv") == []
    values[3:] = [0.903, 0.904, 0.905]
    done.clear()
    assert commands.run("reproduce", "--record", *both)[0] == 0
    assert done == [0, 3, 4, 5]
    assert files.read_csv(results / "claims.csv")[0]["seeds"] == "6"


def test_the_same_revision_goes_on_where_another_machine_stopped(
    trained, results, both, tmp_path, monkeypatch
):
    values, done = trained
    first = dataclasses.replace(SMALL, num_seeds=2)
    monkeypatch.setattr(experiments, "EXPERIMENTS", (first,))
    assert commands.run("reproduce", "--record", *both)[0] == 0
    kept = (results / "small" / "manifest.json").read_text()
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL,))
    values[0] = 0.5  # what this machine would give, were it asked
    elsewhere = (both[0], f"--workdir={tmp_path / 'elsewhere'}")
    revision = "abc"
    monkeypatch.setattr(checkout, "_git", lambda *arguments: f"{revision}\n")
    done.clear()
    assert commands.run("reproduce", "--record", *elsewhere)[0] == 0
    assert done == [2, 3, 4, 5]
    assert len(files.read_csv(results / "seeds.csv")) == 6
    assert (results / "small" / "manifest.json").read_text() == kept
    revision = "abcd"
    done.clear()
    assert commands.run("reproduce", "--record", *elsewhere)[0] == 0
    assert done == [0, 1, 2, 3, 4, 5]


def test_a_run_that_was_begun_here_and_recorded_elsewhere_is_left_alone(
    trained, results, both, tmp_path, monkeypatch
):
    _, done = trained
    monkeypatch.setattr(checkout, "_git", lambda *arguments: "abc\n")
    assert commands.run("reproduce", "--record", *both)[0] == 0
    elsewhere = tmp_path / "elsewhere"
    code = checkout.code_name(checkout.ROOT)
    begun = elsewhere / code / "small" / "seed_0"
    begun.mkdir(parents=True)
    (elsewhere / code / "code.txt").write_text(f"{code}\n")
    (begun / "recipe.json").write_text("{}\n")
    done.clear()
    given = (both[0], f"--workdir={elsewhere}")
    assert commands.run("reproduce", "--record", *given)[0] == 0
    assert done == [] and not (begun / "table.txt").exists()


@pytest.mark.parametrize(
    ("value", "code", "text"),
    [
        (0.900, 0, "equal"),
        (0.908, 0, "as claimed"),
        (0.70, 1, "BELOW"),
        (1.0, 1, "ABOVE"),
    ],
)
def test_a_claim_holds_or_not(trained, results, both, value, code, text):
    values, done = trained
    commands.run("reproduce", "--record", *both)
    values[0] = value
    done.clear()
    found, output, errors = commands.run("reproduce", f"--results={results}")
    assert (found, done) == (code, [0])
    assert output.splitlines()[-1].endswith(text)
    assert errors == ("1 of 1 claims do not hold, see above.\n" if code else "")


def test_runs_are_kept_where_none_names_a_folder(trained, tmp_path, monkeypatch):
    """Hours of them; of other code elsewhere, so that it need not be told."""
    _, done = trained
    (tmp_path / "seeds.csv").write_text("experiment,number,seed,value\n")
    write_claims(tmp_path / "claims.csv", [Claim(CLAIM, 0.9, 0.8, 1.0, 5, 1, "")])
    for code in ("one", "other"):
        monkeypatch.setattr(checkout, "code_name", lambda root, code=code: code)
        assert commands.run("reproduce", f"--results={tmp_path}")[0] == 0
        folder = tmp_path / "reproduction" / code / "small" / "seed_0"
        assert (folder / "stage_0" / "result.json").exists()
    assert done == [0, 0]


def test_runs_of_other_code_are_not_reused(trained, tmp_path, monkeypatch):
    _, done = trained
    module = tmp_path / "r2b_keras" / "train.py"
    module.parent.mkdir()
    module.write_text("1\n")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    (tmp_path / "seeds.csv").write_text("experiment,number,seed,value\n")
    write_claims(tmp_path / "claims.csv", [Claim(CLAIM, 0.9, 0.8, 1.0, 5, 1, "")])
    workdir = tmp_path / "work"
    both = (f"--results={tmp_path}", f"--workdir={workdir}")
    for _ in range(2):
        assert commands.run("reproduce", *both)[0] == 0
    assert done == [0, 0]
    module.write_text("2\n")
    assert "another version of the package" in commands.refusal("reproduce", *both)
    # So is a folder that does not say what made it.
    module.write_text("1\n")
    assert commands.run("reproduce", *both)[0] == 0
    (workdir / "code.txt").unlink()
    assert "holds no code.txt" in commands.refusal("reproduce", *both)
    assert done == [0, 0, 0]


def test_of_two_in_one_folder_one_is_refused(trained, tmp_path):
    (tmp_path / "seeds.csv").write_text("experiment,number,seed,value\n")
    write_claims(tmp_path / "claims.csv", [])
    workdir = tmp_path / "work"
    workdir.mkdir()
    with folders.in_use(workdir, "reproducing"):
        refusal = commands.refusal(
            "reproduce", f"--results={tmp_path}", f"--workdir={workdir}"
        )
    assert f"Another process is reproducing in {workdir}: wait for it" in refusal


def test_a_folder_of_other_files_is_refused(trained, tmp_path):
    (tmp_path / "seeds.csv").write_text("experiment,number,seed,value\n")
    write_claims(tmp_path / "claims.csv", [])
    workdir = tmp_path / "photos"
    workdir.mkdir()
    (workdir / "cat.jpg").touch()
    refusal = commands.refusal(
        "reproduce", f"--results={tmp_path}", f"--workdir={workdir}"
    )
    assert "is not empty and holds no code.txt" in refusal
    assert [path.name for path in workdir.iterdir()] == ["cat.jpg"]


def test_code_that_changes_between_two_steps(tmp_path, monkeypatch):
    module = tmp_path / "r2b_keras" / "train.py"
    module.parent.mkdir()
    module.write_text("1\n")
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    done = []

    def edit(experiment, step, seed, workdir):
        done.append(step)
        module.write_text("2\n")

    monkeypatch.setattr(reproduce, "_run", edit)
    with pytest.raises(reproduce.InputError, match="another version of the package"):
        reproduce.run(SMALL, 0, tmp_path / "work")
    assert done == list(SMALL.steps[:1])


def test_what_has_too_few_seeds_is_not_confirmed(trained, tmp_path):
    values, _ = trained
    (tmp_path / "seeds.csv").write_text(
        f'experiment,number,seed,value\nsmall,"stage 0, top-1",0,{values[0]}\n'
    )
    write_claims(tmp_path / "claims.csv", [])
    assert commands.run("reproduce", f"--results={tmp_path}")[0] == 0
    values[0] = 0.901
    code, output, errors = commands.run("reproduce", f"--results={tmp_path}")
    assert code == 1
    assert output.splitlines()[-1].split()[-5:] == ["-", "-", "90.10%", "no", "claim"]
    assert "1 of 1 numbers were recorded with fewer than 5 seeds" in errors


@pytest.mark.parametrize(("top1", "code"), [(0.901, 0), (0.7, 1)])
def test_claims_decide_where_there_are_some(trained, tmp_path, monkeypatch, top1, code):
    """Beside a number without a claim, which differs on each machine."""
    values, _ = trained
    other = dataclasses.replace(SMALL, name="other", num_seeds=1)
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL, other))
    rows = (f'{name},"stage 0, top-1",0,0.9\n' for name in ("small", "other"))
    (tmp_path / "seeds.csv").write_text(
        "experiment,number,seed,value\n" + "".join(rows)
    )
    write_claims(tmp_path / "claims.csv", [Claim(CLAIM, 0.9, 0.8, 1.0, 5, 1, "")])
    values[0] = top1
    found, output, errors = commands.run("reproduce", f"--results={tmp_path}")
    assert found == code
    claimed, unclaimed = output.splitlines()[-2:]
    assert claimed.endswith("BELOW" if code else "as claimed")
    assert "90.00%" in unclaimed and unclaimed.endswith("no claim")
    assert ("1 of 1 claims do not hold" in errors) == bool(code)
    assert "1 of 2 numbers were recorded with fewer than 5 seeds" in errors


@pytest.mark.slow
def test_a_real_training_is_judged(tmp_path, monkeypatch):
    """In processes of its own; what is finished is reused, against a wrong claim."""
    printing = dataclasses.replace(SMALL, steps=SMALL.steps[1:])
    monkeypatch.setattr(experiments, "EXPERIMENTS", (printing,))
    (tmp_path / "seeds.csv").write_text("experiment,number,seed,value\n")
    write_claims(tmp_path / "claims.csv", [Claim(CLAIM, 0.5, 0.0, 1.0, 5, 1, "")])
    both = (f"--results={tmp_path}", f"--workdir={tmp_path / 'work'}")
    code, output, _ = commands.run("reproduce", *both)
    assert code == 0 and output.splitlines()[-1].endswith("as claimed")
    folder = tmp_path / "work" / "small" / "seed_0"
    assert "stage  network" in (folder / "table.txt").read_text()
    assert list((tmp_path / "work" / "stages").glob("stage_0-*/model.keras"))
    top1 = json.loads((folder / "stage_0" / "result.json").read_text())["top1"]
    wrong = Claim(CLAIM, top1 + 0.02, top1 + 0.01, top1 + 0.03, 5, 1, "")
    write_claims(tmp_path / "claims.csv", [wrong])
    code, output, errors = commands.run("reproduce", *both)
    assert code == 1 and output.splitlines()[-1].endswith("BELOW")


def test_list_and_mistakes(tmp_path):
    assert "one stage" in commands.run("reproduce", "--list")[1]
    assert "--quick chooses experiments itself" in commands.refusal(
        "reproduce", "--quick", "--experiment=small"
    )
    assert "Unknown experiment 'x'" in commands.refusal("reproduce", "--experiment=x")
    assert "in a checkout" in commands.refusal(
        "reproduce", f"--results={tmp_path / 'none'}"
    )
    # Before anything is trained.
    assert "There is no file" in commands.refusal("reproduce", f"--results={tmp_path}")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in (".", "link"):
        both = (f"--results={tmp_path}", f"--workdir={tmp_path / name}")
        assert "they would be overwritten" in commands.refusal(
            "reproduce", *both, "--record"
        )


def test_a_changed_checkout_is_not_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    assert "is no checkout" in commands.refusal(
        "reproduce", "--record", f"--results={tmp_path}"
    )
    assert not list(tmp_path.iterdir())


def test_a_command_that_fails_is_named(tmp_path, capfd):
    failing = Step(("train", "--recipe=none", "--workdir={folder}"))
    broken = Experiment("x", "", True, (failing,), (), 1, 1)
    with pytest.raises(reproduce.InputError, match="ended with exit code 1"):
        reproduce.run(broken, 0, tmp_path)
    assert "Unknown recipe 'none'" in capfd.readouterr().err
