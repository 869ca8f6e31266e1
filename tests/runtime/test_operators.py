"""Every binary operator, set in every way, in every kernel, on 1 and 2 threads.

The sweep has more than 2,000 cases. What is right stands in `expected_answers.csv`, so
that machines without Larq Compute Engine can compare; here it is compared with what its
interpreter answers, with NumPy, and with the delegate.
"""

import collections
import pathlib
import sys

import answers
import delegate_runs
import numpy as np
import operator_sweep
import pytest
from block_files import HalfBlocks
from operator_files import Convolution, Dequantization, Pooling, Quantization
from operator_reference import expected

HERE = pathlib.Path(__file__).parent
CASES = operator_sweep.cases()
CONVOLUTIONS = [case for case in CASES if isinstance(case, Convolution)]
ANSWERS = answers.expected_answers()


def test_the_cases_are_those_of_the_file():
    """Fixed, like the seed: other machines draw the same cases."""
    print(f"seed: {operator_sweep.SEED!r}")
    assert [case.name for case in CASES] == list(ANSWERS)


def fields(case):
    found = vars(case).copy()
    if "size" in found:
        found |= dict(zip(("batch", "height", "width"), case.size, strict=True))
    return found


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Convolution, operator_sweep.CONVOLUTION),
        (Pooling, operator_sweep.POOLING),
        (HalfBlocks, operator_sweep.BLOCKS),
    ],
)
def test_all_values_of_all_fields_occur(kind, values):
    found = [fields(case) for case in CASES if isinstance(case, kind)]
    for field, wanted in values.items():
        seen = collections.Counter(case[field] for case in found)
        assert not set(wanted) - set(seen), f"{field}: {seen}"
        assert min(seen[value] for value in wanted) >= 3, f"{field}: {seen}"


def test_signs_zero_points_and_ranks_occur():
    sources = [case for case in CASES if isinstance(case, Quantization)]
    targets = [case for case in CASES if isinstance(case, Dequantization)]
    assert {case.source for case in sources} == {"float", "int8", "bool"}
    assert {case.target for case in targets} == {"float", "int8", "bool"}
    for cases in (sources, targets):
        assert {len(case.shape) for case in cases} == {2, 3, 4, 5}
        assert {-128, 0, 127} <= {case.zero_point for case in cases}
    special = [case.inputs()[0] for case in sources if case.values == "special"]
    values = np.concatenate([values.ravel() for values in special])
    bits = {float(x).hex() for x in values} | {str(np.signbit(x)) for x in values}
    for wanted in Quantization.SPECIAL:
        assert float(wanted).hex() in bits
    assert np.signbit(values[values == 0]).any()


def cannot_meet(pair):
    """Whether two values of fields exclude each other."""
    chosen = dict(pair)
    output, values = chosen.get("output"), chosen.get("values")
    if output is None and chosen.get("quantization", (1.0, 0)) != (1.0, 0):
        output = "int8"
    if output is None and chosen.get("activation", "none") != "none":
        # A packed output has none.
        return values in Convolution.VALUES["packed"]
    if output is None:
        return False
    if values is not None and values not in Convolution.VALUES[output]:
        return True
    scaled = chosen.get("quantization", (1.0, 0)) != (1.0, 0)
    active = chosen.get("activation", "none") != "none"
    return (scaled and output != "int8") or (active and output == "packed")


@pytest.mark.parametrize(
    ("kind", "values", "important"),
    [
        (Convolution, operator_sweep.CONVOLUTION, operator_sweep.IMPORTANT),
        (Pooling, operator_sweep.POOLING, operator_sweep.POOLING_IMPORTANT),
        (HalfBlocks, operator_sweep.BLOCKS, tuple(operator_sweep.BLOCKS)[3:]),
    ],
)
def test_every_two_values_meet_in_a_case(kind, values, important):
    """Where they can: a skip connection needs maps of one size, for example."""
    met = set()
    for case in CASES:
        if isinstance(case, kind):
            met |= operator_sweep.pairs_of(case, important)
    never = [
        pair for pair in operator_sweep.pairs(values, important) if pair not in met
    ]
    excluded = [
        pair for pair in operator_sweep.pairs(values, important) if cannot_meet(pair)
    ]
    if kind is HalfBlocks:
        excluded = [(("padding", "valid"), ("skip", True))]
    assert sorted(never, key=str) == sorted(
        excluded if kind is not Pooling else [], key=str
    )


