"""Runs the project's commands as a user does: in a process of their own."""

import functools
import io
import pathlib
import signal
import subprocess
import sys
import time
import zipfile

import h5py
import numpy as np
import pytest
from absl import flags

from r2b_keras.errors import InputError

# Four stages of a network that trains in seconds.
TINY = (
    "--recipe=digits",
    "--override=stages.*.epochs=2",
    "--override=stages.*.student.width=8",
    "--override=stages.*.student.blocks=1,1",
)


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"r2b_keras.{name}", *arguments]


def run(name: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(name, *arguments), capture_output=True, text=True, timeout=600
    )


def run_and_interrupt(
    arguments: tuple[str, ...], after: str, number: signal.Signals
) -> tuple[int, str]:
    """Starts a training, sends a signal once it printed `after`; code and errors."""
    with subprocess.Popen(
        command("train", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if after in line:
                # Somewhere inside the next epoch rather than at its edge.
                time.sleep(0.1)
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=600)
    return process.returncode, errors


def assert_one_sentence(result: subprocess.CompletedProcess, *words: str) -> None:
    """The command failed with a short message that has all the words."""
    assert result.returncode not in (0, None)
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    for word in words:
        assert word in result.stderr


class InThisProcess:
    """A command as a function: no seconds of start-up, no flags of other commands."""

    def __init__(
        self, module, monkeypatch: pytest.MonkeyPatch, capsys, arguments: bool = False
    ) -> None:
        self._module, self._capsys, self._arguments = module, capsys, arguments
        self._flags = flags.FlagValues()
        with monkeypatch.context() as patch:
            # `DEFINE` itself is for flags with a parser of their own.
            kinds = ("_string", "_integer", "_bool", "_enum", "_list", "_float")
            for kind in (*kinds, "", "_multi", "_multi_string"):
                define = getattr(flags, f"DEFINE{kind}")
                own = functools.partial(define, flag_values=self._flags)
                patch.setattr(flags, f"DEFINE{kind}", own)
            module.define_flags()
        monkeypatch.setattr(module, "FLAGS", self._flags)

    def parse(self, *arguments: object) -> tuple[flags.FlagValues, list[str]]:
        """Its flags as a command line sets them, and what is no flag."""
        self._flags.unparse_flags()
        for name in self._flags:
            self._flags[name].unparse()
        return self._flags, self._flags(["command", *map(str, arguments)])[1:]

    def run(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        _, rest = self.parse(*arguments)
        self._capsys.readouterr()
        code = self._module.main(rest) if self._arguments else self._module.main()
        captured = self._capsys.readouterr()
        return code, captured.out, captured.err

    def refusal(self, *arguments: object) -> str:
        """The sentence that it ends in, nothing printed before."""
        with pytest.raises(InputError) as problem:
            self.run(*arguments)
        message = str(problem.value)
        assert "\n" not in message and " object at " not in message
        assert message.endswith(".") and len(message) < 500
        captured = self._capsys.readouterr()
        assert captured.out == captured.err == ""
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
