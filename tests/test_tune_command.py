"""Sweeps as their user runs them: whole, cut off, on several processes."""

import json
import pathlib
import signal
import socket
import subprocess

import pytest
from PIL import Image

from r2b_keras import files, recipes
from r2b_keras.data import DataConfig
from r2b_keras.sweeps.search import this_process
from r2b_keras.trainers.workdir import Workdir
from tests import commands
from tests.recipes import chains

TINY = (
    "--recipe=digits",
    "--override=stages.*.epochs=2",
    "--override=stages.*.student.width=8",
    "--override=stages.*.student.blocks=1",
    "--stage=1",
)
# Every combination once, beside the recipe's own rate of 0.002. With the largest rate
# the weights overflow.
SPACE = {
    "stage.optimizer.learning_rate": {"choice": [0.01, 1e30]},
    "stage.losses.attention": {"choice": [1.0]},
}


@pytest.fixture(scope="module")
def space(tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("space") / "space.json"
    path.write_text(json.dumps(SPACE))
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory, space) -> tuple[pathlib.Path, str]:
    """A sweep that nobody cut off, and what it printed."""
    sweep = tmp_path_factory.mktemp("whole") / "sweep"
    result = commands.run("tune", *arguments(space, sweep))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return sweep, result.stdout


def arguments(space, sweep, *more: str) -> tuple[str, ...]:
    given = (f"--space={space}", f"--workdir={sweep}", "--max_trials=3", "--seeds=1")
    return (*TINY, *given, *more)


def rows(sweep: pathlib.Path) -> list[dict[str, str]]:
    """The table but for the times."""
    return [{**row, "seconds": ""} for row in files.read_csv(sweep / "trials.csv")]


@pytest.mark.slow
def test_whole_sweep(whole):
    sweep, printed = whole
    table = rows(sweep)
    rates = {row["stage.optimizer.learning_rate"]: row for row in table}
    assert set(rates) == {"0.002", "0.01", "1e+30"}
    # The recipe's own rate comes first.
    assert table[0]["stage.optimizer.learning_rate"] == "0.002"
    assert "recipe 0" in printed and "helped      no" in printed
    # The line about TensorBoard names a folder with the curves and with HParams.
    (line,) = [line for line in printed.splitlines() if "--logdir=" in line]
    events = pathlib.Path(line.partition("--logdir=")[2]).rglob("events.*")
    folders = {path.relative_to(sweep).parts[0] for path in events}
    assert {"trials", "hparams"} <= folders
    assert [row["status"] for row in rates.values()].count("failed") == 1
    assert "is not finite" in rates["1e+30"]["reason"] or (
        "The loss is" in rates["1e+30"]["reason"]
    )
    good = [row for row in table if row["status"] == "finished"]
    best = max(good, key=lambda row: float(row["validation_top1"]))
    assert f"best        trial {best['trial']}: validation" in printed
    assert "3 of 3 trials" in printed and "4 of 3" not in printed
    assert (sweep / "sweep.png").read_bytes().startswith(b"\x89PNG")
    runs = sorted(path.name for path in (sweep / "hparams").iterdir())
    assert runs == ["sweep", "trial_000", "trial_001", "trial_002"]


@pytest.mark.slow
def test_earlier_stages_are_trained_once(whole):
    sweep, printed = whole
    assert printed.count("stage 0 epoch 1/2") == 1
    assert printed.count("stage 1 epoch 1/2") >= 2
    shared = [
        path.name for path in (sweep / "stages").glob("stage_0-*") if path.is_dir()
    ]
    assert len(shared) == 1
    # Their rows are in every trial that got so far.
    for trial in (sweep / "trials").glob("*/metrics.csv"):
        head, *epochs = trial.read_text().splitlines()
        assert [row[:4] for row in epochs[:2]] == ["0,1,", "0,2,"]


