"""What the digits' recipes expect, and say of themselves, is what was measured."""

import json
import pathlib
import re

import pytest

from r2b_keras import recipes
from r2b_keras.recipes import digits

ROOT = pathlib.Path(__file__).parent.parent.parent
SPREAD = json.loads((ROOT / "results" / "spread.json").read_text())
RUNS = [
    (recipe.name, number)
    for recipe in digits.RECIPES
    for number in range(len(recipe.stages))
]


@pytest.mark.parametrize(("name", "number"), RUNS)
def test_expectations_are_mean_and_deviation_over_seeds(name, number):
    measured = SPREAD[name.replace("/", "_")][f"stage_{number}"]
    expected = recipes.get(name).stages[number].expected
    assert expected.source == "measured"
    assert expected.top1 == round(measured["mean"], 4)
    assert expected.deviation == round(measured["standard_deviation"], 4)


def test_the_header_has_the_same_numbers():
    """In the order of its table, with the row that no recipe has."""
    lines = re.findall(r"^    (\d) .*?([\d.]+) ± ([\d.]+) %$", digits.__doc__, re.M)
    kept = [(name.replace("/", "_"), number) for name, number in RUNS]
    kept.insert(4, ("digits_without_absorb_magnitude", 3))
    expected = []
    for name, number in kept:
        measured = SPREAD[name][f"stage_{number}"]
        assert len(measured["top1"]) == 5
        shown = (measured["mean"], measured["standard_deviation"])
        expected.append((str(number), *(f"{100 * value:.2f}" for value in shown)))
    assert lines == expected
    assert "over five seeds" in " ".join(digits.__doc__.split())
