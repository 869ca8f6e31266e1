"""Fixtures of the tests of several converters."""

import functools

import pytest

from tests.networks import build_model


@pytest.fixture
def built_once(monkeypatch):
    """larq-zoo's network takes seconds to build: tests of files share one."""
    from r2b_keras.models import larq_zoo

    monkeypatch.setattr(larq_zoo, "build_network", _build_network)


@functools.cache
def _build_network(network, input_shape, num_classes):
    from r2b_keras.models import build_network

    return build_network(network, input_shape, num_classes)


@pytest.fixture(scope="session")
def weighted():
    """A binary network with every kind of real weight, and its flatbuffer."""
    from r2b_keras import converters
    from r2b_keras.environment import tf
    from tests.converters import binary_networks

    tf.keras.utils.set_random_seed(3)
    options = {"width": 64, "blocks": (1, 1), "stem": "cifar"}
    model = build_model("real_to_binary18", "binary", (8, 8, 3), 100, **options)
    binary_networks.randomize(model)
    return model, converters.convert(model)
