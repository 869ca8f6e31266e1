"""What makes the whole numbers of an integer layer of floats: any shift, any limits.

Most layers have the identity for weights and return these numbers themselves. Beside
the right ones stand those that a wrong kernel would give: the inputs tell all apart.
"""

from collections.abc import Callable, Sequence

import delegate_runs
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from layer_files import (
    CHANNELS,
    SETTINGS,
    UNFUSED,
    LayerFile,
    Step,
    check,
    identity,
    neighbourhoods,
)
from steady_numbers import SteadyNumbers

LOWEST, HIGHEST = -127, 127
SCALE = np.float32(0.7071)
SHIFTS = (0.5, 0.0, -0.0, 0.25, 0.49999997, 1.0, -0.5, -3.75, 96.3, 2.0**20 + 0.25)
Rounding = Callable[[np.ndarray, np.float32], np.ndarray]


def limited(y: np.ndarray) -> np.ndarray:
    return np.clip(y, np.float32(LOWEST), np.float32(HIGHEST))


def right(x: np.ndarray, shift: np.float32) -> np.ndarray:
    return limited(np.floor(x * SCALE + shift))


def in_one_rounding(x: np.ndarray, shift: np.float32) -> np.ndarray:
    exact = x.astype(np.longdouble) * np.longdouble(SCALE) + np.longdouble(shift)
    return limited(np.floor(exact.astype(np.float32)))


WRONG: dict[str, Rounding] = {
    "always a half": lambda x, shift: right(x, np.float32(0.5)),
    "no shift": lambda x, shift: right(x, np.float32(0)),
    "shift taken away": lambda x, shift: right(x, -shift),
    "shift before the scale": lambda x, shift: limited(np.floor((x + shift) * SCALE)),
    "limits before the shift": lambda x, shift: np.floor(limited(x * SCALE) + shift),
    "multiply-add": in_one_rounding,
    "in doubles": lambda x, shift: limited(
        np.floor(x.astype(np.float64) * SCALE + shift)
    ),
    "to the nearest": lambda x, shift: limited(np.rint(x * SCALE + shift)),
    "towards zero": lambda x, shift: limited(np.trunc(x * SCALE + shift)),
    "upwards": lambda x, shift: limited(np.ceil(x * SCALE + shift)),
    "to the nearest of the product": lambda x, shift: limited(np.rint(x * SCALE)),
}


def same_as_right(shift: float) -> set[str]:
    """The ways that are no others with this shift."""
    alike = {"always a half"} if shift == 0.5 else set()
    if 0 <= shift < 1:
        alike |= {"limits before the shift"}
    if shift == 0:
        alike |= {"no shift", "shift taken away", "shift before the scale"}
        alike |= {"multiply-add"}
    return alike


def values_beside_steps(shift: float) -> np.ndarray:
    """Where the whole number changes, and the floats beside that; [1, 2, W, 3]."""
    numbers = SteadyNumbers(f"beside steps {shift}")
    whole = np.arange(LOWEST - 3, HIGHEST + 4, dtype=np.float64)
    middle = ((whole - np.float32(shift)) / SCALE).astype(np.float32)
    values = [middle]
    for to in (-np.inf, np.inf):
        near = middle
        for _ in range(2):
            near = np.nextafter(near, np.float32(to))
            values.append(near)
    values.append(numbers.floats(-300, 300, 400) - np.float32(shift) / SCALE)
    values.append(np.array([np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0], np.float32))
    flat = np.concatenate(values).astype(np.float32)
    # LiteRT's own kernels keep what is too small for full precision.
    flat[np.abs(flat) < np.finfo(np.float32).tiny] = 0
    # Rows that no vector ends with.
    width = len(flat) // 6
    flat = flat[len(flat) - 6 * width :]
    return flat.reshape(1, 2, width, CHANNELS)


