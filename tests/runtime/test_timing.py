"""Times, their table of steps and their row for a table of machines, by hand."""

import time
import types

import pytest

from r2b_runtime import library, profiling, rows, timing
from r2b_runtime.board import machine


def test_percentiles_of_the_runs_that_count(monkeypatch):
    """In milliseconds; what warms up takes longer and does not count."""
    clock = [0]
    monkeypatch.setattr(time, "perf_counter_ns", lambda: clock[0])
    milliseconds = iter([1000] * timing.NUM_WARMUP + [11, *range(1, 11)])

    def run():
        clock[0] += 1_000_000 * next(milliseconds)

    network = types.SimpleNamespace(
        input_shape=(1, 2, 2, 3), input_type="float32", set_input=id, run=run
    )
    found = timing.measure(network, 11)
    assert next(milliseconds, None) is None
    assert found == timing.Timing(median_ms=6, p10_ms=2, p90_ms=10, num_runs=11)


def test_equal_steps_are_taken_together(monkeypatch):
    """Those that do the same on maps of another size are not equal."""
    lines = [
        "0\tsign\t1500\t0\t0\t64",
        "1\tconvolution\t2000\t1000\t30\t256",
        "2\tsign\t500.5\t0\t0\t64",
        "3\tsign\t250\t0\t0\t16",
    ]
    monkeypatch.setattr(library, "profile", lambda made: "\n".join(lines))
    found = profiling.steps(types.SimpleNamespace(delegate=None))
    assert found == [
        profiling.Step("sign", 2, pytest.approx(2.0005), 0, 128),
        profiling.Step("convolution", 1, 2.0, 1030, 256),
        profiling.Step("sign", 1, 0.25, 0, 16),
    ]


def test_the_units_of_a_row(tmp_path, monkeypatch):
    model = tmp_path / "model.tflite"
    model.write_bytes(bytes(200 * 1024))
    monkeypatch.setattr(machine, "num_cores", lambda: 4)
    interpreter = types.SimpleNamespace(kernel="neon", num_threads=2)
    measured = timing.Timing(1.5, 1.25, 2.0, 7)
    row = rows.of_machine(str(model), interpreter, measured)
    assert (row["KiB"], row["threads"], row["kernels"]) == (
        "200",
        "2 of 4 cores",
        "neon",
    )
    assert (row["ms"], row["10-90 %"]) == ("1.500", "1.250-2.000")


def test_table_of_steps():
    steps = [
        profiling.Step("stem", 1, 1.5, 6_000_000, 3_000_000),
        profiling.Step("sign", 4, 0.5, 0, 500_000),
    ]
    assert profiling.to_text(steps).splitlines() == [
        "      ms  share  GMAC/s   GB/s  step",
        "   1.500  75.0%     4.0    2.0  stem",
        "   0.500  25.0%            1.0  4 x sign",
        "   2.000",
    ]
