"""`python -m r2b_keras.reproduce`: small experiments in place of the real ones."""

import json

import pytest

from r2b_keras import reproduce
from r2b_keras.reproduction import experiments
from r2b_keras.reproduction.experiments import Claim, Experiment, Step
from tests import commands

TRAIN = Step(("train", *commands.TINY, "--stage=0", "--workdir={folder}"))
SMALL = Experiment(
    "small",
    "one stage",
    True,
    (TRAIN, Step(TRAIN.arguments, "table.txt")),
    (Claim("stage 0, top-1", "stage_0/result.json", "top1"),),
)


@pytest.fixture
def command(monkeypatch, capsys):
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL,))
    return commands.InThisProcess(reproduce, monkeypatch, capsys)


@pytest.mark.slow
def test_recorded_reproduced_and_found_off(command, tmp_path):
    results, workdir = tmp_path / "results", tmp_path / "work"
    results.mkdir()
    spread = {"small": {"stage_0": {"standard_deviation": 0.001}}}
    (results / "spread.json").write_text(json.dumps(spread))
    both = (f"--results={results}", f"--workdir={workdir}")
    code, output, _ = command.run("--record", *both)
    assert code == 0
    kept = {p.relative_to(results).as_posix() for p in results.rglob("*.*")}
    assert kept == {
        "spread.json",
        "small/table.txt",
        "small/recipe.json",
        "small/manifest.json",
        "small/metrics.csv",
        "small/stage_0/result.json",
    }
    assert "stage  network" in (results / "small" / "table.txt").read_text()
    # Finished: reused. Elsewhere: trained again, to the same number.
    for place in (both, both[:1]):
        code, output, _ = command.run(*place)
        assert code == 0 and output.splitlines()[-1].endswith("equal")
    path = results / "small" / "stage_0" / "result.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "top1": values["top1"] - 0.01}))
    code, output, errors = command.run(*both)
    assert code == 1 and output.splitlines()[-1].endswith("OFF")
    assert errors == "Some numbers are off, see above.\n"


def test_list_and_mistakes(command, tmp_path, monkeypatch):
    assert "one stage" in command.run("--list")[1]
    assert "Unknown experiment 'x'" in command.refusal("--experiment=x")
    assert "in a checkout" in command.refusal(f"--results={tmp_path / 'none'}")
    # Before anything is trained.
    assert "There is no file" in command.refusal(f"--results={tmp_path}")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in (".", "link"):
        both = (f"--results={tmp_path}", f"--workdir={tmp_path / name}")
        assert "they would be overwritten" in command.refusal(*both, "--record")


def test_a_command_that_fails_is_named(tmp_path, capfd):
    failing = Step(("train", "--recipe=none", "--workdir={folder}"))
    with pytest.raises(reproduce.InputError, match="ended with exit code 1"):
        reproduce.run(Experiment("x", "", True, (failing,), ()), tmp_path / "x")
    assert "Unknown recipe 'none'" in capfd.readouterr().err
