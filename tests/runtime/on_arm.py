"""Operators, layers, damaged files and networks on a machine without TensorFlow.

    python tests/runtime/on_arm.py sweep [FIRST STEP]
    python tests/runtime/on_arm.py integers [FIRST STEP]
    python tests/runtime/on_arm.py damaged [FIRST STEP]
    python tests/runtime/on_arm.py models FOLDER

Needs NumPy, LiteRT and r2b_runtime, as an Arm userland under emulation has them, and
starts no process: FIRST and STEP share the cases among several, 0 2 and 1 2. FOLDER is
what `model_files.py` and `model_runs.py` wrote on x86. Prints a line for a group; the
exit code is 1 where anything is wrong; the process dies where the delegate crashes.
"""

import collections
import pathlib
import platform
import sys
import time
from dataclasses import replace

import damaged_files
import delegate_runs
import integer_files
import model_runs
import numpy as np
from delegate_runs import Setting


def sweep(first: int, step: int) -> list[str]:
    """Every case with every kernel, against what Larq Compute Engine answered.

    Real-valued operators against what the delegate answered on x86.
    """
    able, expected = delegate_runs.kernels(), delegate_runs.all_answers()
    wrong: list[str] = []
    groups: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0, 0])
    for case in delegate_runs.all_cases()[first::step]:
        runs = list(delegate_runs.wrong_runs(case, able, expected[case.name][1]))
        found = [f"{case.name} {problem}" for problem in runs if problem]
        wrong += found
        for place, count in enumerate((1, len(runs), len(found))):
            groups[case.kind][place] += count
    for kind, (num_cases, num_runs, num_wrong) in groups.items():
        print(f"{kind}: {num_cases} cases, {num_runs} runs, {num_wrong} wrong")
    return wrong


def integers(first: int, step: int) -> list[str]:
    """Integer layers with every kernel, against LiteRT's own, to the bit."""
    able, wrong = delegate_runs.kernels(), []
    layers = integer_files.layers()[first::step]
    for layer in layers:
        (wanted, *_) = delegate_runs.alone(layer.content(signs=False), layer.inputs())
        for kernel in able:
            setting = Setting(kernel, threads=2)
            (found, *_), steps = delegate_runs.explained(
                layer.content(), [layer.inputs()], setting
            )
            # Weights of these are of 7 bits, which all kernels take.
            if "integer" not in steps or not np.array_equal(found, wanted):
                wrong.append(f"{layer.name} {setting}: {steps}")
    print(f"integers: {len(layers)} layers, {len(wrong)} wrong")
    return wrong


def damaged(first: int, step: int) -> list[str]:
    """Files that no converter writes."""
    setting = Setting(delegate_runs.kernels()[0], threads=2)
    files, wrong = damaged_files.damages()[first::step], []
    for damage in files:
        found = damaged_files.outcome(damage, setting)
        if damage.refused is not None and found.startswith("ran") == damage.refused:
            wrong.append(f"{damage.name}: {found}")
    print(f"damaged: {len(files)} files, {len(wrong)} wrong")
    return wrong


def models(folder: str) -> list[str]:
    """Whole networks, against x86: to the bit where the delegate computes all of it."""
    wrong = []
    for name in model_runs.names(pathlib.Path(folder)):
        model = model_runs.stored(pathlib.Path(folder), name)
        there = np.load(pathlib.Path(folder) / f"{name}.npy")
        farthest = 0.0
        for setting in map(model.same_everywhere, delegate_runs.kernels()):
            for each in (setting, replace(setting, fuse=False, threads=2)):
                here = model.run(each)
                far = float(np.abs(here.astype(np.float64) - there).max())
                farthest = max(farthest, far)
                if far > model.limit() or not model.same_classes(here, there):
                    wrong.append(f"{name} {each}: {far:.3g} from x86")
        words = f"at most {farthest:.2g} from x86, {model.limit():.2g} allowed"
        print(f"{name}: {len(model.images)} images, {words}")
    return wrong


GROUPS = {"sweep": sweep, "integers": integers, "damaged": damaged}


def main(group: str, *arguments: str) -> int:
    print(f"{group} on {platform.machine()}, kernels {delegate_runs.kernels()}")
    start = time.monotonic()
    if group == "models":
        wrong = models(*arguments)
    else:
        first, step = map(int, arguments or ("0", "1"))
        wrong = GROUPS[group](first, step)
    for line in wrong[:20]:
        print("WRONG", line)
    print(f"{group}: {len(wrong)} wrong, {time.monotonic() - start:.0f} s", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    if not sys.argv[1:] or sys.argv[1] not in {*GROUPS, "models"}:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
