"""What engines answer to the cases of the sweep, as one short digest for each case.

    python tests/runtime/answers.py lce FIRST STEP
    python tests/runtime/answers.py expected > tests/runtime/expected_answers.csv

The first prints the answers of Larq Compute Engine from case number FIRST on, for every
STEPth, the second the file that all engines are compared with.
"""

import csv
import hashlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from block_files import HalfBlocks
from operator_files import Case, Convolution
from operator_sweep import cases

FILE = pathlib.Path(__file__).with_name("expected_answers.csv")
# Options of LCE's interpreter; its kernels of convolutions differ.
LCE_KERNELS = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}


def digest(outputs: Sequence[np.ndarray]) -> str:
    """Types, shapes and all bits of outputs in 16 digits."""
    state = hashlib.sha256()
    for output in outputs:
        state.update(f"{output.dtype.name}{list(output.shape)}".encode())
        state.update(np.ascontiguousarray(output).tobytes())
    return state.hexdigest()[:16]


def lce_kernels(case: Case) -> tuple[str, ...]:
    """Kernels of LCE that take a case and are right, the one to follow first.

    Zeros around a map count as +1 in the fast kernels, which correct the floats
    afterwards: wrongly where the kernel reaches over both sides of the map. They refuse
    other outputs. The reference kernel counts half of the channels instead, which is
    right everywhere, but rounds floats differently.
    """
    if isinstance(case, HalfBlocks):
        blocks = [case.convolution(block) for block in range(case.blocks)]
        kernels = [lce_kernels(block) for block in blocks]
        return tuple(name for name in LCE_KERNELS if all(name in k for k in kernels))
    if not isinstance(case, Convolution):
        return ("default",)
    if case.padding == "zeros" and (
        case.output != "float" or case.activation != "none"
    ):
        return ("reference",)
    if case.padding == "zeros" and case.is_small():
        return ()
    kernels = ["default", "indirect", "reference"]
    if case.padding == "zeros":
        kernels.remove("reference")
    if case.groups > 1:
        kernels.remove("default")
    return tuple(kernels)


def lce_outputs(case: Case, kernel: str) -> list[np.ndarray]:
    """What Larq Compute Engine's interpreter returns."""
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    interpreter = Interpreter(case.content(), **LCE_KERNELS[kernel])
    # Predict of the inner object takes a whole batch, the outer one splits it.
    return interpreter.interpreter.predict(case.inputs())


def print_lce_answers(first: int, step: int) -> None:
    """A line for each case and kernel, at once: the engine may crash at the next."""
    for number, case in list(enumerate(cases()))[first::step]:
        for kernel in lce_kernels(case):
            print(number, kernel, digest(lce_outputs(case, kernel)), flush=True)
        print(number, "done", flush=True)


def resumed(
    command: Sequence[str], count: int, first: int = 0, step: int = 1
) -> Iterator[list[str]]:
    """Lines of a command that answers cases by number, started anew after each crash.

    Where it died, the line is the case's number, "crash" and how it ended.
    """
    while first < count:
        result = subprocess.run(
            [*command, str(first), str(step)],
            capture_output=True,
            text=True,
            timeout=1200,
        )
        for line in result.stdout.splitlines():
            number, *words = line.split()
            if words == ["done"]:
                first = int(number) + step
            else:
                yield [number, *words]
        if first < count:
            reason = (result.stderr.strip().splitlines() or ["nothing said"])[-1]
            yield [str(first), "crash", f"{result.returncode}", *reason.split()]
            first += step


def expected_answers(path: pathlib.Path = FILE) -> dict[str, tuple[str, str]]:
    """By name: whose answer is right, an LCE kernel's or NumPy's, and its digest."""
    with path.open(newline="") as file:
        return {row["case"]: (row["by"], row["answer"]) for row in csv.DictReader(file)}


def write_expected() -> None:
    from operator_reference import expected

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["case", "by", "answer"])
    for case in cases():
        by = (*lce_kernels(case), "numpy")[0]
        outputs = expected(case) if by == "numpy" else lce_outputs(case, by)
        writer.writerow([case.name, by, digest(outputs)])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lce", first, step]:
            print_lce_answers(int(first), int(step))
        case ["expected"]:
            write_expected()
        case _:
            sys.exit(__doc__)
