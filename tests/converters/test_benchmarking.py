"""Turns and numbers of the benchmark, on made-up timings and on real ones."""

import math

import numpy as np
import pytest
from small_flatbuffers import custom, dense, grouped

from r2b_keras.converters import benchmark_plan, benchmarking, card, engines
from r2b_keras.converters.benchmark_process import Visit
from r2b_keras.errors import InputError

MODEL = dense()


def visit(*milliseconds, **values):
    return Visit(tuple(round(1e6 * value) for value in milliseconds), 1, **values)


def summarize(visits, first_row=None, warmup=None, num_bytes=1024):
    return benchmarking.summarize(
        ("a", "lce"),
        1,
        num_bytes,
        warmup or visit(1.0),
        visits,
        first_row or visits,
    )


def test_percentiles_are_of_all_inferences_together():
    generator = np.random.default_rng(3)
    times = generator.lognormal(size=(7, 11))
    row = summarize([visit(*turn) for turn in times])
    expected = np.quantile(times.ravel(), (0.1, 0.5, 0.9))
    found = (row.p10_ms, row.median_ms, row.p90_ms)
    np.testing.assert_allclose(found, expected, rtol=1e-5)  # whole nanoseconds
    assert row.num_inferences == 77


def test_percentiles_by_hand():
    row = summarize([visit(*range(11, 0, -1))])
    assert (row.p10_ms, row.median_ms, row.p90_ms) == (2.0, 6.0, 10.0)


def test_ratio_is_free_of_what_slows_down_both():
    """The machine becomes slower and slower; the second row takes twice as long."""
    slowdown = [1.0, 1.5, 4.0, 9.0]
    first = [visit(1.0 * s, 1.0 * s, 1.3 * s) for s in slowdown]
    second = [visit(2.0 * s, 1.9 * s, 2.1 * s) for s in slowdown]
    row = summarize(second, first)
    assert (row.ratio_p10, row.ratio, row.ratio_p90) == (2.0, 2.0, 2.0)
    assert summarize(first, first).ratio == 1.0


def test_spread_of_ratios_is_of_rounds():
    first = [visit(1.0)] * 11
    row = summarize([visit(n) for n in range(1, 12)], first)
    assert (row.ratio_p10, row.ratio, row.ratio_p90) == (2.0, 6.0, 10.0)


def test_a_single_hiccup_moves_no_ratio():
    visits = [visit(2.0, 2.0, 500.0)] + [visit(2.0, 2.0, 2.0)] * 4
    row = summarize(visits, [visit(1.0, 1.0, 1.0)] * 5)
    assert (row.ratio_p10, row.ratio, row.ratio_p90) == (2.0, 2.0, 2.0)
    assert row.median_ms == 2.0


def test_warmup_counts_what_does_not_count():
    # A tenth of 40 inferences in each turn, and one at least.
    turns = [visit(*[1.0] * 40)] * 3
    assert summarize(turns, warmup=visit(1.0, 1.0)).num_warmup == 2 + 3 * 4
    assert summarize([visit(1.0)] * 3, warmup=visit(1.0)).num_warmup == 1 + 3


def test_cores_are_processor_time_per_elapsed_time():
    turns = [Visit((1,), elapsed_ns=100, cpu_ns=150), Visit((1,), 300, 450)]
    assert summarize(turns).cores_used == 1.5


def test_memory_and_size():
    turns = [visit(1.0, peak_bytes=3 << 20), visit(1.0, peak_bytes=5 << 19)]
    row = summarize(turns, num_bytes=2560)
    assert (row.peak_memory_mib, row.size_kib) == (3.0, 2.5)
    assert summarize([visit(1.0)]).peak_memory_mib is None


def test_inferences_fill_the_time_of_a_turn():
    # Slow beginnings of the warm-up say nothing about what follows.
    warmup = visit(900.0, 50.0, 20.0, 10.0, 10.0, 11.0)
    assert benchmarking.num_inferences(warmup, 0.5) == 50
    assert benchmarking.num_inferences(visit(700.0), 0.5) == 1
    assert benchmarking.num_inferences(visit(7000.0), 0.5) == 1


@pytest.mark.parametrize("num_rows", [1, 2, 3, 7])
def test_orders(num_rows):
    found = benchmark_plan.orders(num_rows, 9)
    assert len(found) == 9
    for number, order in enumerate(found):
        assert sorted(order) == list(range(num_rows))
        if number % 2:
            assert order == found[number - 1][::-1]
        if number and num_rows > 1:
            assert order != found[number - 1]
    assert found == benchmark_plan.orders(num_rows, 9)


