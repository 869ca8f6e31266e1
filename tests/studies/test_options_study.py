"""The study of the student's options: what each changes and shares with others."""

import json
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from r2b_keras import files, recipes
from r2b_keras.trainers.library import stage_key


@pytest.fixture(scope="module")
def study(load):
    return load("student_options")


def keys(study, name):
    """Of the four stages in a library."""
    recipe = recipes.apply_overrides(recipes.get(study.RECIPE), study.overrides(name))
    return [stage_key({"seed": 0}, recipe, number) for number in range(4)]


def test_what_options_share_with_the_chain(study):
    """Trained once: the stages before the first one that an option changes."""
    chain = keys(study, study.CHAIN)
    shared = {
        name: sum(
            one == other for one, other in zip(chain, keys(study, name), strict=True)
        )
        for name in study.OPTIONS
    }
    assert shared == {
        study.CHAIN: 4,
        "shifts before PReLU": 1,
        "thresholds by the mean": 1,
        "clip of 1.5": 2,
        "centred filters": 3,
        "ReCU's filters": 3,
        study.ALL: 1,
        "smoothed labels, 0.1": 3,
    }


def test_every_option_of_the_block_is_tried(study):
    """All that later papers have added, but the stem, which is for larger pictures."""
    plain = recipes.get(study.RECIPE).stages[3].student
    found = recipes.apply_overrides(
        recipes.get(study.RECIPE), study.overrides(study.ALL)
    )
    changed = {
        name
        for name in plain.__dataclass_fields__
        if getattr(found.stages[3].student, name) != getattr(plain, name)
    }
    assert changed == {
        *("prelu_shifts", "thresholds", "activation_clip"),
        *("weight_standardization", "weight_quantile"),
    }
    epochs = [stage.epochs for stage in found.stages]
    assert epochs[1:] == list(study.EPOCHS.values())


def test_differences_are_taken_seed_by_seed(study):
    shift = "shifts before PReLU"
    rows = [
        {"option": name, "seed": seed, "stage_3": top1}
        for name, found in (
            (study.CHAIN, (0.50, 0.52, 0.51)),
            (shift, (0.52, 0.55, 0.52)),
            ("thresholds by the mean", (0.50, 0.51)),
            ("clip of 1.5", (0.50, 0.51, 0.52)),
            ("centred filters", (0.50,)),
        )
        for seed, top1 in enumerate(found)
    ]
    first, second, third = study.compare(rows)
    # 2, 3 and 1 points: by these two rows alone the interval is 2.48. The thresholds,
    # which leave the chain where the shifts do, tell more of the noise. The filters,
    # which leave it later, share more with the chain and are not heard.
    assert first == {
        "option": shift,
        "seeds": 3,
        "points": "+2.00",
        "interval": "1.98",
        "p_holm": "0.147",
    }
    assert (second["option"], second["seeds"]) == ("thresholds by the mean", 2)
    assert second["points"] == "-0.50"
    # Those that left the chain earlier count as well: eleven runs, less four rows and
    # two more seeds, are five degrees of freedom, of which 2.5706 is the point.
    top1s = [0.50, 0.52, 0.51, 0.52, 0.55, 0.52, 0.50, 0.51, 0.50, 0.51, 0.52]
    places = [(r, s) for r in range(4) for s in range(3) if (r, s) != (2, 2)]
    model = np.array(
        [[r == i for i in range(4)] + [s == i for i in (1, 2)] for r, s in places]
    )
    _, squares, rank, _ = np.linalg.lstsq(
        model.astype(float), np.array(top1s), rcond=None
    )
    assert rank == 6
    width = 2.5706 * np.sqrt(squares[0] / 5 * 2 / 3)
    assert (third["option"], third["points"]) == ("clip of 1.5", "+0.00")
    assert float(third["interval"]) == pytest.approx(100 * width, abs=0.006)


