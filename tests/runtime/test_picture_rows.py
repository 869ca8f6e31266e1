"""Passes over few channels, a picture's for example: vectors of several pixels."""

import itertools

import delegate_runs
import numpy as np
import pytest
from delegate_runs import Setting
from graph_files import GraphFile, num_words

RELU = 1
# Fewer than a vector has, as many, more; rows that whole vectors divide, and primes.
CHANNELS, WIDTHS = (1, 2, 3, 5, 8, 15, 16, 17), (1, 2, 13, 16, 30, 32, 96)


def normalisation(shape, factor, addend, slope=None, activation=0):
    """x * factor + addend, then ReLU or PReLU; and signs of x, for the delegate."""
    file, packed = GraphFile(), (*shape[:3], num_words(shape[3]))

    def operator(name, value, constant, **options):
        inputs = [value, file.constant("float", constant)]
        return file.builtin(name, inputs, file.tensor("float", shape), **options)

    image = file.input("float", shape)
    signs = file.custom("LceQuantize", [image], file.tensor("packed", packed))
    value = operator("MUL", image, factor)
    value = operator("ADD", value, addend, fusedActivationFunction=activation)
    if slope is not None:
        value = operator("PRELU", value, slope[None, None])
    return file.content(value, signs)


def expected(x, factor, addend, slope=None, activation=0):
    """The same in NumPy, each operation rounded to float32."""
    y = x * factor + addend
    if slope is not None:
        return np.where(y < 0, y * slope, y)
    return np.maximum(y, np.float32(0)) if activation == RELU else y


@pytest.mark.parametrize("channels", CHANNELS)
def test_values_are_those_of_pixel_after_pixel(channels):
    """By every kernel, fused and one step by one, in threads: to the bit."""
    generator = np.random.default_rng(1)
    factor, addend, slope = generator.normal(size=(3, channels)).astype(np.float32)
    after = ({}, {"slope": slope}, {"activation": RELU})
    able = delegate_runs.kernels()
    for width, options in itertools.product(WIDTHS, after):
        shape = (2, 3, width, channels)
        content = normalisation(shape, factor, addend, **options)
        x = generator.normal(size=shape).astype(np.float32)
        wanted = expected(x, factor, addend, **options)
        _, steps = delegate_runs.explained(content, [[x]], Setting(able[0]))
        assert "pass + factor" in steps and "+ addend" in steps, steps
        for setting in delegate_runs.settings(able):
            found, _ = delegate_runs.outputs(content, [x], setting)
            case = f"{shape} {list(options)} {setting}"
            np.testing.assert_array_equal(found, wanted, err_msg=case)