def test_every_place_in_the_order_is_shared():
    places = np.zeros((4, 4))
    for order in benchmark_plan.orders(4, 400):
        places[order, range(4)] += 1
    # 100 each on average; the standard deviation of independent ones would be 9.
    assert places.min() > 70 and places.max() < 130


class FakeWorker:
    """Notes what is asked of it; takes 10 ms at first, and 20 ms on engine "b"."""

    log: list[tuple] = []
    dies_at = math.inf

    def __init__(self, model, engine, threads):
        self.model, self.engine = model, engine
        self.log.append(("start", engine, threads))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.log.append(("end", self.engine))

    def wait_until_ready(self):
        self.log.append(("ready", self.engine))

    def load(self, flatbuffer):
        self.log.append(("load", self.engine, flatbuffer))

    def warm_up(self, seconds):
        self.log.append(("warm_up", self.engine, seconds))
        return visit(10.0 if self.engine == "a" else 20.0)

    def measure(self, num_inferences):
        if len(self.log) > self.dies_at:
            raise InputError("died")
        self.log.append(("measure", self.engine, num_inferences))
        duration = 10.0 if self.engine == "a" else 20.0
        return visit(*[duration] * num_inferences, cpu_ns=1)


@pytest.fixture
def log(monkeypatch):
    pairs = [("model", "a"), ("model", "b")]
    monkeypatch.setattr(benchmarking, "plan", lambda *_: pairs)
    monkeypatch.setattr(benchmarking, "WorkerProcess", FakeWorker)
    monkeypatch.setattr(FakeWorker, "log", [])
    return FakeWorker.log


def test_all_are_warm_before_one_is_measured(log):
    rows = benchmarking.benchmark({"model": b"content"}, rounds=3, seconds=0.1)
    assert log[:8] == [
        ("start", "a", 1),
        ("start", "b", 1),
        ("ready", "a"),
        ("ready", "b"),
        ("load", "a", b"content"),
        ("warm_up", "a", 0.1),
        ("load", "b", b"content"),
        ("warm_up", "b", 0.1),
    ]
    turns = [log[index : index + 2] for index in (8, 10, 12)]
    for turn in turns:
        assert sorted(turn) == [("measure", "a", 10), ("measure", "b", 5)]
    assert turns[1] == turns[0][::-1] == turns[2][::-1]
    assert sorted(log[14:]) == [("end", "a"), ("end", "b")]
    assert [row.engine for row in rows] == ["a", "b"]
    assert [row.median_ms for row in rows] == [10.0, 20.0]
    assert [row.ratio for row in rows] == [1.0, 2.0]
    assert [row.num_inferences for row in rows] == [30, 15]
    assert rows[0].size_kib == len(b"content") / 1024


@pytest.mark.parametrize(("threads", "pause"), [(1, 0), (2, 0.1)])
def test_threads_get_time_to_fall_asleep(log, monkeypatch, threads, pause):
    pauses = []
    monkeypatch.setattr(benchmarking.time, "sleep", pauses.append)
    benchmarking.benchmark({"model": b""}, threads=threads, rounds=2)
    assert pauses == [pause] * 4
    assert log[0] == ("start", "a", threads)


@pytest.mark.parametrize("method", ["wait_until_ready", "load", "warm_up"])
def test_an_engine_that_does_not_load_is_a_row_that_says_so(log, monkeypatch, method):
    can = getattr(FakeWorker, method)

    def cannot(worker, *arguments):
        if worker.engine == "a":
            raise InputError("Model model: the engine a cannot.")
        return can(worker, *arguments)

    monkeypatch.setattr(FakeWorker, method, cannot)
    first, second = benchmarking.benchmark({"model": b"content"}, rounds=2)
    assert (first.model, first.engine, first.num_inferences) == ("model", "a", 0)
    assert first.problem == "Model model: the engine a cannot."
    assert math.isnan(first.median_ms) and math.isnan(first.ratio)
    assert first.size_kib == second.size_kib == 7 / 1024
    # Ratios are to the first one that has been measured.
    assert (second.engine, second.ratio, second.problem) == ("b", 1.0, "")
    assert ("measure", "a") not in [entry[:2] for entry in log]
    monkeypatch.setattr(benchmarking, "plan", lambda *_: [("model", "a")])
    with pytest.raises(InputError, match="the engine a cannot"):
        benchmarking.benchmark({"model": b"content"})


