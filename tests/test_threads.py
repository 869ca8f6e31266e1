"""Settings of the whole process, from several threads at once."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from r2b_keras.converters import float32, graph
from r2b_keras.environment import held_back_stderr, tf


def overlapping(block):
    """Two threads enter the block; each leaves it once both are in, if they can be."""
    barrier, order = threading.Barrier(2), []

    def enter(number):
        with block():
            order.append(number)
            try:
                barrier.wait(timeout=0.2)
            except threading.BrokenBarrierError:
                pass

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(enter, range(2)))
    assert sorted(order) == [0, 1]
    return not barrier.broken


def test_factors_of_11_bits_are_allowed_afterwards():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled
    assert enabled()
    assert not overlapping(float32.exactly)
    assert enabled()


def test_functions_run_in_graphs_afterwards():
    assert not tf.config.functions_run_eagerly()
    assert not overlapping(graph.eagerly)
    assert not tf.config.functions_run_eagerly()


@pytest.mark.parametrize("show", [False, True])
def test_errors_are_printed_afterwards(show):
    before = os.fstat(2)
    assert not overlapping(lambda: held_back_stderr(show))
    assert os.path.samestat(os.fstat(2), before)


def test_a_thread_may_hold_them_twice():
    with graph.eagerly(), graph.eagerly(), held_back_stderr(), held_back_stderr():
        assert tf.config.functions_run_eagerly()
    assert not tf.config.functions_run_eagerly()
