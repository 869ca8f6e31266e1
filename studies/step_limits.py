"""How far each step of a network is from what the core's arithmetic allows.

    kernels_bench avx512 | head -1     # the clock; see runtime/tests/kernels_bench.cc
    python studies/step_limits.py build/conversion/integer_int8.tflite --clock_ghz=4.06

Times the network with our runtime in one thread, step by step, and takes each step's
fastest round: steps that do the same on equally large maps count together. The limit of
a step is its multiply-accumulates at `MACS_A_CYCLE`; what follows a convolution in the
same pass has none in it, nor has the reading of weights and maps, so no step reaches 1.
Steps without multiply-accumulates (means, pools, logistic) have no limit here. Writes a
row for each step, and one for all.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from turns import keep

from r2b_runtime import Interpreter, profiling
from r2b_runtime.interpreter import made_up

OUTPUT = pathlib.Path("results/runtime/step_limits.csv")

# What a core of AMD's Zen 5 can do, by set of kernels and kind of number. In a cycle it
# begins four vector instructions, of which two may multiply or look up:
#   bits      AVX-512: four instructions for two words and 16 channels;
#             AVX2: a look-up, and a sum beside it, for 8 bits and 16 channels
#   integers  AVX-512: vpdpbusd for 64 products; AVX2: two instructions for 32
#   floats    one fused multiply-add for each lane
MACS_A_CYCLE = {
    "avx512": {"binary": 1024, "integer": 128, "real": 32},
    "avx2": {"binary": 256, "integer": 32, "real": 16},
}


def kind_of(title: str) -> str:
    """Which numbers a step with multiply-accumulates multiplies.

    Args:
      title: as the runtime names the step, what is fused included.

    Raises:
      ValueError: it is none of them.
    """
    kinds = {
        "binary convolution": "binary",
        "integer convolution": "integer",
        "integer dense layer": "integer",
        "real convolution": "real",
        "dense layer": "real",
    }
    first = title.split(" + ")[0]
    if first not in kinds:
        raise ValueError(
            f"The step {title!r} multiplies, but is none of {sorted(kinds)}: add what "
            "kind of number it multiplies to studies/step_limits.py."
        )
    return kinds[first]


def limit_ms(step: profiling.Step, kernel: str, clock_ghz: float) -> float:
    """Milliseconds of the step's multiply-accumulates alone; 0 where it has none."""
    if step.num_macs == 0:
        return 0.0
    rate = MACS_A_CYCLE[kernel][kind_of(step.title)] * clock_ghz * 1e9
    return 1e3 * step.num_macs / rate


def to_row(kernel: str, name: str, time: float, limit: float) -> dict[str, object]:
    """A row of the table.

    Args:
      kernel: of `MACS_A_CYCLE`.
      name: of the step.
      time: milliseconds of it.
      limit: the fewest that its arithmetic takes, 0 for none.
    """
    return {
        "kernel": kernel,
        "step": name,
        "ms": round(time, 4),
        "limit_ms": round(limit, 4),
        "share_of_limit": round(limit / time, 3) if limit and time else "",
    }


def to_rows(
    rounds: Sequence[Sequence[profiling.Step]], kernel: str, clock_ghz: float
) -> list[dict[str, object]]:
    """A row for each step at its fastest, and one for all of them.

    Args:
      rounds: the steps of each round, in the same order.
      kernel: of `MACS_A_CYCLE`.
      clock_ghz: the core's clock.
    """
    rows, time_of_all, limit_of_all = [], 0.0, 0.0
    for same in zip(*rounds, strict=True):
        fastest = min(same, key=lambda step: step.time_ms)
        limit = limit_ms(fastest, kernel, clock_ghz)
        name = f"{fastest.count} x {fastest.title}"
        rows.append(to_row(kernel, name, fastest.time_ms, limit))
        time_of_all += fastest.time_ms
        limit_of_all += limit
    return [*rows, to_row(kernel, "all", time_of_all, limit_of_all)]


def one_round(model: pathlib.Path, kernel: str, num_runs: int) -> list[profiling.Step]:
    """The steps' times in the mean of some inferences."""
    interpreter = Interpreter(model, kernel=kernel, profile=True)
    interpreter.set_input(made_up(interpreter.input_shape, interpreter.input_type))
    for _ in range(num_runs):
        interpreter.run()
    return profiling.steps(interpreter)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--clock_ghz", type=float, required=True)
    parser.add_argument("--rounds", type=int, default=20, help="at least 1")
    parser.add_argument("--runs", type=int, default=20, help="inferences of a round")
    parser.add_argument("--output", type=pathlib.Path, default=OUTPUT)
    given = parser.parse_args()
    if not given.clock_ghz > 0 or given.rounds < 1 or given.runs < 1:
        sys.exit(
            f"--clock_ghz is {given.clock_ghz}, --rounds {given.rounds} and --runs "
            f"{given.runs}, expected a clock above 0 and at least 1 of the others."
        )
    if not given.model.exists():
        sys.exit(f"There is no {given.model}: make it with conversion.py.")
    rows = []
    for kernel in MACS_A_CYCLE:
        rounds = [
            one_round(given.model, kernel, given.runs) for _ in range(given.rounds)
        ]
        rows += to_rows(rounds, kernel, given.clock_ghz)
    keep(rows, given.output)


if __name__ == "__main__":
    main()
