"""Limits of steps: counted by hand, the fastest round, steps that nobody knows."""

import pytest

from r2b_runtime.profiling import Step


@pytest.fixture(scope="module")
def limits(load):
    return load("step_limits")


BINARY = "binary convolution + factor + skip"


@pytest.mark.parametrize(
    ("title", "kind"),
    [
        (BINARY, "binary"),
        ("integer convolution + factor + addend + max pool", "integer"),
        ("integer dense layer + factor", "integer"),
        ("real convolution", "real"),
        ("dense layer", "real"),
    ],
)
def test_kinds_of_steps(limits, title, kind):
    assert limits.kind_of(title) == kind


def test_a_step_that_multiplies_unknown_numbers_is_refused(limits):
    step = Step("ternary convolution + skip", 1, 1.0, 10, 0)
    with pytest.raises(ValueError, match="'ternary convolution.*' multiplies"):
        limits.limit_ms(step, "avx512", 4.0)


def test_rows_have_the_fastest_round_and_its_limit(limits):
    # 4.096e9 bits at 1,024 a cycle and 4 GHz: a millisecond.
    slow = [Step(BINARY, 3, 4.0, 4_096_000_000, 9), Step("logistic", 1, 0.5, 0, 9)]
    fast = [Step(BINARY, 3, 2.0, 4_096_000_000, 9), Step("logistic", 1, 0.7, 0, 9)]
    convolution, logistic, everything = limits.to_rows([slow, fast], "avx512", 4.0)
    assert convolution == {
        "kernel": "avx512",
        "step": f"3 x {BINARY}",
        "ms": 2.0,
        "limit_ms": 1.0,
        "share_of_limit": 0.5,
    }
    assert (logistic["ms"], logistic["share_of_limit"]) == (0.5, "")
    assert (everything["step"], everything["ms"]) == ("all", 2.5)
    assert everything["share_of_limit"] == 0.4


def test_rounds_of_different_steps_are_no_table(limits):
    with pytest.raises(ValueError, match="zip"):
        limits.to_rows([[Step("logistic", 1, 1.0, 0, 9)], []], "avx512", 4.0)
