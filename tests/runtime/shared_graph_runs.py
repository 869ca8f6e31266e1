"""Runs random graphs fused and not, in threads, and in LiteRT's or LCE's own kernels.

    python tests/runtime/shared_graph_runs.py FIRST [STEP [END]]

Prints for each graph what differs, the steps that the delegate made of it, and "done".
"""

import sys
from collections.abc import Iterator, Sequence

import delegate_runs
import numpy as np
from answers import digest
from delegate_runs import Setting
from operator_files import are_signs
from shared_graphs import SharedGraph

NUM_GRAPHS = 4000


def settings(number: int, able: Sequence[str]) -> list[Setting]:
    """The first is the one that is compared with another engine; kernels take turns."""
    kernel = able[number % len(able)]
    ways = [(True, 1), (False, 1), (True, 2), (True, 4)]
    return [Setting(kernel, *way) for way in ways]


def delegate_outputs(
    graph: SharedGraph, setting: Setting, steps: set[str]
) -> list[np.ndarray]:
    """The outputs for the second inputs, after a run with the first."""
    found, text = delegate_runs.explained(graph.content, graph.inputs, setting)
    lines = text.splitlines()
    steps.update(line.split("  [")[0].strip() for line in lines if line[0] == " ")
    return found


def reference_outputs(graph: SharedGraph) -> list[np.ndarray]:
    """What kernels of others compute: LiteRT's, and where it cannot, LCE's."""
    if graph.is_binary:
        from larq_compute_engine.tflite.python.interpreter import Interpreter as Lce

        # Its reference kernel is the one that is right for all paddings and maps.
        interpreter = Lce(graph.plain, use_reference_bconv=True)
        found = interpreter.interpreter.predict(graph.inputs[1])
        return found if isinstance(found, list) else [found]
    return delegate_runs.alone(graph.plain, graph.inputs[1])


def differences(
    graph: SharedGraph, found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]
) -> Iterator[str]:
    """One word for each output that is not what the other engine has."""
    results, signs = found[: len(wanted)], found[len(wanted) :]
    for place, (ours, theirs, error) in enumerate(
        zip(results, wanted, graph.errors, strict=True)
    ):
        if ours.shape != theirs.shape:
            yield f"output={place},{ours.shape}!={theirs.shape}"
            continue
        distance = np.abs(ours.astype(np.float64) - theirs)
        if not (distance <= error).all():
            share = np.mean(~(distance <= error))
            yield f"output={place},share={share:.3f},largest={distance.max():.3g}"
    for packed, place in zip(signs, graph.signs, strict=True):
        if not are_signs(packed, found[place]):
            yield f"signs={place}"


def examine(number: int, able: Sequence[str], steps: set[str]) -> Iterator[str]:
    graph = SharedGraph(number)
    chosen = settings(number, able)
    found = [delegate_outputs(graph, setting, steps) for setting in chosen]
    for setting, outputs in zip(chosen[1:], found[1:], strict=True):
        if digest(outputs) != digest(found[0]):
            yield f"{setting}"
    yield from differences(graph, found[0], reference_outputs(graph))


def main(first: int, step: int = 1, end: int = NUM_GRAPHS) -> None:
    able = delegate_runs.kernels()
    for number in range(first, end, step):
        steps: set[str] = set()
        for what in examine(number, able, steps):
            print(number, "wrong", what)
        print(number, "steps", "; ".join(sorted(steps)))
        print(number, "done", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
