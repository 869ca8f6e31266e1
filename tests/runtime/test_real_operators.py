"""Real-valued operators that the delegate takes over, against LiteRT's own kernels.

That all kernels of the delegate give the same bits, those of the file, is tested with
the binary operators: `test_the_delegate_answers_the_same`.
"""

import collections
import re

import answers
import delegate_runs
import model_list
import numpy as np
import pytest
import real_files
from delegate_runs import Setting
from graph_files import GraphFile
from operator_files import are_signs

from r2b_runtime import library

CASES = real_files.real_cases()
KERNEL = delegate_runs.kernels()[-1]


def test_the_cases_are_those_of_the_file():
    print(f"seed: {real_files.SEED!r}")
    found = answers.expected_answers(delegate_runs.REAL_FILE)
    assert [case.name for case in CASES] == list(found)
    counts = collections.Counter(case.operator for case in CASES)
    # Constants as DEQUANTIZE makes them are in the whole networks.
    assert set(counts) == model_list.CLAIMED - model_list.BINARY - {"DEQUANTIZE"}
    assert min(counts.values()) >= 12 and sum(counts.values()) > 500


def run_with_delegate(case):
    """The values and their signs, and the numbers of the nodes that were claimed."""
    (values, signs), text = delegate_runs.explained(
        case.content(), [case.inputs()], Setting(KERNEL)
    )
    places = re.findall(r"\[([\d ]+)\]", text)
    return values, signs, {int(n) for place in places for n in place.split()}


@pytest.mark.parametrize("operator", sorted({case.operator for case in CASES}))
def test_values_are_those_of_litert(operator):
    """To the bit where nothing is added up, else within a rounding for each term.

    Terms are products of numbers up to 2 and 1; sums of them run in another order.
    """
    for case in CASES:
        if case.operator != operator:
            continue
        (wanted,) = delegate_runs.alone(case.content(signs=False), case.inputs())
        found, signs, claimed = run_with_delegate(case)
        assert claimed == {0, 1}, case.name
        limit = 0 if operator in case.EXACT else 2.0**-23 * 4 * case.terms()
        np.testing.assert_allclose(found, wanted, 0, limit, err_msg=case.name)
        assert are_signs(signs, found), case.name


def test_a_slope_of_more_dimensions_than_the_input_has():
    """XNNPACK gives its output as many; LiteRT's own kernel takes no such slope."""
    file = GraphFile()
    x = file.input("float", (2, 3))
    slope = file.constant("float", np.full((1, 1, 3), 0.25))
    y = file.builtin("PRELU", [x, slope], file.tensor("float", (1, 2, 3)))
    signs = file.custom("LceQuantize", [x], file.tensor("packed", (2, 1)))
    inputs = [np.array([[-4, 8, -12], [16, -20, 24]], np.float32)]
    found, _ = delegate_runs.outputs(file.content(y, signs), inputs, Setting(KERNEL))
    np.testing.assert_array_equal(found, [[[-1, 8, -3], [16, -5, 24]]])
    assert found.shape == (1, 2, 3)


def test_a_kernel_that_does_not_exist_is_refused():
    with pytest.raises(library.InputError, match="kernel"):
        delegate_runs.load(CASES[0].content(), Setting("sse"))
