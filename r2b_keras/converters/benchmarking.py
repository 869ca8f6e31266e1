"""Latency, memory and size of flatbuffers, side by side in one run.

Other processes, the clock and the temperature of the processor change numbers by more
than most improvements do. So what is to be compared is measured in one run, in turns:

- Each model on each engine (a row) has a process of its own. All are loaded and warmed
  up first; then each waits, blocked on a pipe, whenever it is not its turn. With more
  than one thread, a pause lets the threads of the one before fall asleep.
- In each round every row has one turn. The order is shuffled, and every other round
  reverses the order of the one before, so that a steady drift cancels out.
- A row runs equally many inferences in each of its turns: a fixed time would count slow
  moments less. The first tenth does not count: it fills the caches.
- Ratios are of medians of the same round, so that what slows down both cancels out.
- `cores_used` well below the number of threads says that others had the processor, or
  that the engine cannot use more.

What the numbers do not tell:

- They are those of warm caches, of one network at a time and of this governor's clock.
  A few microseconds of Python are in each, and for Larq Compute Engine copies of image
  and scores.
- Every engine gets the same image, of normally distributed numbers or of uniformly
  distributed pixels. A network whose activations
  fall below 1e-38 would run slower; BatchNorm keeps those of this package above.
- Memory is the highest of the process during inferences, minus that of the same process
  before the model was loaded, when the engine was imported (TensorFlow along with Larq
  Compute Engine's package) and had run a network of one operator. The flatbuffer's own
  bytes are in it, and about 1 MiB of the engine's code; what loading takes is not.
"""

import contextlib
import dataclasses
import math
import statistics
import time
from collections.abc import Mapping, Sequence

import numpy as np

from r2b_keras import checks
from r2b_keras.converters.benchmark_plan import orders, plan
from r2b_keras.converters.benchmark_process import Visit, WorkerProcess
from r2b_keras.converters.benchmark_worker import num_settling
from r2b_keras.errors import InputError

