"""The ablation's folder: whose it is, who trains what, and what has failed."""

import json
from types import SimpleNamespace

import pytest

from r2b_keras import files, locks, own_code, recipes
from r2b_keras.ablations import results, rows, runs
from r2b_keras.errors import InputError, MemoryLackError, NonFiniteLossError
from r2b_keras.trainers.workdir import StageResult

DIGITS = recipes.get("digits")
SETTINGS = {"precision": "float32", "deterministic": True, "data_dir": None}


class Fake(runs.Ablation):
    """Trains nothing: every run ends at once, and is noted."""

    def __init__(self, path, recipe=DIGITS, fingerprint="abc", **settings):
        super().__init__(path, recipe, SETTINGS | settings)
        self.images = SimpleNamespace(fingerprint=fingerprint, num_test=359)
        self.trained, self.failing = [], set()
        self.error = NonFiniteLossError("The loss is nan in stage 2: mend it.")

    def train(self, run):
        self.trained.append(run.name)
        if run.name in self.failing:
            self.workdir(run).path.mkdir(parents=True)
            raise self.error
        for number in (rows.REAL_WEIGHTS, rows.BINARY_WEIGHTS):
            self.workdir(run).stage(number).mkdir(parents=True, exist_ok=True)
            result = StageResult(
                number, "n", "binary", 0.9, 1.0, None, 1, 1.0, 1000, 9, 8
            )
            self.workdir(run).save_result(result)


def test_the_same_ablation_takes_the_folder_again(tmp_path):
    Fake(tmp_path / "a").claim()
    Fake(tmp_path / "a", data_dir="/elsewhere").claim()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": "abd"}, "data_fingerprint: abc -> abd"),
        ({"precision": "bfloat16"}, "precision: float32 -> bfloat16"),
        ({"deterministic": False}, "deterministic: True -> False"),
        (
            {"recipe": recipes.apply_overrides(DIGITS, ["stages.0.epochs=3"])},
            "recipe.stages.0.epochs: 10 -> 3",
        ),
    ],
)
def test_another_ablation_does_not(tmp_path, changes, words):
    Fake(tmp_path / "a").claim()
    before = (tmp_path / "a" / "ablation.json").read_bytes()
    with pytest.raises(InputError, match="was made by another ablation") as problem:
        Fake(tmp_path / "a", **changes).claim()
    assert words in str(problem.value)
    assert (tmp_path / "a" / "ablation.json").read_bytes() == before


def test_rows_of_other_code_do_not_come_into_one_table(tmp_path, monkeypatch):
    """They would be compared seed by seed, and share no teacher."""
    Fake(tmp_path / "a").claim()
    monkeypatch.setattr(own_code, "of_training", lambda: "of another revision")
    words = "training_code: .* -> of another revis. .* data and code of the package"
    with pytest.raises(InputError, match=words):
        Fake(tmp_path / "a").claim()


def test_the_chart_tells_how_long_students_were_trained(tmp_path):
    """On digits a row without the tanh student does without its ten epochs."""
    for names, told in ((["gate"], "35"), (["gate", "all"], "35 or 45")):
        found = [
            runs.Outcome(name, "real", 0, 0.5, 0.5, None, 1, 1.0, 359) for name in names
        ]
        title = results._title(Fake(tmp_path / "a"), found)
        assert (
            title == f"Rows of Table 3 on digits: width 16, {told} epochs of students"
        )


def test_a_file_is_told_by_its_content(tmp_path):
    file = tmp_path / "teacher.keras"
    recipe = recipes.apply_overrides(DIGITS, [f"stages.1.teacher={file}"])
    with pytest.raises(InputError, match="teacher.keras cannot be read"):
        Fake(tmp_path / "a", recipe).claim()
    file.write_bytes(b"one")
    Fake(tmp_path / "a", recipe).claim()
    Fake(tmp_path / "a", recipe).claim()
    file.write_bytes(b"another")
    with pytest.raises(InputError, match="by another ablation: files.*teacher.keras"):
        Fake(tmp_path / "a", recipe).claim()


