"""The process in which one network runs on one engine, for the benchmark.

It is asked by lines of JSON on standard input and answers each with one, see `serve`.
It ends with its input, so that none outlives the benchmark.
"""

import ctypes
import gc
import json
import os
import pathlib
import signal
import sys
import time
from typing import IO, Any

import numpy as np

from r2b_keras.converters import engines, tflite_edit, tflite_file
from r2b_keras.errors import InputError

SEED = 0
MINIMUM_WARMUP = 3
# Before the inferences of a visit that count, this part of their number runs uncounted.
SETTLING = 0.1

_STATUS = pathlib.Path("/proc/self/status")
_CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def main(engine: str, num_threads: int, descriptor: int) -> None:
    """Serves until standard input ends; a problem is the last answer.

    Args:
      engine: a name of `engines.NAMES`.
      num_threads: threads of an inference.
      descriptor: where answers go; standard output is the engine's to print on.
    """
    # Ctrl-C reaches the whole group; the benchmark itself ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(descriptor, "w", encoding="utf-8")
    try:
        serve(engine, num_threads, sys.stdin.buffer, answers)
    except InputError as error:
        _answer(answers, {"error": str(error)})


def serve(engine: str, num_threads: int, requests: IO[bytes], answers: IO[str]) -> None:
    """Answers requests.

    The first answer, `{}`, comes unasked, once the engine's package is imported. Then:

    - `{"do": "load", "num_bytes": n}` and the `n` bytes of a flatbuffer: `{}`;
    - `{"do": "warm_up", "seconds": s}`: runs for that long, and at least
      `MINIMUM_WARMUP` times; the answer is a visit, see `_visit`;
    - `{"do": "measure", "num_inferences": n}`: a visit, after some inferences that do
      not count and bring the network back into the caches.

    Args:
      engine: a name of `engines.NAMES`.
      num_threads: threads of an inference.
      requests: where requests come from.
      answers: where answers go.

    Raises:
      InputError: the engine cannot run the flatbuffer.
    """
    _prepare_engine(engine)
    idle = _resident_bytes()
    _answer(answers, {})
    network = None
    for line in requests:
        request = json.loads(line)
        if network is None:
            content = requests.read(request["num_bytes"])
            network = _load(content, engine, num_threads)
            del content
            _reset_peak()
            _answer(answers, {})
        elif request["do"] == "warm_up":
            _answer(answers, _warm_up(network, request["seconds"], idle))
        else:
            _answer(answers, _measure(network, request["num_inferences"], idle))


def _answer(answers: IO[str], value: dict[str, Any]) -> None:
    print(json.dumps(value), file=answers, flush=True)


def _prepare_engine(engine: str) -> None:
    """Imports the engine's package and lets it set up what every network needs."""
    real = engine if engine in engines.FOR_REAL_NETWORKS else "lce"
    engines.load(smallest_flatbuffer(), real)


def _load(content: bytes, engine: str, num_threads: int) -> engines.Engine:
    network = engines.load(content, engine, num_threads)
    # Pictures as networks see them are about that; the same for all engines.
    generator = np.random.default_rng(SEED)
    shape = network.input_shape
    network.set_input(
        generator.integers(0, 256, shape, np.uint8)
        if network.takes_pixels
        else generator.normal(size=shape).astype(np.float32)
    )
    # No collection may fall into an inference.
    gc.collect()
    gc.disable()
    return network


def _warm_up(network: engines.Engine, seconds: float, idle: int | None) -> Any:
    end = time.perf_counter() + seconds
    times: list[int] = []
    while len(times) < MINIMUM_WARMUP or time.perf_counter() < end:
        times += _timed(network, 1)
    return _visit(times, 0, 0, idle)


def _measure(network: engines.Engine, num_inferences: int, idle: int | None) -> Any:
    _timed(network, num_settling(num_inferences))
    cpu, elapsed = time.process_time_ns(), time.perf_counter_ns()
    times = _timed(network, num_inferences)
    elapsed = time.perf_counter_ns() - elapsed
    return _visit(times, elapsed, time.process_time_ns() - cpu, idle)


def num_settling(num_inferences: int) -> int:
    """How many inferences run uncounted before a visit's counted ones."""
    return max(1, round(SETTLING * num_inferences))


def _timed(network: engines.Engine, num_inferences: int) -> list[int]:
    """Nanoseconds of each of some inferences."""
    run, clock, times = network.run, time.perf_counter_ns, []
    for _ in range(num_inferences):
        start = clock()
        run()
        times.append(clock() - start)
    return times


def _visit(times: list[int], elapsed: int, cpu: int, idle: int | None) -> Any:
    """Times of some inferences, and the highest memory since loading."""
    peak = _status_bytes("VmHWM") if idle is not None else None
    return {
        "nanoseconds": times,
        "elapsed_ns": elapsed,
        "cpu_ns": cpu,
        "peak_bytes": None if peak is None or idle is None else max(0, peak - idle),
    }


def _resident_bytes() -> int | None:
    """Memory of this process now, None if this system cannot tell or reset the peak."""
    return _status_bytes("VmRSS") if _reset_peak() else None


def _reset_peak() -> bool:
    """Gives freed memory back and sets the process's peak to what it has now."""
    gc.collect()
    try:
        # Or what a network allocates could hide in what an import has freed.
        ctypes.CDLL(None).malloc_trim(0)
        _CLEAR_REFS.write_text(_RESET_PEAK)
    except (OSError, AttributeError):
        return False  # not Linux, another C library, or a sandbox that forbids it
    return True


def _status_bytes(field: str) -> int | None:
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    return None


def smallest_flatbuffer() -> bytes:
    """A network of one operator, from a picture of one pixel to one class."""
    schema = tflite_file.schema
    graph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.operatorCodes = 3, []
    model.subgraphs, model.buffers = [graph], [schema.BufferT()]
    graph.tensors, graph.inputs, graph.outputs = [], [0], [1]
    options = schema.ReshapeOptionsT()
    options.newShape = [1, 1]
    for name, shape in ((b"image", (1, 1, 1, 1)), (b"score", (1, 1))):
        tflite_edit.add_tensor(model, graph, name, shape)
    reshape = tflite_edit.make_operator(model, "RESHAPE", [0], 1, options)
    graph.operators = [reshape]
    return tflite_file.serialize(model)
