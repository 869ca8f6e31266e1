"""A number for a whole tensor, and what is taken off: in the pass of the neighbours."""

import delegate_runs
import numpy as np
import pytest
from delegate_runs import Setting
from graph_files import GraphFile, num_words
from operator_files import are_signs
from steady_numbers import SteadyNumbers

CHANNELS = 34
SIZE = (2, 5, 4, CHANNELS)
FUSED, ALONE = (Setting(delegate_runs.kernels()[-1], fuse) for fuse in (True, False))


def with_constants(*operators, signs=True):
    """Each operator with its constant, which is the second input or the first.

    The delegate runs a file with the signs of the result, LiteRT alone one without.
    """
    file = GraphFile()
    x = file.input("float", SIZE)
    for name, constant, is_second in operators:
        pair = [x, file.constant("float", np.array(constant, np.float32))]
        pair = pair if is_second else pair[::-1]
        x = file.builtin(name, pair, file.tensor("float", SIZE))
    if not signs:
        return file.content(x)
    packed = file.tensor("packed", (*SIZE[:3], num_words(CHANNELS)))
    return file.content(x, file.custom("LceQuantize", [x], packed))


def images(*size):
    return SteadyNumbers("constants").floats(-9, 9, *size)


def steps_of(*operators, x):
    """The steps of these operators, of which the last takes the signs.

    Checked against one operator after the other, and against LiteRT's.
    """
    content = with_constants(*operators)
    (found, signs), text = delegate_runs.explained(content, [[x]], FUSED)
    (alone, _) = delegate_runs.outputs(content, [x], ALONE)
    (wanted,) = delegate_runs.alone(with_constants(*operators, signs=False), [x])
    np.testing.assert_array_equal(found.view("<u4"), alone.view("<u4"))
    np.testing.assert_array_equal(found, wanted)
    assert are_signs(signs, found)
    return [line.split("  [")[0].strip() for line in text.splitlines()[1:]]


VECTOR = np.linspace(-2, 2, CHANNELS)
ONE = {"a scalar": 0.3, "one number": [0.3], "four axes": [[[[0.3]]]], "each": VECTOR}


@pytest.mark.parametrize("constant", ONE.values(), ids=ONE)
@pytest.mark.parametrize("is_second", [True, False])
@pytest.mark.parametrize("name", ["ADD", "MUL"])
def test_a_constant_belongs_to_a_pass(name, constant, is_second):
    follows = ("MUL" if name == "ADD" else "ADD", 1.7, True)
    steps = steps_of((name, constant, is_second), follows, x=images(*SIZE))
    # A factor comes before an addend in a pass.
    wanted = {
        "MUL": ["pass + factor + addend + sign"],
        "ADD": ["pass + addend", "pass + factor + sign"],
    }
    assert steps == wanted[name]


@pytest.mark.parametrize("constant", ONE.values(), ids=ONE)
def test_what_is_taken_off_is_an_addend(constant):
    steps = steps_of(("MUL", 0.7, False), ("SUB", constant, True), x=images(*SIZE))
    assert steps == ["pass + factor + addend + sign"]


@pytest.mark.parametrize("zero", [0.0, -0.0])
@pytest.mark.parametrize("constant", [0.0, -0.0])
def test_signs_of_zeros_are_kept(constant, zero):
    x = images(*SIZE)
    x[..., ::2] = zero
    assert steps_of(("SUB", constant, True), x=x) == ["pass + addend + sign"]


@pytest.mark.parametrize(
    ("constant", "is_second"),
    [(0.3, False), (VECTOR, False), (np.nan, True), ([*VECTOR[1:], np.nan], True)],
)
def test_what_a_turned_sign_would_show_stays_a_difference(constant, is_second):
    content = with_constants(("SUB", constant, is_second))
    _, text = delegate_runs.explained(content, [[images(*SIZE)]], FUSED)
    assert "  difference" in text and "addend" not in text


def test_one_number_fits_whatever_the_channels_become():
    content = with_constants(("MUL", 0.7, True), ("SUB", [0.3], True))
    interpreter = delegate_runs.load(content, FUSED)
    for size in (SIZE, (1, 3, 3, 70), (2, 5, 4, 3)):
        x = images(*size)
        interpreter.resize_tensor_input(
            interpreter.get_input_details()[0]["index"], size
        )
        interpreter.allocate_tensors()
        found, _ = delegate_runs.run(interpreter, [x])
        np.testing.assert_array_equal(found, x * np.float32(0.7) - np.float32(0.3))
