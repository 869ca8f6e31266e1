"""Commands in processes of their own: exit codes, and nothing but their own words."""

import os
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


@pytest.mark.parametrize("name", NAMES)
def test_help_is_no_failure(name):
    result = commands.run_process(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert f"/{name}.py:\n" in result.stdout


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("r2b_keras", "--help"),
        ("r2b_keras.train", "--help"),
        ("r2b_keras.train", "--helpfull"),
    ],
)
def test_help_that_is_not_read_or_cannot_be_written(arguments, unbuffered):
    line = [sys.executable, "-m", *arguments]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full", "w") as full:
        for output, code in ((writing, 0), (full, 1)):
            result = subprocess.run(
                line, stdout=output, stderr=subprocess.PIPE, text=True, env=environment
            )
            assert result.returncode == code
            if code:
                commands.assert_one_sentence(
                    result, "The help cannot be written", NO_ROOM
                )
            else:
                assert result.stderr == ""
    os.close(writing)


LISTING = ("r2b_keras.train", "--recipe=digits", "--dry_run")
NO_MODEL = ("r2b_keras.predict", "--model=none.tflite", "picture.png")
ON_A_BOARD = ("r2b_runtime", "classify", "none.tflite", "picture.png")
NO_ROOM = "No space left on device"


@pytest.mark.parametrize(
    ("command", "output", "code", "words"),
    [
        (LISTING, ">/dev/full", 1, NO_ROOM),
        (LISTING, ">&-", 0, None),
        (NO_MODEL, ">/dev/full", 1, "no file none.tflite"),
        (NO_MODEL, ">&-", 1, "no file none.tflite"),
        (ON_A_BOARD, ">&-", 1, "no file none.tflite"),
        (NO_MODEL, ">&- 2>&-", 1, None),
        (ON_A_BOARD, "<&- >&- 2>&-", 1, None),
    ],
)
def test_output_that_cannot_be_written(command, output, code, words):
    """The disk is full, or there is none, as some services start their programs."""
    line = [sys.executable, "-m", *command]
    result = subprocess.run(
        ["sh", "-c", f'"$@" {output}', "sh", *line], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (code, "")
    if words:
        commands.assert_one_sentence(result, words)
    else:
        assert result.stderr == ""


@pytest.mark.parametrize(
    ("count", "words"), [(1024, "no file none.tflite"), (1025, "range [1, 1024]")]
)
def test_threads_beyond_any_machine_s(count, words):
    """A hundred thousand stop the machine."""
    options = ("predict", "--model=none.tflite", f"--threads={count}", "a.png")
    result = commands.run_process(*options)
    assert result.returncode == 1 and words in result.stderr
    commands.assert_one_sentence(result)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--seed=abc", "--seed=abc: invalid literal"),
        ("--precision=float8", "--precision=float8: value should be one of <float32|"),
        ("--thred=1", "Unknown command line flag 'thred'"),
        ("--nolist=3", "--nolist=3 does not take an argument"),
    ],
)
def test_an_option_that_cannot_be_read_is_one_sentence(option, words):
    result = commands.run_process("train", option)
    assert result.returncode == 1 and result.stderr.startswith(words)
    commands.assert_one_sentence(result)


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

command.run(main)
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
