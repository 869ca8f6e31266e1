"""Times one thread against two, alone and beside a busy process, in turns.

    python benchmarks/conversion.py build/conversion
    python benchmarks/threads.py build/conversion/simplified_float32.tflite

Prints for each library and situation the milliseconds of one thread and of two, and
their ratio. The busy process may run on any core that this one may; on a machine of two
cores it has one of them. `--library`, which may be given several times, compares builds
of libr2b_delegate.so.
"""

import argparse
import contextlib
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

from r2b_runtime import library

THREADS = (1, 2)
NUM_WARMUP = 2
SUMMARIES: dict[str, Callable[[np.ndarray], float]] = {
    "fastest": np.min,
    "median": np.median,
    "mean": np.mean,
}


def load(model: pathlib.Path, path: pathlib.Path, num_threads: int) -> Interpreter:
    """An interpreter with a library's delegate, and a picture of noise in it."""
    interpreter = Interpreter(
        model_path=str(model),
        num_threads=num_threads,
        experimental_delegates=[load_delegate(str(path))],
    )
    interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    noise = np.random.default_rng(0).normal(size=details["shape"])
    interpreter.set_tensor(details["index"], noise.astype(np.float32))
    return interpreter


def milliseconds(interpreter: Interpreter, num_runs: int) -> list[float]:
    """Times of single inferences, after a few that do not count."""
    times = []
    for _ in range(NUM_WARMUP + num_runs):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(1e3 * (time.perf_counter() - start))
    return times[NUM_WARMUP:]


@contextlib.contextmanager
def busy_process(wanted: bool) -> Iterator[None]:
    """A process that keeps a core busy, or none."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])  # noqa: S603
    try:
        time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--library", type=pathlib.Path, action="append")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--runs", type=int, default=20, help="of each in a round")
    given = parser.parse_args()
    paths = given.library or [library.PATH]
    loaded = {
        (path, count): load(given.model, path, count)
        for path in paths
        for count in THREADS
    }
    situations = {"alone": False, "beside a busy process": True}
    times: dict[tuple[str, pathlib.Path, int], list[float]] = {}
    for _ in range(given.rounds):
        for name, busy in situations.items():
            with busy_process(busy):
                for (path, count), interpreter in loaded.items():
                    found = times.setdefault((name, path, count), [])
                    found += milliseconds(interpreter, given.runs)
    for name in situations:
        for path in paths:
            one, two = (np.array(times[name, path, count]) for count in THREADS)
            print(f"{path}, {name}:")
            for what, of in SUMMARIES.items():
                first, second = of(one), of(two)
                print(
                    f"  {what}: one thread {first:.2f} ms, two {second:.2f} ms, "
                    f"ratio {second / first:.2f}"
                )


if __name__ == "__main__":
    main()
