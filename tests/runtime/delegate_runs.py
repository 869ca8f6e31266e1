"""Runs files in LiteRT with the delegate, with every kernel, fused or not, in threads.

    python tests/runtime/delegate_runs.py FIRST [STEP]
    python tests/runtime/delegate_runs.py real > tests/runtime/expected_real.csv

The first runs the cases of the sweep and of `real_files` from number FIRST on, every
STEPth. Prints the runs whose answers are not the expected ones, and for each case how
many runs there were. The second writes what is expected of real-valued operators: the
delegate is its own reference there, for being the same on all machines. Needs NumPy,
LiteRT and r2b_runtime, nothing of TensorFlow.
"""

import csv
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from answers import digest, expected_answers
from operator_files import Case, Dequantization
from operator_sweep import cases
from real_files import real_cases

import r2b_runtime
from r2b_runtime import library

REAL_FILE = pathlib.Path(__file__).with_name("expected_real.csv")
RESTS = {
    "xnnpack": OpResolverType.AUTO,
    "litert": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "plain": OpResolverType.BUILTIN_REF,
}


@dataclass(frozen=True)
class Setting:
    """How a file is run.

    `resized` has the batch set after loading. `rest` is what computes the operators
    that are left: LiteRT with XNNPACK, without it, or with its plain kernels.
    """

    kernel: str
    fuse: bool = True
    threads: int = 1
    claim: str = "all"
    resized: bool = False
    rest: str = "xnnpack"

    def __str__(self) -> str:
        """One word, such as `avx2,fused,threads=2,claim=all`."""
        words = [self.kernel, "fused" if self.fuse else "unfused"]
        words += [f"threads={self.threads}", f"claim={self.claim}"]
        return ",".join([*words, "resized"] if self.resized else words)


def kernels() -> list[str]:
    """The kernels that this machine can run."""
    able = []
    for name in library.KERNELS:
        try:
            r2b_runtime.delegate(kernel=name)
        except r2b_runtime.InputError:
            continue
        able.append(name)
    return able


def settings(
    able: Sequence[str], batch: int = 1, claims: bool = False
) -> list[Setting]:
    """What a case is run with."""
    found = [
        Setting(*choice) for choice in itertools.product(able, (True, False), (1, 2))
    ]
    # More threads than some maps have rows.
    found += [Setting(able[-1], threads=threads) for threads in (3, 4)]
    if claims:
        found += [Setting(kernel, claim="binary") for kernel in able]
    if batch > 1:
        found += [Setting(kernel, threads=2, resized=True) for kernel in able]
    return found


def load(content: bytes, setting: Setting) -> Interpreter:
    delegate = r2b_runtime.delegate(setting.kernel, setting.fuse, setting.claim)
    return Interpreter(
        model_content=content,
        num_threads=setting.threads,
        experimental_delegates=[delegate],
        experimental_op_resolver_type=RESTS[setting.rest],
    )


def outputs(
    content: bytes, inputs: Sequence[np.ndarray], setting: Setting
) -> list[np.ndarray]:
    """What LiteRT returns; fails where the delegate left a binary operator."""
    interpreter = load(content, setting)
    if setting.resized:
        resize(interpreter, inputs)
    interpreter.allocate_tensors()
    return run(interpreter, inputs)


def explained(
    content: bytes, inputs: Sequence[Sequence[np.ndarray]], setting: Setting
) -> tuple[list[np.ndarray], str]:
    """What LiteRT returns for the last of the inputs, and what the delegate does."""
    delegate = library.delegate(setting.kernel, setting.fuse)
    interpreter = Interpreter(
        model_content=content,
        num_threads=setting.threads,
        experimental_delegates=[delegate],
    )
    interpreter.allocate_tensors()
    found = [run(interpreter, values) for values in inputs]
    return found[-1], library.explanation(delegate)


def alone(content: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What LiteRT computes by itself, without XNNPACK."""
    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=RESTS["litert"]
    )
    interpreter.allocate_tensors()
    return run(interpreter, inputs)


def resize(interpreter: Interpreter, inputs: Sequence[np.ndarray]) -> None:
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.resize_tensor_input(detail["index"], values.shape)


def run(interpreter: Interpreter, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    ]


def batch_of(case: Case) -> int:
    """The batch that a case can be resized to; 1 where it cannot."""
    # What a word is unpacked to is written in the file only.
    return 1 if isinstance(case, Dequantization) else case.inputs()[0].shape[0]


def wrong_runs(case: Case, able: Sequence[str], answer: str) -> Iterator[str | None]:
    """For each run of a case what is wrong with it, None where nothing is."""
    inputs, batch = case.inputs(), batch_of(case)
    contents = {False: case.content(), True: case.content(batch=1)}
    for setting in settings(able, batch, claims=case.kind == "block"):
        try:
            found = digest(outputs(contents[setting.resized], inputs, setting))
        except (RuntimeError, ValueError) as error:
            found = " ".join(str(error).split())
        yield None if found == answer else f"{setting} {found}"


def all_cases() -> list[Case]:
    return [*cases(), *real_cases()]


def all_answers() -> dict[str, tuple[str, str]]:
    return expected_answers() | expected_answers(REAL_FILE)


def write_real() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["case", "by", "answer"])
    for case in real_cases():
        found = outputs(case.content(), case.inputs(), Setting(library.KERNELS[0]))
        writer.writerow([case.name, library.KERNELS[0], digest(found)])


def main(first: int, step: int = 1) -> None:
    able, expected = kernels(), all_answers()
    for number, case in list(enumerate(all_cases()))[first::step]:
        runs = list(wrong_runs(case, able, expected[case.name][1]))
        for wrong in filter(None, runs):
            print(number, "wrong", wrong)
        print(number, "runs", len(runs))
        print(number, "done", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["real"]:
        write_real()
    else:
        main(*map(int, sys.argv[1:]))
