"""`python -m r2b_keras.ablate`, as a user types it."""

import json
import pathlib
import time

import pytest

from r2b_keras import files, recipes
from r2b_keras.ablations import runs
from tests import commands

TINY = (
    "--recipe=digits",
    "--override=stages.*.epochs=1",
    "--override=stages.*.schedule.warmup_epochs=0",
    "--override=stages.*.student.width=4",
    "--override=stages.*.student.blocks=1,1",
)
FEW = ("--rows=baseline,attention", "--seeds=2")


def top1s(folder):
    return [
        (row["row"], row["seed"], row["real_weights"], row["binary_weights"])
        for row in files.read_csv(folder / "runs.csv")
    ]


@pytest.fixture(scope="module")
def ablated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablated") / "ablation"
    result = commands.run("ablate", *TINY, *FEW, f"--workdir={folder}")
    assert result.returncode == 0, result.stderr
    return folder, result


@pytest.mark.slow
def test_rows_seeds_tables_and_chart(ablated):
    folder, result = ablated
    found = top1s(folder)
    assert [run[:2] for run in found] == [
        (row, seed) for row in ("baseline", "attention") for seed in "01"
    ]
    assert "| strong baseline |" in result.stdout
    assert (folder / "table.md").read_text() in result.stdout
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")
    compared = (folder / "comparisons.csv").read_text().splitlines()
    assert len(compared) == 1 + 1
    (made_with,) = json.loads((folder / "manifest.json").read_text())["made_with"]
    assert made_with["command"][0] == "ablate.py"
    assert f"--workdir={folder}" in made_with["command"]
    assert made_with["versions"]["tensorflow"]
    # Whoever looks for stages that another trains looks for these.
    recipe = recipes.apply_overrides(
        recipes.get("digits"), [flag.partition("=")[2] for flag in TINY[1:]]
    )
    settings = {"precision": "float32", "deterministic": True, "data_dir": None}
    elsewhere = runs.Ablation(folder.parent / "none", recipe, settings)
    planned = runs.plan(["baseline", "attention"], recipe, ["real"], 2)
    keys = {key for run in planned for key in elsewhere.missing_keys(run)}
    stages = (folder / "stages").iterdir()
    assert keys == {path.name for path in stages if path.is_dir()}
    # A teacher for each seed, whatever the number of rows that it teaches.
    shared = [
        path.name for path in (folder / "stages").glob("stage_0-*") if path.is_dir()
    ]
    assert len(shared) == 2
    for row, seed, _, binary in found:
        path = folder / "runs" / f"{row}_real_{seed}" / "stage_3" / "result.json"
        assert float(binary) == pytest.approx(
            json.loads(path.read_text())["top1"], 1e-5
        )


@pytest.mark.slow
def test_a_run_is_what_training_its_recipe_gives(ablated, tmp_path):
    """Sharing stages, and the runs before it, change nothing."""
    folder, _ = ablated
    run = folder / "runs" / "attention_real_1"
    alone = tmp_path / "alone"
    recipe = f"--recipe={run / 'recipe.json'}"
    result = commands.run("train", recipe, "--seed=1", f"--workdir={alone}")
    assert result.returncode == 0, result.stderr
    for stage in (0, 2, 3):
        name = f"stage_{stage}/result.json"
        ours, theirs = (json.loads((f / name).read_text()) for f in (run, alone))
        ours.pop("seconds"), theirs.pop("seconds")
        assert ours == theirs