def quantized(
    shape: Sequence[int], shift: float, constant_first: bool = False
) -> tuple[bytes, bytes]:
    file = LayerFile()
    steps = [("MUL", SCALE), ("ADD", shift), ("FLOOR", None)]
    steps += [("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)]
    # A limit that is second replaces NaN, one that is first does not.
    x = file.steps(file.input("float", shape), steps[:2], constant_first)
    return file.files(file.layer(file.steps(x, steps[2:]), identity()))


@pytest.mark.parametrize("shift", SHIFTS)
def test_any_shift(shift):
    values = values_beside_steps(shift)
    wanted = right(values, np.float32(shift))
    assert {LOWEST, HIGHEST} < set(wanted.flat)
    check(quantized(values.shape, shift), values, wanted)


@pytest.mark.parametrize("shift", SHIFTS)
def test_other_roundings_are_told_apart(shift):
    values = values_beside_steps(shift)
    wanted = right(values, np.float32(shift))
    with np.errstate(over="ignore"):
        alike = {
            name
            for name, rounding in WRONG.items()
            if np.array_equal(rounding(values, np.float32(shift)), wanted)
        }
    assert alike == same_as_right(shift)


@pytest.mark.parametrize("scale", [-0.33, 1.0, 0.0, -0.0, 1e30, np.inf, np.nan])
@pytest.mark.parametrize("shift", [0.5, -1.0])
def test_any_scale(scale, shift):
    """NaN of infinity times zero too."""
    file = LayerFile()
    values = values_beside_steps(shift)
    x = file.input("float", values.shape)
    steps = [("MUL", scale), ("ADD", shift), ("FLOOR", None)]
    x = file.steps(x, [*steps, ("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)])
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.floor(values * np.float32(scale) + np.float32(shift))
    wanted = limited(np.where(np.isnan(y), LOWEST, y))
    check(file.files(file.layer(x, identity())), values, wanted)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1, 1)], ids=str)
def test_one_number_of_any_shape_and_place(shape):
    shift = 0.25
    values = values_beside_steps(shift)
    file = LayerFile()
    x = file.input("float", values.shape)
    steps = [("MUL", SCALE), ("ADD", shift), ("FLOOR", None)]
    steps += [("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)]
    for name, number in steps:
        constant = None if number is None else np.full(shape, number)
        x = file.step(name, x, constant, name in ("MUL", "ADD"))
    wanted = right(values, np.float32(shift))
    check(file.files(file.layer(x, identity())), values, wanted)


NOT_QUANTIZED: dict[str, Sequence[Step]] = {
    "a shift for each channel": [("ADD", np.array([0.5, 0.25, 0.5])), ("FLOOR", None)],
    "a shift for each of three pixels": [
        ("ADD", np.array([0.5, 0, 1]).reshape(1, 1, 3, 1)),
        ("FLOOR", None),
    ],
    "a shift that is taken away": [("SUB", 0.25), ("FLOOR", None)],
    "no shift": [("FLOOR", None)],
    "two shifts": [("ADD", 0.25), ("ADD", 0.5), ("FLOOR", None)],
    "rounded before the shift": [("FLOOR", None), ("ADD", 0.25)],
}


@pytest.mark.parametrize("steps", NOT_QUANTIZED.values(), ids=NOT_QUANTIZED)
def test_what_is_no_shift_runs_in_floats(steps):
    """Two shifts are one quantization: the first is part of what is quantized."""
    file, shape = LayerFile(), (1, 4, 3, CHANNELS)
    values = SteadyNumbers("no shift").whole(-999, 999, *shape).astype(np.float32) / 4
    x = file.step("MUL", file.input("float", shape), 0.75)
    x = file.steps(x, [*steps, ("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)])
    check(file.files(file.layer(x, identity())), values, is_integer=False)


RELU, RELU6, ONES = ("RELU", None), ("RELU6", None), ("RELU_N1_TO_1", None)
# The limits, and what NaN is in the end; none where they are no integer layer's.
LIMITS: list[tuple[Sequence[Step], float | None]] = [
    ([("MAXIMUM", -127), ("MINIMUM", 127)], -127),
    ([("MINIMUM", 127), ("MAXIMUM", -127)], 127),
    ([("MAXIMUM", -0.0), ("MINIMUM", 10)], 0),
    ([("MAXIMUM", 0), RELU6], 0),
    ([RELU6, ("MAXIMUM", 0)], 0),
    ([RELU6, ("MAXIMUM", 3)], 3),
    ([RELU6, ("MINIMUM", 4)], 4),
    ([RELU, ("MINIMUM", 255)], 255),
    ([("MINIMUM", 255), RELU], 255),
    ([ONES, ("MAXIMUM", -1)], -1),
    ([("MAXIMUM", -3), ("MINIMUM", 9), ONES], -1),
    ([("MINIMUM", 9), ("MAXIMUM", -3), RELU6], 6),
    ([("MINIMUM", 3), ("MAXIMUM", 5)], 5),
    ([("MAXIMUM", 5), ("MINIMUM", 3)], 3),
    ([("MAXIMUM", 10), ("MINIMUM", 20), ("MINIMUM", 15)], 10),
    ([("MINIMUM", 20), ("MAXIMUM", -20), ("MINIMUM", 10)], 10),
    ([("MAXIMUM", -300), ("MINIMUM", -45), ("MAXIMUM", -50)], -50),
    ([("MAXIMUM", 1000), ("MINIMUM", 1255)], 1000),
    # What NaN becomes is neither the lowest nor the highest.
    ([RELU, ("MAXIMUM", -5), ("MINIMUM", 127)], None),
    ([RELU6, ("MINIMUM", 9)], None),
    # NaN stays.
    ([RELU6], None),
    ([ONES], None),
    # More than 8 bits, one side, no whole numbers.
    ([("MAXIMUM", -128), ("MINIMUM", 128)], None),
    ([("MAXIMUM", -127)], None),
    ([("MINIMUM", 127)], None),
    ([("MAXIMUM", -np.inf), ("MINIMUM", 127)], None),
    ([("MAXIMUM", 0.5), ("MINIMUM", 127)], None),
]


@pytest.mark.parametrize(
    ("limits", "of_nan"), LIMITS, ids=[str(steps) for steps, _ in LIMITS]
)
def test_limits_and_what_nan_becomes(limits, of_nan):
    """In the order that the file has them; the convolution is not padded."""
    shift, file = -3.75, LayerFile()
    values = values_beside_steps(shift)
    # Floats where a layer is none: NaN would be in all sums of its pixel.
    if of_nan is not None:
        values.flat[::7] = np.nan
    steps = [("MUL", SCALE), ("ADD", shift), ("FLOOR", None), *limits]
    x = file.steps(file.input("float", values.shape), steps)
    files = file.files(file.layer(x, identity(), same=False))
    wanted = None
    if of_nan is not None:
        y = np.floor(values * SCALE + np.float32(shift))
        for name, limit in limits:
            y = LIMITED_BY[name](y, limit)
        wanted = np.where(np.isnan(values), np.float32(of_nan), y)
    else:
        values[~np.isfinite(values)] = 77
        values[np.abs(values) > 1e6] = -77
    check(files, values, wanted, of_nan is not None)


LIMITED_BY = {
    "MAXIMUM": np.fmax,
    "MINIMUM": np.fmin,
    "RELU": lambda y, _: np.maximum(y, 0),
    "RELU6": lambda y, _: np.clip(y, 0, 6),
    "RELU_N1_TO_1": lambda y, _: np.clip(y, -1, 1),
}


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_numbers_too_small_for_full_precision_count_as_zero(setting):
    """Without a shift the sign of one would decide between -1 and 0."""
    values = np.zeros((1, 2, 11, CHANNELS), np.float32)
    values.flat[::2] = np.float32(-1e-39)
    values.flat[1] = np.float32(-2e-38)
    (found, _), steps = delegate_runs.explained(
        quantized(values.shape, 0.0)[1], [[values]], setting
    )
    assert "integer" in steps
    wanted = np.zeros_like(found)
    wanted.flat[1] = -1
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("setting", [*SETTINGS, UNFUSED], ids=str)
def test_other_sizes_after_a_run(setting):
    """More images, other rows, back again: the steps stay those of an integer layer."""
    shift = 0.25
    values = values_beside_steps(shift)
    plain = values.reshape(-1, CHANNELS)
    content = quantized((1, 2, 3, CHANNELS), shift)[1]
    interpreter = delegate_runs.load(content, setting)
    for size in ((1, 2, 3), (3, 5, 7), (2, 1, 40), (1, 2, 3)):
        count = int(np.prod(size))
        image = plain[-count:].reshape(*size, CHANNELS)
        delegate_runs.resize(interpreter, [image])
        interpreter.allocate_tensors()
        found, _ = delegate_runs.run(interpreter, [image])
        np.testing.assert_array_equal(found, right(image, np.float32(shift)))


@pytest.mark.parametrize("operator", ["MUL", "ADD"])
@pytest.mark.parametrize("activation", [1, 2, 3])
def test_a_quantization_with_an_activation_runs_in_floats(operator, activation):
    values, file = values_beside_steps(-3.75), LayerFile()
    x = file.input("float", values.shape)
    for name, number in (("MUL", SCALE), ("ADD", -3.75)):
        code = activation if name == operator else 0
        x = file.step(name, x, number, fusedActivationFunction=code)
    x = file.steps(x, [("FLOOR", None), ("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)])
    files = file.files(file.layer(x, identity()))
    found = check(files, values, is_integer=False)
    assert not np.array_equal(found, right(values, np.float32(-3.75)))


@pytest.mark.parametrize("setting", [*SETTINGS, UNFUSED], ids=str)
def test_sizes_that_are_known_only_in_a_run(setting):
    """LiteRT then prepares the operators after it once more, in every run."""
    count, shift = 240, -3.75
    file = LayerFile()
    places = [file.input("float", (1, count)), file.input("packed", (4,))]
    x = file.builtin("RESHAPE", places, file.tensor("float", (1, 1, 1, CHANNELS)))
    signature = np.array([-1, -1, -1, CHANNELS], np.int32)
    file.graph.tensors[x].shapeSignature = signature
    steps = [("MUL", SCALE), ("ADD", shift), ("FLOOR", None)]
    x = file.steps(x, [*steps, ("MAXIMUM", LOWEST), ("MINIMUM", HIGHEST)])
    plain, signed = file.files(file.layer(x, neighbourhoods()))
    alone = Interpreter(
        model_content=plain,
        experimental_op_resolver_type=delegate_runs.RESTS["litert"],
    )
    ours = delegate_runs.load(signed, setting)
    alone.allocate_tensors()
    ours.allocate_tensors()
    values = values_beside_steps(shift).reshape(1, -1)[:, :count]
    for size in ((1, 8, 10), (2, 4, 10), (5, 4, 4), (80, 1, 1), (1, 1, 80)):
        inputs = [values, np.array([*size, CHANNELS], np.int32)]
        (wanted,) = delegate_runs.run(alone, inputs)
        found, _ = delegate_runs.run(ours, inputs)
        np.testing.assert_array_equal(found, wanted)