def test_numpy_answers_the_same():
    """Independent of any engine, rounding step by step."""
    wrong = [
        case.name
        for case in CASES
        if answers.digest(expected(case)) != ANSWERS[case.name][1]
    ]
    assert not wrong, f"{len(wrong)} of {len(CASES)}: {wrong[:10]}"


@pytest.mark.slow
def test_lce_answers_the_same():
    """Its interpreter, with each of its kernels that takes a case and is right."""
    command = [sys.executable, str(HERE / "answers.py"), "lce"]
    runs, wrong = 0, []
    for number, kernel, *rest in answers.resumed(command, len(CASES)):
        case = CASES[int(number)]
        runs += 1
        if rest != [ANSWERS[case.name][1]]:
            wrong.append(f"{case.name} {kernel} {' '.join(rest)}")
    assert runs > 4000
    assert not wrong, f"{len(wrong)} of {runs}: {wrong[:10]}"


def refuses(case, kernel):
    counted = case.output != "float" or case.activation != "none"
    zeros = case.padding == "zeros"
    if kernel == "reference":
        return zeros and case.channels_in % 2 == 1
    return (zeros and counted) or (kernel == "default" and case.groups > 1)


def test_kernels_of_lce_that_are_not_followed(capfd):
    """They refuse, or round what zeros change differently, or get small maps wrong."""
    num_refused = num_wrong = 0
    for case in CONVOLUTIONS[::2]:
        for kernel in set(answers.LCE_KERNELS) - set(answers.lce_kernels(case)):
            try:
                (found,) = answers.lce_outputs(case, kernel)
                refused = False
            except RuntimeError:
                refused = True
            assert refused == refuses(case, kernel), f"{case.name} {kernel}"
            num_refused += refused
            if not refused:
                assert case.padding == "zeros" and case.output == "float"
                num_wrong += not np.allclose(found, expected(case)[0], 1e-4, 1e-4)
    capfd.readouterr()
    assert num_refused > 300 and num_wrong > 3


def test_small_maps_are_as_in_the_reference_kernel_of_lce():
    """Where only NumPy is right to the bit: the sums are the same, the rounding not."""
    small = [
        case
        for case in CONVOLUTIONS
        if not answers.lce_kernels(case) and case.channels_in % 2 == 0
    ]
    assert len(small) > 20
    for case in small:
        (found,), (wanted,) = answers.lce_outputs(case, "reference"), expected(case)
        # Five roundings of numbers that are at most this large.
        multipliers, biases = np.abs(case.multipliers())
        largest = (2 * case.depth * multipliers + biases).max()
        limit = 5 * np.finfo(np.float32).eps * largest + np.finfo(np.float32).tiny
        np.testing.assert_allclose(found, wanted, rtol=0, atol=limit, err_msg=case.name)


# The tenth of the cases that is quick; neighbours share most settings. In it is the one
# with more words than kernels count at a time.
QUICK = 2


@pytest.mark.parametrize(
    "first",
    [k if k == QUICK else pytest.param(k, marks=pytest.mark.slow) for k in range(10)],
)
def test_the_delegate_answers_the_same(first):
    """With every kernel of this machine, fused or not, on 1 to 4 threads, resized.

    Real-valued operators are among the cases, see `test_real_operators.py`.
    """
    command = [sys.executable, str(HERE / "delegate_runs.py")]
    cases = delegate_runs.all_cases()
    lines = list(answers.resumed(command, len(cases), first, 10))
    runs = {number: int(rest[0]) for number, what, *rest in lines if what == "runs"}
    wrong = collections.defaultdict(list)
    for number, what, *rest in lines:
        if what != "runs":
            wrong[cases[int(number)].name].append(" ".join([what, *rest]))
    print(f"{sum(runs.values())} runs, kernels {delegate_runs.kernels()}")
    assert not wrong, f"{len(wrong)} of {len(cases)}: {list(wrong.items())[:5]}"
    assert len(runs) == len(cases[first::10]) and min(runs.values()) >= 4
