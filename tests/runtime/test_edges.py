"""Numbers at which kernels go wrong that are right elsewhere, worked out by hand."""

import delegate_runs
import numpy as np
import pytest
from delegate_runs import Setting
from graph_files import BINARY_OPTIONS, GraphFile

KERNELS = delegate_runs.kernels()


def with_signs(file, x, shape):
    """The file that gives x and its signs, which the delegate takes x for."""
    packed = file.tensor("packed", (*shape[:-1], (shape[-1] + 31) // 32))
    return file.content(x, file.custom("LceQuantize", [x], packed))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_product_and_its_sum_are_rounded_once(kernel, sign):
    """The sum is just below the middle between two floats, in doubles in the middle.

    1 + 2^-23 is an odd float, so that the middle is rounded up; the product that is
    added is 2^-24 less 2^-54.
    """
    start, step = np.float32(1 + 2**-23), 2.0**-15
    image = np.full((1, 1, 8, 2), (start, 2**-24 * (1 + step)), np.float32)
    weights = sign * np.array([[1, 1 - step]] * 5).reshape(5, 1, 1, 2)
    file = GraphFile()
    x = file.input("float", image.shape)
    y = file.builtin(
        "CONV_2D",
        [x, file.constant("float", weights), file.constant("float", np.zeros(5))],
        file.tensor("float", (1, 1, 8, 5)),
        **{"strideH": 1, "strideW": 1},
    )
    content = with_signs(file, y, (1, 1, 8, 5))
    found, _ = delegate_runs.outputs(content, [image], Setting(kernel))
    np.testing.assert_array_equal(found, np.full((1, 1, 8, 5), sign * start))


@pytest.mark.parametrize("operator", ["MAXIMUM", "MINIMUM"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_limit_that_is_no_number(operator, place):
    """Before whole numbers of 0 to 255, which would else be an integer layer's."""
    limits = [("MAXIMUM", 0.0), ("MINIMUM", 255.0)]
    limits.insert(place, (operator, np.nan))
    file, shape = GraphFile(), (1, 4, 4, 3)
    x = file.input("float", shape)
    for name, number in (("MUL", 10), ("ADD", 0.5), ("FLOOR", None), *limits):
        second = [] if number is None else [file.constant("float", np.array(number))]
        x = file.builtin(name, [x, *second], file.tensor("float", shape))
    weights = np.random.default_rng(1).integers(-5, 6, (4, 1, 1, 3))
    y = file.builtin(
        "CONV_2D",
        [x, file.constant("float", weights), file.constant("float", np.zeros(4))],
        file.tensor("float", (1, 4, 4, 4)),
        **{"strideH": 1, "strideW": 1},
    )
    content = with_signs(file, y, (1, 4, 4, 4))
    image = np.random.default_rng(0).uniform(0, 3, shape).astype(np.float32)
    found, expected = (
        delegate_runs.outputs(content, [image], Setting(KERNELS[0], fuse))[0]
        for fuse in (True, False)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("fuse", [True, False])
def test_thresholds_at_both_ends_of_the_counts(kernel, fuse):
    """A sign is -1 where more products are -1 than the threshold.

    Of 33 products none is, or all are: beyond -1 are even none, beyond 33 not even all.
    """
    thresholds = np.array([-2, -1, 0, 1, 32, 33, 34])
    file = GraphFile()
    x = file.input("float", (1, 1, 2, 33))
    packed = file.custom("LceQuantize", [x], file.tensor("packed", (1, 1, 2, 2)))
    filters = np.zeros((len(thresholds), 1, 1, 2), np.int32)
    y = file.custom(
        "LceBconv2d",
        [packed, file.constant("packed", filters), -1, -1]
        + [file.constant("packed", thresholds)],
        file.tensor("packed", (1, 1, 2, 1)),
        BINARY_OPTIONS | {"channels_in": 33},
    )
    signs = file.tensor("float", (1, 1, 2, len(thresholds)))
    content = file.content(file.custom("LceDequantize", [y], signs))
    image = np.ones((1, 1, 2, 33), np.float32)
    image[:, :, 1] = -1
    (found,) = delegate_runs.outputs(content, [image], Setting(kernel, fuse))
    wanted = [np.where(count > thresholds, -1, 1) for count in (0, 33)]
    np.testing.assert_array_equal(found[0, 0], wanted)
