"""How long a network takes on this machine."""

from __future__ import annotations

import array
import dataclasses
import time

import numpy as np

from r2b_runtime.interpreter import Interpreter, made_up

# Runs that do not count: caches are filled, the processor finds its clock.
NUM_WARMUP = 5
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Timing:
    """Times of one image each, in milliseconds.

    Attributes:
      median_ms: half of the runs were faster.
      p10_ms: a tenth of the runs were faster.
      p90_ms: nine tenths of the runs were faster.
      num_runs: runs that count.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    num_runs: int


def measure(interpreter: Interpreter, num_runs: int) -> Timing:
    """Times some runs on one made-up image.

    Args:
      interpreter: the network.
      num_runs: runs that count, after `NUM_WARMUP` that do not.

    Raises:
      InputError: the network cannot be run.
    """
    interpreter.set_input(
        made_up(interpreter.input_shape, interpreter.input_type, _SEED)
    )
    times = array.array("q")  # eight bytes a run
    for _ in range(NUM_WARMUP + num_runs):
        start = time.perf_counter_ns()
        interpreter.run()
        times.append(time.perf_counter_ns() - start)
    p10, median, p90 = np.percentile(times[NUM_WARMUP:], (10, 50, 90)) / 1e6
    return Timing(float(median), float(p10), float(p90), num_runs)