@pytest.mark.slow
def test_groups_are_measured_where_they_can_be():
    rows = benchmarking.benchmark({"m": grouped()}, rounds=1, seconds=0.01)
    by_engine = {row.engine: row for row in rows}
    assert "Model m: The engine lce cannot run" in by_engine.pop("lce").problem
    assert len(by_engine) >= 3 and not any(x.problem for x in by_engine.values())
    assert all(row.median_ms > 0 for row in by_engine.values())


def test_when_one_dies_all_are_ended(log, monkeypatch):
    monkeypatch.setattr(FakeWorker, "dies_at", 10)
    with pytest.raises(InputError, match="died"):
        benchmarking.benchmark({"model": b""}, rounds=5)
    assert sorted(log[-2:]) == [("end", "a"), ("end", "b")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threads": 0}, "threads is 0, expected a whole number of at least 1"),
        ({"threads": 1.5}, "threads is 1.5"),
        ({"rounds": -1}, "rounds is -1"),
        ({"seconds": 0.0}, "seconds is 0.0, expected a positive number"),
        ({"seconds": math.nan}, "seconds is nan"),
        ({"seconds": math.inf}, "seconds is inf"),
    ],
)
def test_amounts_that_make_no_sense(values, words):
    with pytest.raises(InputError, match=words):
        benchmarking.benchmark({"model": MODEL}, **values)


def test_plan_is_models_by_engines(monkeypatch):
    able = {b"1": ("litert", "lce"), b"2": ("lce", "lce_indirect")}
    monkeypatch.setattr(engines, "names_for", able.get)
    monkeypatch.setattr(card, "read", lambda flatbuffer: None)
    models = {"real": b"1", "binary": b"2"}
    assert benchmark_plan.plan(models) == [
        ("real", "lce"),
        ("real", "litert"),
        ("binary", "lce"),
        ("binary", "lce_indirect"),
    ]
    names = ["lce_indirect", "litert", "litert"]
    assert benchmark_plan.plan(models, names) == [
        ("real", "litert"),
        ("binary", "lce_indirect"),
    ]
    with pytest.raises(InputError, match="Model binary cannot be run by litert, expec"):
        benchmark_plan.plan(models, ["litert"])
    with pytest.raises(InputError, match="lce_reference can run none .* lce, lce_ind"):
        benchmark_plan.plan(models, ["lce", "lce_reference"])


def test_unknown_engine_names_the_nearest():
    for name, end in (("lce_indirekt", "; did you mean 'lce_indirect'?"), ("foo", ".")):
        with pytest.raises(InputError) as error:
            benchmark_plan.plan({"model": MODEL}, ["litert", name])
        assert str(error.value) == (
            f"There is no engine {name!r}, expected one of {', '.join(engines.NAMES)}"
            f"{end}"
        )


def with_damaged_constant():
    card_of_it = card.ModelCard(("a", "b", "c"), (1, 64, 1), (0.5,), (0.5,))
    content = bytearray(card.attach(MODEL, card_of_it))
    place = content.index(np.random.default_rng(0).normal(size=9).astype("f").tobytes())
    content[place] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("flatbuffer", "words"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" * 9, "no .tflite file"),
        (MODEL[: len(MODEL) // 2], "damaged"),
        (with_damaged_constant(), "does not match its checksum"),
        (custom("Foreign"), "operators that no engine knows .Foreign"),
    ],
)
def test_file_that_cannot_be_measured_is_named(flatbuffer, words):
    with pytest.raises(InputError, match=f"^Model bad: .*{words}"):
        benchmarking.benchmark({"good": MODEL, "bad": flatbuffer})


def test_nothing_to_measure():
    with pytest.raises(InputError, match="no model"):
        benchmarking.benchmark({})


def test_real_timings():
    """Twice the same network, and one of 64 times the work."""
    models = {"small": MODEL, "again": MODEL, "large": dense(512, 512)}
    rows = benchmarking.benchmark(models, ["litert"], rounds=4, seconds=0.02)
    small, again, large = rows
    assert [row.model for row in rows] == list(models)
    for row in rows:
        assert 0 < row.p10_ms <= row.median_ms <= row.p90_ms
        assert 0 < row.ratio_p10 <= row.ratio <= row.ratio_p90
        assert row.num_inferences % 4 == 0
        assert row.num_warmup >= 3 + 4
        assert 0 < row.cores_used < 1.2
    assert small.ratio == 1.0
    # Bounds that hold on a busy machine as well.
    assert 0.3 < again.ratio < 3
    assert large.ratio > 3
    assert large.size_kib > 1024
