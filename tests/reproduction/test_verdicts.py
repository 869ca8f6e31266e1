"""Which differences count as reproduced, and that every experiment has its files."""

import json
import math
import pathlib

import pytest

from r2b_keras.errors import InputError
from r2b_keras.reproduction.experiments import EXPERIMENTS, Claim, Experiment, choose
from r2b_keras.reproduction.verdicts import judge, to_text

RESULTS = pathlib.Path(__file__).parent.parent.parent / "results"
EXPERIMENT = Experiment(
    "small",
    "",
    True,
    (),
    (
        Claim("stage 1, top-1", "stage_1/result.json", "top1"),
        Claim("file, top-1", "int8.json", "top1"),
        Claim("file, bytes", "int8.json", "bytes", "size"),
        Claim("equal answers", "int8.json", "agreement", "agreement"),
    ),
)
SPREAD = {
    "small": {
        "stage_1": {"standard_deviation": 0.001},
        "stage_2": {"standard_deviation": 0.01},
    }
}


IMAGES = {"num_images": 359}


def write(folder, stage, top1, size, agreement=1.0):
    for name, values in (
        ("stage_1/result.json", {"top1": stage}),
        ("int8.json", {"top1": top1, "bytes": size, "agreement": agreement} | IMAGES),
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def judged(tmp_path, stage=0.9, top1=0.8, size=1000, agreement=1.0):
    write(tmp_path / "results" / "small", 0.9, 0.8, 1000)
    (tmp_path / "results" / "spread.json").write_text(json.dumps(SPREAD))
    write(tmp_path / "run", stage, top1, size, agreement)
    return judge(EXPERIMENT, tmp_path / "results", tmp_path / "run")


def test_equal_numbers(tmp_path):
    found = judged(tmp_path)
    assert [verdict.text for verdict in found] == ["equal"] * 4
    assert all(verdict.holds for verdict in found)
    # Three standard deviations of the difference of two runs.
    tolerances = [verdict.tolerance for verdict in found]
    expected = [3 * math.sqrt(2) / 1e3, 0.03 * math.sqrt(2), 10, 1 / 359]
    assert tolerances == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changed", "place", "text"),
    [
        ({"stage": 0.9042}, 0, "within tolerance"),
        ({"stage": 0.9043}, 0, "OFF"),
        ({"stage": 0.8957}, 0, "OFF"),
        ({"top1": 0.76}, 1, "within tolerance"),
        ({"top1": 0.75}, 1, "OFF"),
        ({"size": 1010}, 2, "within tolerance"),
        ({"size": 1011}, 2, "OFF"),
        ({"agreement": 358 / 359}, 3, "within tolerance"),
        ({"agreement": 357 / 359}, 3, "OFF"),
    ],
)
def test_differences(tmp_path, changed, place, text):
    found = judged(tmp_path, **changed)
    texts = ["equal"] * 4
    texts[place] = text
    assert [verdict.text for verdict in found] == texts
    assert [verdict.holds for verdict in found] == [text != "OFF" for text in texts]


def test_the_table(tmp_path):
    lines = to_text(EXPERIMENT, judged(tmp_path, stage=0.95)).splitlines()
    assert lines[1].split() == ["stage", "1,", "top-1", "90.00%", "95.00%", "0.42%"] + [
        "OFF"
    ]
    assert lines[3].split() == ["file,", "bytes", "1,000", "1,000", "10", "equal"]


def test_missing_numbers_are_told(tmp_path):
    judged(tmp_path)
    (tmp_path / "run" / "int8.json").write_text('{"bytes": 1000}')
    with pytest.raises(InputError, match="int8.json has no number 'top1'"):
        judge(EXPERIMENT, tmp_path / "results", tmp_path / "run")
    (tmp_path / "run" / "int8.json").unlink()
    with pytest.raises(InputError, match="There is no file .*int8.json"):
        judge(EXPERIMENT, tmp_path / "results", tmp_path / "run")
    (tmp_path / "results" / "spread.json").write_text("{}")
    with pytest.raises(InputError, match="no spread of stage_1 of small"):
        judge(EXPERIMENT, tmp_path / "results", tmp_path / "run")


def test_what_quick_and_names_choose():
    assert choose([], quick=False) == list(EXPERIMENTS)
    quick = [experiment.name for experiment in choose([], quick=True)]
    assert quick == ["digits", "digits_strong_baseline"]
    slow = "digits_without_absorb_magnitude"
    assert [experiment.name for experiment in choose([slow], quick=True)] == [slow]
    with pytest.raises(InputError, match="Unknown experiment 'mnist'"):
        choose(["mnist"], quick=False)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_committed_results_are_complete(experiment):
    """Compared with itself, every number is there and equal."""
    for verdict in judge(experiment, RESULTS, RESULTS / experiment.name):
        assert verdict.text == "equal"
        assert verdict.committed > 0
