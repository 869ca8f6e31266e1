"""Commands of the board's package, run in the process of the test."""

import signal

import numpy as np
import pytest

from r2b_keras.converters.card import attach
from r2b_runtime import __main__ as commands
from tests.converters.small_flatbuffers import DENSE_CARD, dense_of_card


@pytest.fixture
def model(tmp_path):
    """A small network's file."""
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(dense_of_card(), DENSE_CARD))
    return path


@pytest.fixture
def images():
    """Frames of different sizes, which get different answers."""
    generator = np.random.default_rng(2)
    return [generator.integers(0, 256, (5 + n, 90, 3), np.uint8) for n in range(4)]


@pytest.fixture
def run(capfd):
    """Runs a command in this process: exit code, standard output and error."""

    def run(*arguments):
        capfd.readouterr()
        handler = signal.getsignal(signal.SIGTERM)
        try:
            code = commands.main(list(map(str, arguments)))
        except SystemExit as exit:
            code = exit.code
        finally:
            signal.signal(signal.SIGTERM, handler)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(run):
    def refused(code, *arguments):
        found, out, error = run(*arguments)
        assert (found, out) == (code, "")
        assert error.count("\n") == 1 and error.endswith(".\n"), error
        assert "Traceback" not in error and len(error) < 500
        return error

    return refused
