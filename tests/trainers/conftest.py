"""Fixtures of the tests of training."""

import pytest

from r2b_keras.environment import tf


@pytest.fixture
def set_policy():
    """Chooses Keras's policy for what the test builds from then on."""
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")