@pytest.mark.slow
def test_a_killed_ablation_goes_on_and_two_processes_share_it(ablated, tmp_path):
    folder = tmp_path / "ablation"
    arguments = ("ablate", *TINY, *FEW[:1], "--seeds=1", f"--workdir={folder}")
    process = commands.start(*arguments)
    for _ in range(1200):
        if list((folder / "stages").glob("stage_0-*/result.json")):
            break
        time.sleep(0.1)
    process.kill()
    process.communicate()
    # Tables of what was finished before: the baseline has no teacher to wait for.
    assert [run[:2] for run in top1s(folder)] == [("baseline", "0")]
    assert "| strong baseline |" in (folder / "table.md").read_text()
    both = [commands.start(*arguments) for _ in range(2)]
    outputs = [process.communicate(timeout=500)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert top1s(folder) == [run for run in top1s(ablated[0]) if run[1] == "0"]
    assert all("| strong baseline |" in output for output in outputs)
    # Each printed the table of all runs.
    table = (folder / "table.md").read_text()
    assert "+ attention" in table and all(table in output for output in outputs)


@pytest.mark.slow
def test_a_run_that_diverges_is_told_and_left_alone(tmp_path):
    folder = tmp_path / "ablation"
    # A weight at the end of float32 makes the attention's loss infinite.
    arguments = (
        "ablate",
        *TINY,
        "--rows=attention,gate",
        "--seeds=1",
        "--override=stages.2.losses.attention=3e38",
        f"--workdir={folder}",
    )
    result = commands.run(*arguments)
    commands.assert_one_sentence(
        result, "1 of 2 runs failed (attention_real_0)", "failed.json", "deleted"
    )
    assert result.returncode == 1
    assert [run[:2] for run in top1s(folder)] == [("gate", "0")]
    assert "seed 0: The loss is inf in stage 2" in (folder / "table.md").read_text()
    again = commands.run(*arguments)
    assert (again.returncode, again.stderr) == (1, result.stderr)
    assert "epoch" not in again.stdout.partition("|")[0]
    listed = commands.run(*arguments, "--dry_run").stdout.split()
    assert listed == ["attention_real_0", "failed", "gate_real_0", "done"]


@pytest.mark.slow
def test_rows_may_be_added_and_another_recipe_is_refused(ablated):
    folder, _ = ablated
    listed = commands.run(
        "ablate",
        *TINY,
        *FEW[1:],
        "--rows=attention,gate",
        "--dry_run",
        f"--workdir={folder}",
    )
    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["attention_real_0", "done"],
        ["gate_real_0"],
        ["attention_real_1", "done"],
        ["gate_real_1"],
    ]
    other = commands.run(
        "ablate", *TINY, "--override=stages.3.epochs=2", f"--workdir={folder}"
    )
    assert other.returncode == 1
    assert "by another ablation: recipe.stages.3.epochs: 1 -> 2. " in other.stderr
    assert other.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "--workdir is missing"),
        (("--workdir=x", "--rows=gates"), "Unknown row 'gates'"),
        (("--workdir=x", "--downsample=none"), "Downsampling is 'none'"),
        (("--workdir=x", "--downsample="), "--downsample is empty, expected real or"),
        (("--workdir=x", "--recipe=digits/strong_baseline"), "four-stage recipes"),
        (
            ("--workdir=x", "--override=stages.0.student.reduction=4", "--dry_run"),
            "a student.rescaling with a gate, which stage 0 does not have",
        ),
        (("--workdir=/etc",), "not empty and holds no ablation.json"),
        (("--workdir=/etc", "--dry_run"), "not empty and holds no ablation.json"),
    ],
)
def test_mistakes_end_in_one_sentence(arguments, sentence):
    result = commands.run("ablate", *arguments)
    assert result.returncode == 1
    assert sentence in result.stderr and result.stderr.count("\n") == 1
    assert not pathlib.Path("x").exists()


@pytest.mark.parametrize(
    "override",
    [
        # Of these the recipe has some use, though not each row has one.
        "stages.*.student.reduction=4",
        "stages.1.losses.attention_form=squared_mean",
        "stages.3.losses.temperature=4",
        "stages.3.student.weight_binarizer=approx_sign",
    ],
)
def test_overrides_that_some_rows_do_not_heed(override, tmp_path):
    given = (f"--workdir={tmp_path / 'new'}", "--dry_run", f"--override={override}")
    result = commands.run("ablate", *given)
    assert result.returncode == 0, result.stderr


def test_a_row_that_an_override_does_not_fit_is_told_before_others_train(tmp_path):
    folder = tmp_path / "ablation"
    groups = "--override=stages.3.optimizer.groups=block_*_scale/*:0.5"
    few = ("--rows=baseline,analytic", "--seeds=1", f"--workdir={folder}")
    result = commands.run("ablate", *TINY, groups, *few)
    words = "Row 'analytic' cannot be trained", "Stage 3: optimizer.groups", "--rows"
    commands.assert_one_sentence(result, *words)
    assert "epoch" not in result.stdout and not folder.exists()


def test_the_precision_of_a_recipe_s_file_is_the_runs_too(tmp_path):
    recipe = recipes.to_dict(recipes.get("digits"))
    file, folder = tmp_path / "recipe.json", tmp_path / "ablation"
    files.write_json(file, {"recipe": recipe, "precision": "bfloat16", "seed": 3})
    settings = {"precision": "float32", "deterministic": True, "data_dir": None}
    runs.Ablation(folder, recipes.get("digits"), settings).claim()
    look = ("ablate", f"--recipe={file}", f"--workdir={folder}", "--dry_run")
    result = commands.run(*look)
    commands.assert_one_sentence(result, "precision: float32 -> bfloat16")
    assert commands.run(*look, "--precision=float32").returncode == 0
    file.write_text(file.read_text().replace("bfloat16", "float8"))
    result = commands.run(*look)
    commands.assert_one_sentence(result, "has the precision 'float8'", "give --precis")


def test_list_names_the_rows():
    result = commands.run("ablate", "--list")
    assert result.stdout.splitlines()[0].split(None, 1) == [
        "baseline",
        "strong baseline",
    ]
    assert len(result.stdout.splitlines()) == 12
