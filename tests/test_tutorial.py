"""The tutorial shows what the commands print today, whenever its files were made."""

import collections
import pathlib
import re

import pytest

from r2b_keras import recipes, train
from r2b_keras.converters.deployment import Deployment
from r2b_keras.converters.rounded_verification import RoundedVerification
from r2b_keras.converters.verification import Difference, Verification
from r2b_keras.trainers.workdir import StageResult, Workdir

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")


def blocks(page):
    """What commands print, and not the commands."""
    found = re.findall(r"^```(\w*)\n(.*?)\n```$", page, re.DOTALL | re.MULTILINE)
    return [block for language, block in found if not language]


def other_lines(shown, printed):
    """Those that were not printed; of what was left out there is nothing to say."""
    return [line for line in shown if line not in ("...", *printed)]


def conversion(record):
    """What `convert` prints of such numbers."""
    rows = re.findall(r"^(\w[\w ]*?) +([\d,]+)$", record, re.MULTILINE)
    numbers = {name: int(number.replace(",", "")) for name, number in rows}
    names = ("binary weights", "real weights", "rest")
    parts = {name: numbers.pop(name) for name in names}
    del numbers["total"]
    same = {"num_images": 60, "agreement": 1.0, "largest_score": 6.42}
    layers = (
        (31, 0.054, 1, "block_1a_conv", 1.3e-7),
        (55, 0.082, 2, "block_2a_conv", 2.8e-7),
    )
    turned = tuple(
        Difference(image, size, label, label, 1, layer, margin, 1e-6, True)
        for image, size, label, layer, margin in layers
    )
    exact = Verification("lce", **same, largest_difference=0.082, num_different=2,
                         differences=turned)  # fmt: skip
    rounded = RoundedVerification("r2b_runtime", **same, largest_difference=0.15,
                                  real_weights="int8", problem=None)  # fmt: skip
    counted = collections.Counter(numbers)
    whole = Deployment(b"", counted, parts, (exact, rounded), ()).to_text()
    return ["fruit.tflite", "runs/fruit, stage 3", *whole.splitlines()]


@pytest.fixture
def training(tmp_path, monkeypatch):
    """What `train` prints when it is over, of such numbers."""
    monkeypatch.chdir(tmp_path)
    recipe, workdir = recipes.get("pictures"), Workdir("runs/fruit")
    changes = ["stages.*.epochs=20", "stages.*.student.width=16"]
    recipe = recipes.apply_overrides(recipe, changes)
    workdir.claim({"recipe": recipes.to_dict(recipe)})
    students = [stage.student for stage in recipe.stages]
    spent = ((9.4, 2737), (16.3, 2823), (18.6, 2823), (17.2, 225))
    results = [
        StageResult(
            number,
            student.name,
            student.binarization,
            1.0,
            None,
            None,
            20,
            seconds,
            size * 1024,
            1,
            1,
        )  # fmt: skip
        for number, (student, (seconds, size)) in enumerate(
            zip(students, spent, strict=True)
        )
    ]
    return train.summary(recipe, results, workdir, ["--data_dir=photos"]).splitlines()


def test_lines_of_a_conversion():
    (shown,) = [block for block in blocks(PAGE) if "LceBconv2d" in block]
    printed = conversion(shown)
    assert other_lines(shown.splitlines(), printed) == []
    assert "58 agree to rounding, 2 differ by more" in shown
    assert len(re.findall("^  image ", shown, re.MULTILINE)) == 2


def test_lines_of_a_training(training):
    (shown,) = [block for block in blocks(PAGE) if "binary: nothing" in block]
    _, _, table = shown.partition("\n\n")
    assert len(table.splitlines()) == 10
    assert other_lines(table.splitlines(), training) == []
