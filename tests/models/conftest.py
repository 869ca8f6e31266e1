"""Fixtures of the model tests."""

import pytest

from r2b_keras.environment import tf

SEED = 7


@pytest.fixture(autouse=True)
def seeded():
    """The same weights in every run, and no global policy or name left behind."""
    print(f"seed {SEED}")  # pytest shows it when a test fails
    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(SEED)
    yield
    tf.keras.mixed_precision.set_global_policy("float32")