@pytest.mark.slow
def test_training_the_best_recipe_gives_the_trials_number(whole, tmp_path):
    sweep, _ = whole
    best = json.loads((sweep / "best_recipe.json").read_text())
    code, _, _ = commands.run(
        "train",
        f"--recipe={sweep / 'best_recipe.json'}",
        f"--stage={best['stage']}",
        f"--seed={best['seed']}",
        f"--workdir={tmp_path / 'run'}",
    )
    assert code == 0
    result = Workdir(tmp_path / "run").result(1)
    assert result.validation_top1 == best["validation_top1"]
    again = commands.stored_weights(tmp_path / "run", 1)
    trial = commands.stored_weights(sweep / "trials" / f"{best['trial']:03d}", 1)
    assert again.keys() == trial.keys()
    assert all((again[name] == trial[name]).all() for name in trial)


@pytest.mark.slow
def test_the_best_recipe_brings_its_seed_stage_and_precision(tmp_path):
    sweep, space = tmp_path / "sweep", tmp_path / "space.json"
    space.write_text('{"stage.optimizer.learning_rate": {"choice": [0.01]}}')
    result = commands.run(
        "tune",
        *TINY,
        "--stage=0",
        "--override=stages.0.epochs=1",
        "--seed=3",
        "--precision=bfloat16",
        f"--space={space}",
        f"--workdir={sweep}",
        "--max_trials=1",
        "--seeds=1",
    )
    assert result.returncode == 0, result.stderr
    file, run = sweep / "best_recipe.json", tmp_path / "run"
    result = commands.run("train", f"--recipe={file}", f"--workdir={run}")
    assert result.returncode == 0, result.stderr
    own = "--stage=0 --seed=3 --precision=bfloat16"
    assert f"{file} was trained with {own}, and so is this run.\n" in result.stdout
    best = json.loads(file.read_text())
    # One trial is the recipe's own.
    assert [row["trial"] for row in rows(sweep)] == ["0"] and best["trial"] == 0
    assert Workdir(run).result(0).validation_top1 == best["validation_top1"]
    assert Workdir(run).result(1) is None
    again = commands.stored_weights(run, 0)
    trial = commands.stored_weights(sweep / "trials" / "000", 0)
    assert all((again[name] == trial[name]).all() for name in trial)


@pytest.mark.slow
def test_a_whole_sweep_is_not_run_again(whole, space):
    sweep, _ = whole
    before = rows(sweep)
    code, printed, _ = commands.run("tune", *arguments(space, sweep))
    assert code == 0 and "epoch" not in printed and "best        trial" in printed
    assert rows(sweep) == before
    # All combinations have been tried.
    code, printed, _ = commands.run("tune", *arguments(space, sweep, "--max_trials=9"))
    assert code == 0 and "epoch" not in printed
    assert "after 3 of 9 trials: there are no other values to try" in printed
    assert "seed: 0 -> 1" in commands.refusal(
        "tune", *arguments(space, sweep, "--seed=1")
    )


@pytest.mark.slow
def test_a_sweep_that_was_cut_twice_goes_on_alike(whole, space, tmp_path):
    sweep = tmp_path / "sweep"
    given = ("tune", *arguments(space, sweep))
    code, errors = commands.interrupt(given, "stage 0 epoch 1/2", signal.SIGTERM)
    assert code == 128 + signal.SIGTERM
    assert errors == "Stopped by SIGTERM; finished trials and epochs are kept.\n"
    commands.interrupt(given, "stage 1 epoch 1/2", signal.SIGKILL)
    code, printed, _ = commands.run("tune", *given[1:])
    assert code == 0
    assert "stage 0" not in printed
    assert rows(sweep) == rows(whole[0])
    assert not list(sweep.rglob(".partial*"))