ROUNDS = 10
SECONDS = 0.5
PAUSE_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One model on one engine; a row of the table.

    Attributes:
      model: the model's name.
      engine: the engine's name.
      threads: threads that an inference may use.
      median_ms: median of the latency of one image, in milliseconds.
      p10_ms: a tenth of the inferences took no longer.
      p90_ms: nine tenths of the inferences took no longer.
      ratio: the latency in parts of the first row's: median over the rounds.
      ratio_p10: a tenth of the rounds had a smaller ratio.
      ratio_p90: nine tenths of the rounds had a smaller ratio.
      num_inferences: inferences that count.
      num_warmup: inferences that do not, before all rounds and in each.
      cores_used: processor time per elapsed time; see the module.
      peak_memory_mib: highest memory above that of the idle engine, None where the
        system does not tell.
      size_kib: the file's size, 1 KiB being 1024 bytes.
      problem: why the engine does not run the model, and the numbers are none; empty
        where it does.
    """

    model: str
    engine: str
    threads: int
    median_ms: float
    p10_ms: float
    p90_ms: float
    ratio: float
    ratio_p10: float
    ratio_p90: float
    num_inferences: int
    num_warmup: int
    cores_used: float
    peak_memory_mib: float | None
    size_kib: float
    problem: str = ""


def benchmark(
    flatbuffers: Mapping[str, bytes],
    engines: Sequence[str] | None = None,
    threads: int = 1,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> list[Measurement]:
    """Measures models on engines, in turns; see the module for how.

    Args:
      flatbuffers: contents of `.tflite` files by the names that the rows get.
      engines: names of `converters.engines.NAMES`; all that can run a model when None.
      threads: threads that an inference may use.
      rounds: turns of each row.
      seconds: how long a turn is to take, for each row; also the time of its warm-up.

    Returns:
      One row for each model and each engine that knows its operators, in the order of
      both. Ratios are to the first one that could be measured.

    Raises:
      InputError: threads, rounds or seconds are not positive, no model or no engine
        fits (see `benchmark_plan.plan`), no engine loads a model, or one died later.
    """
    check_amounts(threads, rounds, seconds)
    threads, rounds, seconds = int(threads), int(rounds), float(seconds)
    pairs = plan(flatbuffers, engines)
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(WorkerProcess(model, engine, threads))
            for model, engine in pairs
        ]
        warmups, problems = _prepare(workers, flatbuffers, seconds)
        able = list(warmups)
        visits: dict[int, list[Visit]] = {row: [] for row in able}
        for order in orders(len(able), rounds):
            for row in (able[place] for place in order):
                time.sleep(PAUSE_SECONDS if threads > 1 else 0)
                count = num_inferences(warmups[row], seconds)
                visits[row].append(workers[row].measure(count))
    sizes = [len(flatbuffers[model]) for model, _ in pairs]
    return [
        _unable(pair, threads, sizes[row], problems[row])
        if row in problems
        else summarize(
            pair, threads, sizes[row], warmups[row], visits[row], visits[able[0]]
        )
        for row, pair in enumerate(pairs)
    ]


def _prepare(
    workers: Sequence[WorkerProcess], flatbuffers: Mapping[str, bytes], seconds: float
) -> tuple[dict[int, Visit], dict[int, str]]:
    """Loads and warms up one worker after the other, once all have started.

    Returns:
      Rows with their warm-ups, and rows with why they have none.

    Raises:
      InputError: no row has one.
    """
    warmups: dict[int, Visit] = {}
    problems: dict[int, str] = {}
    for row, worker in enumerate(workers):
        try:
            worker.wait_until_ready()
        except InputError as error:
            problems[row] = str(error)
    for row, worker in enumerate(workers):
        if row in problems:
            continue
        try:
            worker.load(flatbuffers[worker.model])
            warmups[row] = worker.warm_up(seconds)
        except InputError as error:
            problems[row] = str(error)
    if not warmups:
        raise InputError(problems[0])
    return warmups, problems


def _unable(
    pair: tuple[str, str], threads: int, num_bytes: int, problem: str
) -> Measurement:
    """A row of an engine that does not run the model."""
    times = (math.nan,) * 6
    size_kib = num_bytes / 1024
    return Measurement(*pair, threads, *times, 0, 0, math.nan, None, size_kib, problem)


def check_amounts(threads: int, rounds: int, seconds: float) -> None:
    """Raises `InputError` unless all are positive, and the first two whole numbers."""
    checks.require_count("threads", threads)
    checks.require_count("rounds", rounds)
    checks.require_positive("seconds", seconds)


def num_inferences(warmup: Visit, seconds: float) -> int:
    """How many inferences fill a turn, by the second half of the warm-up."""
    half = warmup.nanoseconds[len(warmup.nanoseconds) // 2 :]
    return max(1, round(seconds * 1e9 / statistics.median(half)))


def summarize(
    pair: tuple[str, str],
    threads: int,
    num_bytes: int,
    warmup: Visit,
    visits: Sequence[Visit],
    first_row: Sequence[Visit],
) -> Measurement:
    """Makes a row of what was measured.

    Args:
      pair: names of model and engine.
      threads: threads that an inference may use.
      num_bytes: the file's size.
      warmup: what does not count.
      visits: one of each round.
      first_row: those of the first row, in the same rounds.
    """
    times = np.concatenate([visit.nanoseconds for visit in visits]) / 1e6
    ratios = [
        np.median(visit.nanoseconds) / np.median(first.nanoseconds)
        for visit, first in zip(visits, first_row, strict=True)
    ]
    p10, median, p90 = map(float, np.percentile(times, (10, 50, 90)))
    ratio_p10, ratio, ratio_p90 = map(float, np.percentile(ratios, (10, 50, 90)))
    settling = sum(num_settling(len(visit.nanoseconds)) for visit in visits)
    cpu = sum(visit.cpu_ns for visit in visits)
    peaks = [visit.peak_bytes for visit in visits if visit.peak_bytes is not None]
    return Measurement(
        *pair,
        threads=threads,
        median_ms=median,
        p10_ms=p10,
        p90_ms=p90,
        ratio=ratio,
        ratio_p10=ratio_p10,
        ratio_p90=ratio_p90,
        num_inferences=len(times),
        num_warmup=len(warmup.nanoseconds) + settling,
        cores_used=cpu / sum(visit.elapsed_ns for visit in visits),
        peak_memory_mib=max(peaks) / 2**20 if peaks else None,
        size_kib=num_bytes / 1024,
    )
