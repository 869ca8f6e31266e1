"""The spread over seeds: by hand, and of finished runs."""

import json

import pytest


@pytest.fixture(scope="module")
def spread(load):
    return load("spread")


def test_spreads_by_hand(spread):
    found = spread.spreads([[0.9, 0.5], [0.8, 0.5], [0.7, 0.5]])
    assert found == {
        "stage_0": {
            "mean": pytest.approx(0.8, abs=1e-15),
            # Deviations 0.1, 0 and -0.1: the root of 0.02 / (3 - 1).
            "standard_deviation": pytest.approx(0.1, abs=1e-15),
            "top1": [0.9, 0.8, 0.7],
        },
        "stage_1": {"mean": 0.5, "standard_deviation": 0.0, "top1": [0.5, 0.5, 0.5]},
    }


def test_runs_of_other_lengths_are_not_mixed(spread):
    with pytest.raises(ValueError, match="shorter"):
        spread.spreads([[0.9, 0.5], [0.8]])


def test_top1s_of_finished_stages(spread, tmp_path):
    for number in (0, 1, 3):
        folder = tmp_path / f"stage_{number}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"top1": number / 4}))
    (tmp_path / "stage_2").mkdir()
    assert spread.top1s(tmp_path, 0) == [0.0, 0.25, 0.75]
    assert spread.top1s(tmp_path, 1) == [0.25, 0.75]
    with pytest.raises(SystemExit, match="no finished stage: name the folder"):
        spread.top1s(tmp_path, 4)


def test_stages_are_in_the_order_of_their_numbers(spread, tmp_path):
    for number in (2, 10):
        folder = tmp_path / f"stage_{number}"
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps({"top1": number / 16}))
    assert spread.top1s(tmp_path, 0) == [2 / 16, 10 / 16]