def test_the_fingerprint_is_the_data_s():
    """Of what `train_chain` loads, too."""
    from r2b_keras import data

    dataset = data.load(DIGITS.data, None)
    images = runs.Ablation("unused", DIGITS, SETTINGS).images
    assert images.fingerprint == dataset.fingerprint and images.num_test == 359


def test_a_folder_from_before_a_field_was_added_is_the_same_ablation_s(tmp_path):
    Fake(tmp_path / "a").claim()
    path = tmp_path / "a" / "ablation.json"
    whole = path.read_bytes()
    old = json.loads(whole)
    for stage in old["recipe"]["stages"]:
        del stage["student"]["synchronized_batch_norm"]
    path.write_text(json.dumps(old))
    Fake(tmp_path / "a").claim()
    assert path.read_bytes() == whole


def test_downsampling_must_be_named():
    with pytest.raises(InputError, match="--downsample is empty, expected real or bin"):
        runs.plan([], DIGITS, [], 3)
    assert len(runs.plan(["gate"], DIGITS, ["binary", "binary"], 3)) == 3


def test_a_run_that_diverges_does_not_stop_the_others(tmp_path, capsys):
    planned = runs.plan(["baseline", "attention", "gate"], DIGITS, ["real"], 1)
    ablation = Fake(tmp_path)
    ablation.failing = {"attention_real_0"}
    assert ablation.train_all(planned) == planned[1:2]
    assert ablation.failures() == [
        (planned[1], "The loss is nan in stage 2: mend it."),
    ]
    assert ablation.trained == ["baseline_real_0", "attention_real_0", "gate_real_0"]
    assert "attention_real_0 failed: The loss is nan" in capsys.readouterr().out
    assert [outcome.row for outcome in ablation.outcomes()] == ["baseline", "gate"]
    table = results.write(ablation)
    assert "- + attention, real downsample, seed 0: The loss is nan in stage 2" in table

    again = Fake(tmp_path)
    assert again.train_all(planned) == planned[1:2]
    assert again.trained == []
    (tmp_path / "runs" / "attention_real_0" / "failed.json").unlink()
    assert again.train_all(planned) == again.failures() == []
    assert again.trained == ["attention_real_0"]
    # A record that was left of a run that has been finished since counts for nothing.
    files.write_json(
        tmp_path / "runs" / "attention_real_0" / "failed.json", {"reason": "old"}
    )
    assert again.failures() == []


def test_nor_does_one_that_lacks_memory(tmp_path):
    planned = runs.plan(["baseline", "attention"], DIGITS, ["real"], 1)
    ablation = Fake(tmp_path)
    ablation.failing = {"baseline_real_0"}
    ablation.error = MemoryLackError("Stage 2 does not fit into memory: mend it.")
    assert ablation.train_all(planned) == planned[:1]
    assert ablation.trained == ["baseline_real_0", "attention_real_0"]
    table = results.write(ablation)
    assert "- strong baseline, real downsample, seed 0: Stage 2 does not fit" in table
    # What is nobody's fault stops all.
    ablation.failing, ablation.error = {"gate_real_0"}, OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        ablation.train_all(runs.plan(["gate"], DIGITS, ["real"], 1))


def test_stages_that_are_being_copied_are_not_counted(tmp_path):
    ablation = Fake(tmp_path)
    ablation.train_all(runs.plan(["gate"], DIGITS, ["real"], 1))
    for name, seconds in (("stage_0-a", 7.0), (".partial-stage_0-b", 100.0)):
        (tmp_path / "stages" / name).mkdir(parents=True)
        files.write_json(
            tmp_path / "stages" / name / "result.json", {"seconds": seconds}
        )
    results.write(ablation)
    assert files.read_json(tmp_path / "manifest.json")["training_seconds"] == 7


def test_a_damaged_record_is_named(tmp_path):
    (run,) = runs.plan(["gate"], DIGITS, ["real"], 1)
    path = tmp_path / "runs" / run.name / "failed.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(InputError, match=r"failed.json gives no reason: delete it"):
        Fake(tmp_path).failure(run)


