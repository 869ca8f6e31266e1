"""--import: a user's modules, known to every command that reads networks or recipes."""

import sys

import pytest

from r2b_keras.networks import BINARIZERS
from tests.commands import refusal, run

COMMANDS = {
    "train": (),
    "evaluate": ("--workdir=run",),
    "report": ("--workdir=run",),
    "tune": (),
    "ablate": ("--workdir=run",),
    "convert": ("--workdir=run", "--output=model.tflite"),
}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A module that registers a binarizer."""
    (tmp_path / "parts_of_mine.py").write_text(
        "from r2b_keras.networks import BINARIZERS\n"
        'BINARIZERS["mine"] = "tests.own_parts:NarrowSign"\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    BINARIZERS.pop("mine", None)
    sys.modules.pop("parts_of_mine", None)


@pytest.mark.parametrize("command", COMMANDS)
def test_modules_are_imported_before_anything_else(parts, command):
    """The run is not even there."""
    given = (*COMMANDS[command], "--import=parts_of_mine", "--import=nowhere")
    message = refusal(command, *given)
    assert message.startswith("--import=nowhere cannot be imported (ModuleNotFound")
    assert "mine" in BINARIZERS


def test_what_they_register_is_known_to_a_recipe(parts):
    change = "--override=stages.3.student.weight_binarizer=mine"
    flags = ("--dry_run", change, "--recipe=digits")
    assert "weight_binarizer is 'mine', expected one of" in refusal("train", *flags)
    result = run("train", *flags, "--import=parts_of_mine")
    assert (result.returncode, result.stderr) == (0, "")
    assert "weight_binarizer: mine" in result.stdout
