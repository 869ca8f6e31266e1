"""Rounding of weights against numbers worked out by hand."""

import numpy as np

from r2b_keras.converters.rounding import round_float16, round_int8


def test_int8_by_hand():
    """Scales 2 / 127 and 1 / 127: each channel's largest magnitude becomes 127."""
    weights = np.array([[1.0, -2.0, 0.1], [0.5, 0.25, -1.0]], np.float32)
    rounded = round_int8(weights, axis=0)
    assert rounded.values.dtype == np.int8
    # 1 / (2/127) = 63.5, the even neighbour; 0.1 / (2/127) = 6.35; 0.25 * 127 = 31.75.
    np.testing.assert_array_equal(rounded.values, [[64, -127, 6], [64, 32, -127]])
    np.testing.assert_array_equal(rounded.scales, np.float32([2, 1]) / np.float32(127))
    expected = np.float32([[64 * 2 / 127, -2, 12 / 127], [64 / 127, 32 / 127, -1]])
    np.testing.assert_allclose(rounded.dequantize(), expected, rtol=1e-7)


def test_int8_of_channels_that_have_no_scale():
    """Zeros, and magnitudes / 127 below float32's normal numbers, become 0."""
    weights = np.array([[0, 0], [1e-37, 0], [3e38, -3e38]], np.float32)
    rounded = round_int8(weights, axis=0)
    np.testing.assert_array_equal(rounded.values, [[0, 0], [0, 0], [127, -127]])
    np.testing.assert_array_equal(rounded.scales[:2], [1, 1])
    np.testing.assert_allclose(rounded.dequantize()[2], weights[2], rtol=1e-7)


def test_int8_along_the_last_axis():
    """A depthwise kernel `[1, h, w, C]`; errors are at most half a step."""
    weights = np.random.default_rng(0).normal(size=(1, 5, 3, 7)).astype(np.float32)
    weights *= 10.0 ** np.arange(-3, 4)
    rounded = round_int8(weights, axis=3)
    steps = np.abs(weights).max((0, 1, 2)) / 127
    np.testing.assert_allclose(rounded.scales, steps, rtol=1e-7)
    errors = np.abs(rounded.dequantize() - weights)
    assert (errors <= 0.5001 * steps).all()
    assert (errors.max((0, 1, 2)) > 0.3 * steps).all()
    np.testing.assert_array_equal(np.abs(rounded.values).max((0, 1, 2)), 127)


def test_float16_by_hand():
    """11 significant bits, a tie to the even one, and the smallest magnitude."""
    weights = np.array([1 + 2**-11, 1 + 3 * 2**-11, -65504, 2**-24, 2**-26], np.float32)
    rounded = round_float16(weights)
    assert rounded.values.dtype == np.float16
    expected = np.array([1, 1 + 2**-9, -65504, 2**-24, 0], np.float32)
    np.testing.assert_array_equal(rounded.dequantize(), expected)
    assert rounded.dequantize().dtype == np.float32