def made(study, monkeypatch, tmp_path):
    """Runs the study on trainings that are none, and returns what it was told."""
    monkeypatch.setattr(study, "WORK", tmp_path / "work")
    monkeypatch.setattr(study.trainings, "hold", lambda folder: None)
    commands = []

    def run(command, check, **options):
        assert check
        commands.append(command)
        _, _, name, *given = command
        options = dict(
            flag[2:].split("=", 1) for flag in given if "override" not in flag
        )
        if name == "r2b_keras.convert":
            pathlib.Path(options["output"]).write_bytes(bytes(len(options["output"])))
            return
        for stage in range(4):
            result = pathlib.Path(options["workdir"], f"stage_{stage}", "result.json")
            result.parent.mkdir(parents=True, exist_ok=True)
            # Shifts gain two points, and a seed half of one.
            gain = 0.02 * ("shifts" in options["workdir"])
            top1 = 0.5 + gain + 0.005 * int(options["seed"])
            result.write_text(json.dumps({"top1": top1}))

    monkeypatch.setattr(study.trainings.subprocess, "run", run)
    monkeypatch.setattr(
        study.benchmarking,
        "benchmark",
        lambda models, engines: [
            SimpleNamespace(model=name, ratio=1 + number / 10)
            for number, name in enumerate(models)
        ],
    )
    monkeypatch.setattr(sys, "argv", ["study", f"--output={tmp_path / 'out'}"])
    return commands


def tables(tmp_path):
    """Both, as they were written."""
    return [
        files.read_csv(tmp_path / "out" / name) for name in ("runs.csv", "options.csv")
    ]


def test_the_whole_study(study, monkeypatch, tmp_path):
    commands = made(study, monkeypatch, tmp_path)
    study.main()
    assert len(commands) == 3 * 8 + 8
    assert f"--library={tmp_path / 'work' / 'stages'}" in commands[0]
    runs, options = tables(tmp_path)
    assert len(runs) == 24 and {"stage_2", "stage_3"} < set(runs[0])
    assert [row["option"] for row in options] == list(study.OPTIONS)[1:]
    gains = {row["option"]: row["points"] for row in options}
    assert gains.pop("shifts before PReLU") == "+2.00"
    assert set(gains.values()) == {"+0.00"}
    assert [row["time"] for row in options] == [f"1.{n}00" for n in range(1, 8)]
    assert all(int(row["bytes"]) > 0 for row in options)
    assert "--override=stages.2.student.activation_clip=1.5" in " ".join(commands[3])
    # What is there is converted once.
    commands.clear()
    study.main()
    assert len(commands) == 3 * 8


@pytest.mark.parametrize(
    ("failing", "num_runs", "told"),
    [
        ("train .*clip_of_1.5/seed_1", 23, "training clip of 1.5 with seed 1"),
        ("train .*clip_of_1.5/seed_0", 23, "training clip of 1.5 with seed 0"),
        ("train .*the_chain/seed_0", 23, "training the chain with seed 0"),
        ("convert .*centred_filters", 24, "converting centred filters"),
    ],
)
def test_one_that_fails_does_not_stop_the_others(
    study, monkeypatch, tmp_path, failing, num_runs, told
):
    command, _, name = failing.partition(" .*")
    commands = made(study, monkeypatch, tmp_path)
    run = study.trainings.subprocess.run

    def failing_once(given, **options):
        if given[2].endswith(command) and name in " ".join(given):
            raise subprocess.CalledProcessError(1, given)
        run(given, **options)

    monkeypatch.setattr(study.trainings.subprocess, "run", failing_once)
    with pytest.raises(SystemExit, match=f"^Left out, as said above: {told}.$"):
        study.main()
    runs, options = tables(tmp_path)
    assert len(runs) == num_runs
    assert [row["option"] for row in options] == list(study.OPTIONS)[1:]
    without = [row["option"] for row in options if not row["time"]]
    assert without == (["centred filters"] if command == "convert" else [])
    # Times are multiples of the chain's, and files are of what was trained to its end.
    assert options[0]["time"] == "1.100"
    converted = [" ".join(given) for given in commands if "convert" in given[2]]
    assert all("--stage=3" in given for given in converted)
    (folder, _, seed) = name.rpartition("/seed_")
    for given in converted:
        first = "1" if folder and folder in given and seed == "0" else "0"
        assert f"/seed_{first} " in given


def test_code_that_changes_stops_a_study(study, monkeypatch, tmp_path):
    """Each run is a process of its own, of the code as it is by then."""
    codes = iter(["a", "a", "b"])
    hold = study.trainings.hold
    made(study, monkeypatch, tmp_path)
    monkeypatch.setattr(study.trainings, "hold", hold)
    monkeypatch.setattr(study.trainings.checkout, "code_name", lambda root: next(codes))
    with pytest.raises(SystemExit, match="of another version .* go on with the code"):
        study.trainings.in_words(study.main)
    assert len(files.read_csv(tmp_path / "out" / "runs.csv")) == 2
