"""Commands in processes of their own: exit codes, and nothing but their own words."""

import pytest

from tests import commands

NAMES = (
    *("ablate", "benchmark", "convert", "evaluate", "predict", "report", "reproduce"),
    *("train", "tune"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_sentence_and_code_1(name):
    result = commands.run_process(name, "picture.png")
    takes_pictures = name == "predict"
    word = "--model is missing" if takes_pictures else "argument 'picture.png'"
    commands.assert_one_sentence(result, word)
    assert (result.returncode, result.stdout) == (1, "")


@pytest.mark.slow
def test_native_code_says_nothing(finished, tmp_path):
    """TensorFlow and the converter write to standard error by themselves."""
    workdir, model = f"--workdir={finished[0]}", tmp_path / "model.tflite"
    for arguments in (
        ("train", *commands.TINY, "--stage=0", f"--workdir={tmp_path / 'run'}"),
        ("convert", workdir, f"--output={model}"),
        ("evaluate", workdir, f"--model={model}"),
        ("report", workdir, f"--output={tmp_path / 'report.html'}"),
    ):
        result = commands.run_process(*arguments)
        assert (result.returncode, result.stderr) == (0, ""), arguments
        assert result.stdout
