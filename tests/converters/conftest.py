"""Fixtures of the tests of several converters."""

import functools

import pytest


@pytest.fixture
def built_once(monkeypatch):
    """larq-zoo's network takes seconds to build: tests of files share one."""
    from r2b_keras.converters import larq_zoo

    monkeypatch.setattr(larq_zoo, "build_network", _build_network)


@functools.cache
def _build_network(network, input_shape, num_classes):
    from r2b_keras.models import build_network

    return build_network(network, input_shape, num_classes)