def test_tables_are_written_after_each_run(tmp_path):
    ablation, seen = Fake(tmp_path), []
    ablation.failing = {"gate_real_0"}

    def report():
        table = results.write(ablation)
        assert (tmp_path / "table.md").read_text() == table
        lines = (tmp_path / "runs.csv").read_text().splitlines()[1:]
        seen.append((len(lines), table.count("Failed")))
        assert (tmp_path / "comparisons.csv").exists() == (len(lines) > 1)
        assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")

    planned = runs.plan(["baseline", "gate", "all"], DIGITS, ["real"], 1)
    ablation.train_all(planned, report)
    assert seen == [(1, 0), (1, 1), (2, 1)]


def test_where_all_have_failed_the_table_says_so(tmp_path):
    ablation = Fake(tmp_path)
    ablation.failing = {"gate_real_0"}
    ablation.train_all(runs.plan(["gate"], DIGITS, ["real"], 1))
    assert results.write(ablation).startswith("Failed, and left out above")
    assert not (tmp_path / "runs.csv").exists()


def test_runs_that_need_no_stage_of_somebody_else_s_come_first(tmp_path, monkeypatch):
    ablation = Fake(tmp_path)
    names = ["attention", "gate", "gate_attention", "analytic"]
    planned = runs.plan(names, DIGITS, ["real"], 1)
    teacher = ablation.missing_keys(planned[0])[0]
    assert ablation.missing_keys(planned[2])[0] == teacher
    (tmp_path / "stages").mkdir()
    pauses = []

    with locks.held(tmp_path / "stages" / f"{teacher}.lock"):

        class GivenUpError(Exception):
            pass

        def pause(seconds):
            pauses.append(list(ablation.trained))
            raise GivenUpError

        monkeypatch.setattr(runs.time, "sleep", pause)
        with pytest.raises(GivenUpError):
            ablation.train_all(planned)
    # It waited only when nothing else was left.
    assert pauses == [["gate_real_0", "analytic_real_0"]]
    ablation.train_all(planned)
    assert ablation.trained[2:] == ["attention_real_0", "gate_attention_real_0"]


def test_an_outcome_is_of_both_stages(tmp_path):
    ablation = Fake(tmp_path)
    (run,) = runs.plan(["gate"], DIGITS, ["binary"], 1)
    assert ablation.outcome(run) is None
    for number, top1, validation, seconds, size in (
        (rows.REAL_WEIGHTS, 0.8, 0.81, 2.0, 2000),
        (rows.BINARY_WEIGHTS, 0.7, 0.71, 3.0, 1000),
    ):
        assert ablation.outcome(run) is None
        ablation.workdir(run).stage(number).mkdir(parents=True)
        result = StageResult(
            number, "n", "binary", top1, 1.0, validation, 1, seconds, size, 9, 8
        )
        ablation.workdir(run).save_result(result)
    assert ablation.outcome(run) == runs.Outcome(
        row="gate",
        downsample="binary",
        seed=0,
        real_weights=0.8,
        binary_weights=0.7,
        validation=0.71,
        bytes=1000,
        seconds=5.0,
        num_test_images=359,
    )


def test_another_run_in_a_run_s_folder_is_no_outcome(tmp_path):
    """As somebody may have copied it there."""
    ablation = Fake(tmp_path)
    first, second = runs.plan(["gate", "all"], DIGITS, ["real"], 1)
    for run in (first, second):
        ablation.train(run)
        identity = ablation._identity(first)
        files.write_json(ablation.workdir(run).path / "recipe.json", identity)
    assert ablation.outcome(first).row == "gate"
    for look in (lambda: ablation.outcome(second), ablation.outcomes):
        with pytest.raises(InputError, match="all_real_0 was made by another run: rec"):
            look()


def test_a_look_is_refused_as_the_work_is(tmp_path):
    Fake(tmp_path / "new").check()
    assert not (tmp_path / "new").exists()
    Fake(tmp_path / "a").claim()
    before = sorted(path.name for path in (tmp_path / "a").iterdir())
    Fake(tmp_path / "a").check()
    with pytest.raises(InputError, match="was made by another ablation"):
        Fake(tmp_path / "a", fingerprint="abd").check()
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "photo.png").touch()
    with pytest.raises(InputError, match="not empty and holds no ablation.json"):
        Fake(tmp_path / "else").check()
    assert before == sorted(path.name for path in (tmp_path / "a").iterdir())
