"""Integer layers against LiteRT's own kernels, to the bit; and what just is none."""

import delegate_runs
import integer_files
import numpy as np
import pytest
from delegate_runs import Setting
from integer_files import IntegerFile
from operator_files import are_signs

LAYERS, MISSES = integer_files.layers(), integer_files.near_misses()
# Where sums are not exact, and where a LOGISTIC reads the numbers.
LIMITS = {"no floor": 0.1, "reader": 1e-6}
# Beyond 7 bits only some kernels are exact.
SEVEN_BITS = {"sse4", "avx2", "avx512bw", "neon"}


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