@pytest.mark.slow
def test_chief_and_workers_that_are_killed(space, tmp_path):
    sweep, processes = tmp_path / "sweep", []
    # Random values without end, so that there is work for all.
    space = tmp_path / "space.json"
    space.write_text('{"stage.optimizer.learning_rate": {"log": [0.001, 0.01]}}')
    given = (
        *TINY[:-1],
        "--stage=0",
        "--override=stages.0.epochs=4",
        f"--space={space}",
        f"--workdir={sweep}",
        "--max_trials=4",
        "--seeds=1",
    )
    port = free_port()

    def begin(name: str) -> subprocess.Popen:
        processes.append(commands.start("tune", *given, **named(name, port)))
        return processes[-1]

    try:
        chief, lost, other = begin("chief"), begin("tuner0"), begin("tuner1")
        trial = commands.wait_for(lost, "trial ")
        commands.wait_for(lost, "epoch 1/4")
        lost.kill()
        assert "tuner0 is gone" in commands.wait_for(chief, "gone")
        # The chief too, and another one goes on with its workers.
        chief.kill()
        chief = begin("chief")
        printed, errors = chief.communicate(timeout=300)
        rest, _ = other.communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert (chief.returncode, errors) == (0, "")
    assert other.returncode == 0
    assert trial.split(":")[0] + ":" in rest
    table = rows(sweep)
    assert [row["trial"] for row in table] == ["0", "1", "2", "3"]
    assert {row["status"] for row in table} == {"finished"}
    assert "4 of 4 trials" in printed and "best        trial" in printed


def test_the_space_is_printed_as_a_file(tmp_path):
    code, printed, _ = commands.run("tune", "--list_space", "--stage=3")
    assert code == 0 and "stage.losses.temperature" in json.loads(printed)
    (tmp_path / "space.json").write_text(printed)
    code, again, _ = commands.run(
        "tune", "--list_space", f"--space={tmp_path}/space.json"
    )
    assert (code, again) == (0, printed)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--stage=4"], "stages 0 to 3"),
        (["--space=none.json"], "no file none.json"),
        (["--override=data.validation_size=0"], "data.validation_size 0"),
        (["--max_trials=0"], "--max_trials is 0"),
        (["--seeds=0"], "--seeds is 0"),
        (["--tuner=hyperband", "--override=stages.3.epochs=2"], "at least 3"),
        (
            ["--override=stages.0.optimizer.momentum=0.5", "--list_space"],
            "optimizer.name 'sgd', which stage 0 does not have",
        ),
    ],
)
def test_what_cannot_be_swept(tmp_path, given, words):
    assert words in commands.refusal("tune", *given, f"--workdir={tmp_path / 'sweep'}")
    assert not (tmp_path / "sweep").exists()


def test_an_override_that_trials_alone_heed(tmp_path):
    """None is refused that has a use in some trial, such as where a loss is on."""
    kinds = {"stage.schedule.kind": {"choice": ["cosine", "constant"]}}
    (tmp_path / "space.json").write_text(json.dumps(kinds))
    given = (
        "--override=stages.3.schedule.kind=constant",
        "--override=stages.3.schedule.final_fraction=0.1",
        "--list_space",
    )
    message = commands.refusal("tune", *given)
    assert "final_fraction=0.1' is of no use without the schedule.kind" in message
    code, _, errors = commands.run("tune", *given, f"--space={tmp_path}/space.json")
    assert code == 0, errors


@pytest.mark.slow
def test_a_folder_that_keeps_a_validation_part(tmp_path):
    """Of two shades, which the network tells apart; validation_size is 0."""
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        for name, shade in (("dark", 40), ("light", 200)):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = Image.new("L", (8, 8), shade + number)
                image.save(folder / f"{number}.png")
    config = DataConfig("folder", (8, 8, 1), (0.5,), (0.5,), validation_size=0)
    stage = chains.stage("real", epochs=1, batch_size=4)
    content = {"recipe": recipes.to_dict(chains.recipe(stage, data=config))}
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(content))
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"stage.optimizer.learning_rate": {"choice": [0.01]}}))
    code, printed, _ = commands.run(
        "tune",
        f"--recipe={recipe}",
        f"--space={space}",
        f"--data_dir={tmp_path / 'pictures'}",
        f"--workdir={tmp_path / 'sweep'}",
        "--max_trials=2",
        "--seeds=1",
    )
    assert code == 0 and "4 held out" in printed and "2 of 2 trials" in printed
    scores = [float(row["validation_top1"]) for row in rows(tmp_path / "sweep")]
    assert len(scores) == 2 and set(scores) <= {0, 0.25, 0.5, 0.75, 1}


def named(name: str, port: int) -> dict[str, str]:
    """Variables that make a process one of several."""
    variables = {
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
    }
    assert this_process(variables).name == name
    return variables


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
