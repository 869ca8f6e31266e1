"""Times a network with each set of kernels that this CPU can run.

    python studies/conversion.py build/conversion
    python studies/kernels.py build/conversion

Real-to-Binary ResNet-18 with real layers in floats and in integers, one thread: all
take turns in one process. Writes a row for each file and set: the median over the
rounds of the median inference, in milliseconds, and median and quartiles of its ratio,
in each round, to the file's first row.
"""

import functools
import pathlib
import statistics
import sys
from collections.abc import Sequence

from turns import keep, ratio_columns, rounds_of, take_turns

from r2b_runtime import Interpreter
from r2b_runtime.board.errors import InputError
from r2b_runtime.timing import measure

OUTPUT = pathlib.Path("results/runtime/kernels.csv")
MODELS = ("plain_float32.tflite", "integer_int8.tflite")
# The first is what the others are compared with.
KERNELS = ("avx2", "avxvnni", "avx512bw", "avx512", "sse4")


def median_ms(network: Interpreter, num_runs: int) -> float:
    """Median of single inferences."""
    return measure(network, num_runs).median_ms


def to_rows(
    model: str, kernels: Sequence[str], rounds: Sequence[tuple[float, ...]]
) -> list[dict[str, object]]:
    """A file's rows of the table.

    Args:
      model: the file's name.
      kernels: names of the sets.
      rounds: milliseconds with each of them, of at least two rounds.
    """
    return [
        {
            "model": model,
            "kernel": kernel,
            "rounds": len(rounds),
            "ms": round(statistics.median(times[place] for times in rounds), 3),
            **ratio_columns([times[place] / times[0] for times in rounds]),
        }
        for place, kernel in enumerate(kernels)
    ]


def main() -> None:
    """Measures, prints and writes."""
    given = rounds_of(__doc__, OUTPUT)
    rows = []
    for model in MODELS:
        path = given.folder / model
        if not path.exists():
            sys.exit(f"There is no {path}: make it with conversion.py.")
        try:
            networks = [Interpreter(path, kernel=kernel) for kernel in KERNELS]
        except InputError as error:
            sys.exit(f"{error} This study wants a CPU that has all it compares.")
        turns = [functools.partial(median_ms, each, given.runs) for each in networks]
        rows += to_rows(model, KERNELS, take_turns(turns, given.rounds))
    keep(rows, given.output)


if __name__ == "__main__":
    main()
