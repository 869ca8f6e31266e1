"""The benchmark's workers, as real processes but where one looks inside."""

import gc
import io
import json
import os
import pathlib
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from small_flatbuffers import custom, dense

from r2b_keras.converters import benchmark_worker, engines
from r2b_keras.converters.benchmark_process import WorkerProcess
from r2b_keras.errors import InputError

ENGINE = "litert"
MIB = 2**20


@pytest.fixture
def worker():
    with WorkerProcess("model.tflite", ENGINE, 1) as started:
        started.wait_until_ready()
        yield started


def test_visits_have_the_inferences_that_were_asked_for(worker):
    worker.load(dense())
    warmup = worker.warm_up(0.05)
    assert len(warmup.nanoseconds) >= 3
    assert sum(warmup.nanoseconds) < 0.05e9 + max(warmup.nanoseconds)
    for count in (1, 25):
        visit = worker.measure(count)
        assert len(visit.nanoseconds) == count
        assert min(visit.nanoseconds) > 0
        # The inferences and the little between them.
        assert sum(visit.nanoseconds) <= visit.elapsed_ns
        assert 0 < visit.cpu_ns < 1.5 * visit.elapsed_ns + 1e6


def test_a_slow_network_is_warmed_up_by_three_inferences(worker):
    worker.load(dense())
    assert len(worker.warm_up(1e-9).nanoseconds) == 3


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell"
)
def test_memory_is_that_of_the_network(worker):
    flatbuffer = dense(2048, 4096)
    assert 32 * MIB < len(flatbuffer) < 32.1 * MIB
    worker.load(flatbuffer)
    worker.warm_up(0.01)
    peak = worker.measure(2).peak_bytes
    # The file, and at most one packed copy of its weights; not the engine (80 MiB).
    assert 32 * MIB <= peak < 68 * MIB


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell"
)
def test_memory_of_next_to_nothing(worker):
    worker.load(dense(1, 1))
    assert worker.measure(1).peak_bytes < 3 * MIB


@pytest.fixture
def collected():
    """A worker stops the collection of garbage in its process, here the tests'."""
    yield
    gc.enable()


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="the system does not tell"
)
def test_memory_that_only_loading_takes_does_not_count(monkeypatch, collected):
    load = benchmark_worker._load

    def wasteful(*given):
        np.ones(200 * MIB, np.uint8)
        return load(*given)

    monkeypatch.setattr(benchmark_worker, "_load", wasteful)
    content, answers = dense(), io.StringIO()
    loading, measuring = (
        json.dumps(request).encode() + b"\n"
        for request in (
            {"do": "load", "num_bytes": len(content)},
            {"do": "measure", "num_inferences": 2},
        )
    )
    requests = io.BytesIO(loading + content + measuring)
    benchmark_worker.serve(ENGINE, 1, requests, answers)
    assert json.loads(answers.getvalue().splitlines()[-1])["peak_bytes"] < 50 * MIB


def test_an_inference_has_the_threads_that_were_asked_for(monkeypatch, collected):
    asked, load = [], engines.load

    def noted(content, name, *threads):
        asked.append(threads)
        return load(content, name, *threads)

    monkeypatch.setattr(engines, "load", noted)
    benchmark_worker._load(dense(), ENGINE, 3)
    assert asked == [(3,)]


def test_inferences_are_not_of_zeros(collected):
    """Of which arithmetic can be faster; their scores would be 0."""
    network = benchmark_worker._load(dense(), ENGINE, 1)
    network.run()
    assert np.abs(network._runner.output()).max() > 1


def test_waiting_for_an_inference_is_no_processor_time():
    network = SimpleNamespace(run=lambda: time.sleep(0.02))
    visit = benchmark_worker._measure(network, 10, None)
    assert visit["elapsed_ns"] > 10 * 0.02e9
    assert 0 < visit["cpu_ns"] < 0.5 * visit["elapsed_ns"]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="has no /proc")
@pytest.mark.parametrize("threads", [1, 2])
def test_waiting_takes_no_processor_time(threads):
    """Threads of an engine that went on spinning would slow down the next one."""
    with WorkerProcess("model.tflite", ENGINE, threads) as worker:
        worker.wait_until_ready()
        worker.load(dense(512, 2048))
        worker.warm_up(0.1)
        worker.measure(20)
        # What the benchmark waits before the next one's turn.
        time.sleep(0.1)
        before = cpu_seconds(worker._process.pid)
        time.sleep(0.5)
        assert cpu_seconds(worker._process.pid) - before <= 0.02


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_that_is_killed_is_named(worker, number):
    worker.load(dense())
    os.kill(worker._process.pid, number)
    with pytest.raises(InputError, match="litert died on model model.tflite") as caught:
        worker.measure(10**9)
    assert number.name in str(caught.value)


def test_a_worker_that_fails_has_last_words(worker):
    with pytest.raises(InputError, match="exit code 1, KeyError: 'num_bytes'"):
        worker._ask({"do": "load"})


@pytest.mark.parametrize(
    ("flatbuffer", "words"),
    [(b"", "is empty"), (custom("X"), "Model model.tfl")],
)
def test_a_network_that_cannot_be_loaded(worker, flatbuffer, words):
    with pytest.raises(InputError, match=words):
        worker.load(flatbuffer)


def test_the_end_of_the_context_ends_the_process():
    with WorkerProcess("model.tflite", ENGINE, 1) as worker:
        pid = worker._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_worker_that_nobody_asks_any_more_ends(worker):
    """As when the benchmark itself was killed."""
    worker._process.stdin.close()
    assert worker._process.wait(10) == 0


def test_ctrl_c_is_the_benchmarks_to_handle(worker):
    worker.load(dense())
    os.kill(worker._process.pid, signal.SIGINT)
    assert len(worker.measure(2).nanoseconds) == 2


def test_modules_are_found_where_this_process_finds_them(tmp_path, monkeypatch):
    (tmp_path / "flatbuffers.py").write_text("raise RuntimeError('mine')")
    monkeypatch.syspath_prepend(tmp_path)
    with WorkerProcess("model.tflite", ENGINE, 1) as worker:
        with pytest.raises(InputError, match="exit code 1, RuntimeError: mine"):
            worker.wait_until_ready()


def test_what_an_engine_prints_is_no_answer(tmp_path, monkeypatch):
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text("import os; os.write(1, b'hello')\n1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with WorkerProcess("model.tflite", ENGINE, 1) as worker:
        with pytest.raises(InputError, match="ZeroDivisionError"):
            worker.wait_until_ready()
