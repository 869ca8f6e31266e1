"""Times one thread against two, alone and beside a busy process.

    python studies/conversion.py build/conversion
    python studies/threads.py build/conversion

Our runtime runs the binary network, and LiteRT beside it the real-valued one of the
same layout, both with one thread and with two. All four take turns in one process,
alone and then beside a process that keeps a core busy; it may run on any core that this
one may: on a machine of two cores it has one of them. The ratio, two threads to one, is
taken within each round. Writes a row for each engine and situation: medians over the
rounds of the median inference, in milliseconds, and median and quartiles of the ratio.
"""

import contextlib
import functools
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from turns import keep, ratio_columns, rounds_of, take_turns

import r2b_runtime

OUTPUT = pathlib.Path("results/runtime/threads.csv")
# By engine: the file that it runs, and whether our delegate does.
ENGINES = {
    "r2b_runtime": ("plain_float32.tflite", True),
    "litert": ("real_float32.tflite", False),
}
THREADS = (1, 2)
SITUATIONS = {"idle": False, "one busy process": True}
NUM_WARMUP = 2


def load(model: pathlib.Path, delegated: bool, num_threads: int) -> Interpreter:
    """An interpreter, with our delegate or without, and a picture of noise in it."""
    interpreter = Interpreter(
        model_path=str(model),
        num_threads=num_threads,
        experimental_delegates=[r2b_runtime.delegate()] if delegated else None,
    )
    interpreter.allocate_tensors()
    (details,) = interpreter.get_input_details()
    noise = np.random.default_rng(0).normal(size=details["shape"])
    interpreter.set_tensor(details["index"], noise.astype(np.float32))
    return interpreter


def median_ms(interpreter: Interpreter, num_runs: int) -> float:
    """Median of single inferences, after a few that do not count."""
    times = []
    for _ in range(NUM_WARMUP + num_runs):
        start = time.perf_counter()
        interpreter.invoke()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[NUM_WARMUP:])


@contextlib.contextmanager
def busy_process() -> Iterator[None]:
    """A process that keeps a core busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.1)
        yield
    finally:
        process.kill()
        process.wait()


def to_row(
    engine: str, situation: str, pairs: list[tuple[float, float]]
) -> dict[str, object]:
    """A row of the table.

    Args:
      engine: of `ENGINES`.
      situation: of `SITUATIONS`.
      pairs: milliseconds with one thread and with two, of at least two rounds.
    """
    one, two = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "engine": engine,
        "situation": situation,
        "rounds": len(pairs),
        "one_ms": round(one, 3),
        "two_ms": round(two, 3),
        **ratio_columns([two / one for one, two in pairs]),
    }


def main() -> None:
    """Measures, prints and writes."""
    given = rounds_of(__doc__, OUTPUT)
    for name, _ in ENGINES.values():
        if not (given.folder / name).exists():
            sys.exit(f"There is no {given.folder / name}: make it with conversion.py.")
    turns = [
        functools.partial(
            median_ms, load(given.folder / name, delegated, count), given.runs
        )
        for name, delegated in ENGINES.values()
        for count in THREADS
    ]
    rows = []
    for situation, is_busy in SITUATIONS.items():
        with busy_process() if is_busy else contextlib.nullcontext():
            measured = take_turns(turns, given.rounds)
        for place, engine in enumerate(ENGINES):
            pairs = [(times[2 * place], times[2 * place + 1]) for times in measured]
            rows.append(to_row(engine, situation, pairs))
    keep(rows, given.output)


if __name__ == "__main__":
    main()
