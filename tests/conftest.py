"""One seed for every test, printed at the top of the run."""

import pathlib
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests import commands

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
def finished(tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess]:
    """A workdir brought to stage 3 without interruption, and what was printed."""
    workdir = tmp_path_factory.mktemp("finished") / "run"
    result = commands.run("train", *commands.TINY, "--stage=3", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    return workdir, result


@pytest.fixture(scope="session")
def converted(
    finished, tmp_path_factory
) -> tuple[pathlib.Path, subprocess.CompletedProcess]:
    """Its last stage as a flatbuffer, and what the conversion printed."""
    path = tmp_path_factory.mktemp("converted") / "model.tflite"
    result = commands.run("convert", f"--workdir={finished[0]}", f"--output={path}")
    assert result.returncode == 0, result.stderr
    return path, result
