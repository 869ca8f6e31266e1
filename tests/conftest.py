"""One seed for every test, printed at the top of the run."""

import random
import sys

import numpy as np
import pytest

SEED = 20200426


def pytest_report_header() -> str:
    return f"seed: {SEED} (python, numpy and tensorflow, set anew before every test)"


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    random.seed(SEED)
    np.random.seed(SEED)
    # Tests without TensorFlow stay free of its import.
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(SEED)
