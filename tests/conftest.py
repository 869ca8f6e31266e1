"""One seed for every test, printed at the top of the run."""

import json
import pathlib
import random
import signal
import sys

import numpy as np
import pytest

pytest.register_assert_rewrite("tests.commands")
from tests import commands, made_once  # noqa: E402 - after its assertions speak

SEED = 20200426

# Shells start background jobs with Ctrl-C ignored, and children inherit that: commands
# under test could not be stopped by it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    return f"seed: {SEED} (python, numpy and tensorflow, set anew before every test)"


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    # Keras has a generator of its own, from which layers without a seed take one. Tests
    # without TensorFlow stay free of its import.
    if "tf_keras" in sys.modules:
        sys.modules["tf_keras"].utils.set_random_seed(SEED)
    elif "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(SEED)


@pytest.fixture(scope="session")
def finished() -> tuple[pathlib.Path, commands.Result]:
    """A workdir brought to stage 3 without interruption, and what was printed."""
    return _made("finished", "run", "train", *commands.TINY, "--stage=3", "--workdir=")


@pytest.fixture(scope="session")
def converted(finished) -> tuple[pathlib.Path, commands.Result]:
    """Its last stage as a flatbuffer, and what the conversion printed."""
    source = f"--workdir={finished[0]}"
    return _made("converted", "model.tflite", "convert", source, "--output=")


def _made(
    name: str, product: str, *command: str
) -> tuple[pathlib.Path, commands.Result]:
    """What a command makes, its last flag naming the place, and what it printed."""

    def make(folder: pathlib.Path) -> None:
        (folder / "made").mkdir()
        result = commands.run(
            *command[:-1], f"{command[-1]}{folder / 'made' / product}"
        )
        assert result.returncode == 0, result.stderr
        (folder / "printed.json").write_text(json.dumps(result))

    folder = made_once.folder(name, make)
    printed = json.loads((folder / "printed.json").read_text())
    return folder / "made" / product, commands.Result(*printed)
