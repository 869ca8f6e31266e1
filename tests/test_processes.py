"""Commands in processes of their own: exit codes, and nothing but their own words."""

import signal
import subprocess
import sys

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


STOPPED_IN_A_DESTRUCTOR = """
import os, sys, time
from r2b_keras import command

class Held:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0.1)

def main():
    held = Held()
    del held
    time.sleep(60)
    return 0

command.run(main, needs_tensorflow=False)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_wish_to_stop_is_not_lost_in_a_destructor(number):
    """Where Python drops what is raised, as in those of tf.data's iterators."""
    code = STOPPED_IN_A_DESTRUCTOR.format(number=int(number))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 128 + number
    commands.assert_one_sentence(result, "Stopped by")


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
