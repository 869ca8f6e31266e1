"""Runs the project's commands as a user does, in this process or another."""

import contextlib
import functools
import importlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
import pytest
from absl import app, flags, logging

from r2b_keras import command

# Four stages of a network that trains in seconds.
TINY = (
    "--recipe=digits",
    "--override=stages.*.epochs=2",
    "--override=stages.*.student.width=8",
    "--override=stages.*.student.blocks=1,1",
)
# Of TINY's one stage: the smallest there is, for tests that look at no other.
SMALLEST = (
    *TINY,
    "--override=stages.*.student.width=4",
    "--override=stages.*.student.blocks=1",
)


def process(name: str, *arguments: str) -> list[str]:
    """The command line that has the command in a process of its own."""
    return [sys.executable, "-m", f"r2b_keras.{name}", *arguments]


def run_process(name: str, *arguments: str) -> subprocess.CompletedProcess:
    """Where the process is what is tested; everything else takes `run`."""
    return subprocess.run(
        process(name, *arguments), capture_output=True, text=True, timeout=600
    )


@contextlib.contextmanager
def flags_of(name: str, *arguments: object) -> Iterator[list[str]]:
    """The command has flags of its own, set as this command line says.

    Yields:
      What is no flag, behind the program's name.
    """
    module, own = importlib.import_module(f"r2b_keras.{name}"), flags.FlagValues()
    line = [module.__file__, *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        with patch.context() as defining:
            for kind in (kind for kind in vars(flags) if kind.startswith("DEFINE")):
                define = functools.partial(getattr(flags, kind), flag_values=own)
                defining.setattr(flags, kind, define)
            module.define_flags()
        patch.setattr(module, "define_flags", lambda: None)
        patch.setattr(module, "FLAGS", own)
        patch.setattr(app, "FLAGS", own)
        patch.setattr(sys, "argv", line)
        yield app.parse_flags_with_usage(line)


class Result(NamedTuple):
    """What became of a command that ran in this process."""

    returncode: int
    stdout: str
    stderr: str


def run(name: str, *arguments: object) -> Result:
    """A command as its user runs it, but in this process: no seconds of start-up.

    What native code prints by itself is missing from the result.
    """
    output, errors = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    handler, verbosity = signal.getsignal(signal.SIGTERM), logging.get_verbosity()
    hook = sys.unraisablehook
    try:
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
            pytest.raises(SystemExit) as end,
            flags_of(name, *arguments) as given,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(app, "run", lambda main, **_: sys.exit(main(given)))
            importlib.import_module(f"r2b_keras.{name}").start()
    finally:
        signal.signal(signal.SIGTERM, handler)
        sys.unraisablehook = hook  # pytest's, by which it tells what is dropped
        logging.set_verbosity(verbosity)
        _reset_tensorflow()
    return Result(end.value.code, _text(output), _text(errors))


def _reset_tensorflow() -> None:
    """Takes back what a training sets for the rest of its process."""
    if "tf_keras" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()
        sys.modules["tf_keras"].mixed_precision.set_global_policy("float32")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode()


def start(name: str, *arguments: str, **variables: str) -> subprocess.Popen:
    """The command in a process of its own, with these variables of the environment."""
    return subprocess.Popen(
        process(name, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | variables,
    )


def wait_for(started: subprocess.Popen, words: str) -> str:
    """The line that has the words, once it is printed."""
    for line in started.stdout:
        if words in line:
            return line
    raise AssertionError(f"no {words!r}: {started.stderr.read()}")


def interrupt(
    arguments: Sequence[str],
    after: str,
    number: signal.Signals,
    kept: pathlib.Path | None = None,
) -> tuple[int, str]:
    """Starts a command, and sends a signal once it printed `after` and wrote `kept`.

    Returns:
      Its exit code, and what it wrote to standard error.
    """
    with start(*arguments) as started:
        wait_for(started, after)
        while kept and not kept.exists():
            assert started.poll() is None, f"{kept} was not written"
            time.sleep(0.01)
        # Somewhere inside the next epoch rather than at its edge.
        time.sleep(0.1)
        started.send_signal(number)
        _, errors = started.communicate(timeout=600)
    return started.returncode, errors


def assert_one_sentence(result: Any, *words: str) -> None:
    """The command failed with a short message that has all the words."""
    assert result.returncode not in (0, None)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


def refusal(name: str, *arguments: object) -> str:
    """The sentence that a command ends in, nothing printed before."""
    result = run(name, *arguments)
    assert result[:2] == (command.EXIT_PROBLEM, "")
    assert_one_sentence(result)
    message = result.stderr.removesuffix("\n")
    assert " object at " not in message
    assert message.endswith(".") and len(message) < 500
    return message


def stored_weights(workdir: pathlib.Path, stage: int) -> dict[str, np.ndarray]:
    """All arrays of a finished model file, read without the project's code."""
    found = {}
    archive = zipfile.ZipFile(workdir / f"stage_{stage}" / "model.keras")
    with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:

        def keep(name, item):
            if isinstance(item, h5py.Dataset):
                found[name] = item[()]

        file.visititems(keep)
    return found
