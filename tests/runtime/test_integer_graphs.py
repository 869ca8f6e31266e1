"""Integer layers against LiteRT's own kernels, to the bit; and what just is none."""

import delegate_runs
import flatbuffers
import integer_files
import numpy as np
import on_arm
import pytest
from ai_edge_litert.interpreter import Interpreter
from delegate_runs import Setting
from graph_files import GraphFile, schema
from integer_files import IntegerFile
from operator_files import are_signs

import r2b_runtime

LAYERS, MISSES = integer_files.layers(), integer_files.near_misses()
# Where sums are not exact, and where a LOGISTIC reads the numbers.
LIMITS = {"no floor": 0.1, "reader": 1e-6}
# Beyond 7 bits only some kernels are exact.
SEVEN_BITS = {"sse4", "avx2", "avx512bw"}


def run_in_litert(case: IntegerFile) -> list[np.ndarray]:
    return delegate_runs.alone(case.content(signs=False), case.inputs())


def run_with_delegate(
    case: IntegerFile, setting: Setting
) -> tuple[list[np.ndarray], str]:
    return delegate_runs.explained(case.content(), [case.inputs()], setting)


def settings() -> list[Setting]:
    able = delegate_runs.kernels()
    fused = [Setting(kernel, True, threads) for kernel in able for threads in (1, 2)]
    return [*fused, Setting(able[-1], fuse=False)]


def check(case: IntegerFile, setting: Setting, wanted: list[np.ndarray]) -> str:
    found, steps = run_with_delegate(case, setting)
    for ours, theirs in zip(found, wanted, strict=False):
        limit = LIMITS.get(case.twist, 0.0)
        text = f"{case.name}, {setting}"
        np.testing.assert_allclose(ours, theirs, 0, limit, err_msg=text)
    assert are_signs(found[-1], found[0]) or case.twist == "NaN", case.name
    return steps


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.name)
def test_layers_are_those_of_litert(case):
    wanted = run_in_litert(case)
    for setting in settings():
        steps = check(case, setting, wanted)
        assert ("integer" in steps) == setting.fuse, (setting, steps)
        if not setting.fuse:
            continue
        assert "real" not in steps and "  dense" not in steps, steps
        # All of the layer in one pass, or in two with the quantization.
        assert len(steps.splitlines()) <= 3 + (case.source == "quantized"), steps


@pytest.mark.parametrize("case", MISSES, ids=lambda case: case.name)
def test_near_misses_run_in_floats(case):
    wanted = run_in_litert(case)
    for setting in settings():
        assert "integer" not in check(case, setting, wanted), setting


def test_a_stem_is_one_pass_over_the_picture():
    _, steps = run_with_delegate(LAYERS[0], Setting("portable"))
    (line,) = [line for line in steps.splitlines() if "integer" in line]
    assert line.strip().startswith(
        "integer convolution + factor + addend + max pool + PReLU"
    )


def test_weights_of_eight_bits_are_taken_where_they_are_exact():
    """Two products of 255 by 127 are more than the 16 bits of some kernels."""
    case = integer_files._of(LAYERS[0], "eight bits", weight=127, channels_out=9)
    wanted = run_in_litert(case)
    for kernel in delegate_runs.kernels():
        steps = check(case, Setting(kernel), wanted)
        assert ("integer" in steps) == (kernel not in SEVEN_BITS), kernel


@pytest.mark.parametrize("setting", settings()[:2], ids=str)
def test_a_wrong_answer_is_noticed(setting):
    wanted = run_in_litert(LAYERS[0])
    wanted[0] = np.nextafter(wanted[0], np.float32(np.inf))
    with pytest.raises(AssertionError, match="stem"):
        check(LAYERS[0], setting, wanted)


def test_what_boards_are_checked_by(monkeypatch):
    assert on_arm.integers(0, 30) == []
    right = delegate_runs.alone

    def wrong(*given):
        return [right(*given)[0] + np.float32(1e-3)]

    monkeypatch.setattr(delegate_runs, "alone", wrong)
    found = on_arm.integers(0, 30)
    assert len(found) == len(delegate_runs.kernels()) * len(LAYERS[::30])


class EmptyBuffer:
    """Content of no bytes, which the file says is there."""

    def Pack(self, builder: flatbuffers.Builder) -> int:
        builder.StartVector(1, 0, 16)
        place = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, place)
        return schema.BufferEnd(builder)


@pytest.mark.parametrize("fuse", [True, False])
def test_a_picture_without_channels(fuse):
    """Divided by their number, a file of 1 KB would end the process."""
    file = GraphFile()
    image = file.input("float", (1, 32))
    signs = file.custom("LceQuantize", [image], file.tensor("packed", (1, 1)))
    picture = file.input("uint8", (1, 0))
    x = file.builtin("CAST", [picture], file.tensor("float", (1, 0)))
    file.model.buffers.append(EmptyBuffer())
    zeros = file.tensor("float", (0,), buffer=len(file.model.buffers) - 1)
    x = file.builtin("SUB", [x, zeros], file.tensor("float", (1, 0)))
    weights = file.constant("float", np.ones((3, 2)))
    scores = file.tensor("float", (0, 3))
    file.builtin("FULLY_CONNECTED", [x, weights, -1], scores)
    options = r2b_runtime.delegate(fuse=fuse)
    network = Interpreter(
        model_content=file.content(scores, signs), experimental_delegates=[options]
    )
    network.allocate_tensors()
    network.invoke()
    assert network.get_tensor(network.get_output_details()[0]["index"]).size == 0
