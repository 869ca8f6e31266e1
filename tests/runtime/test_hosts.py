"""What a host may do: end things in any order, round otherwise, leave sides open."""

import contextlib
import ctypes
import os
import platform
import re
import subprocess
import sys

import delegate_runs
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from delegate_runs import Setting
from graph_files import BINARY_OPTIONS, GraphFile

import r2b_runtime
from tests.converters.small_flatbuffers import BINARY_SHAPE, binary

SETTING = Setting(delegate_runs.kernels()[-1])
CYCLE = """
import gc, sys
import r2b_runtime

class Camera:
    def __init__(self, content):
        self.network = r2b_runtime.Interpreter(content, num_threads=2)
        self.on_frame = self.named

    def named(self, frame):
        return self.network.predict(frame)

content = open(sys.argv[1], "rb").read()
for _ in range(3):
    Camera(content)
    gc.collect()
print("ended")
"""


def test_garbage_that_holds_an_interpreter(tmp_path):
    """Python may end the delegate first, then the interpreter that has it."""
    path = tmp_path / "model.tflite"
    path.write_bytes(binary())
    # Memory that is freed is filled, and not given out again at once.
    strict = "glibc.malloc.tcache_count=0:glibc.malloc.perturb=165"
    result = subprocess.run(
        [sys.executable, "-c", CYCLE, path],
        env={**os.environ, "GLIBC_TUNABLES": strict},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "ended\n"), result.stderr


# fenv.h's FE_UPWARD.
UPWARD = {"x86_64": 0x800, "aarch64": 0x400000}


@contextlib.contextmanager
def rounding_upwards():
    """Fails where the mode is another one in the end."""
    libm = ctypes.CDLL("libm.so.6")
    upward = UPWARD[platform.machine()]
    assert libm.fesetround(upward) == 0
    try:
        yield
        kept = libm.fegetround()
    finally:
        libm.fesetround(0)
    assert kept == upward


def test_a_host_that_rounds_upwards():
    """Its mode is that of its own thread; helpers would round otherwise."""
    x = np.random.default_rng(0).normal(size=(8, *BINARY_SHAPE)).astype(np.float32)
    interpreters = [r2b_runtime.Interpreter(binary(), n, batch_size=4) for n in (1, 2)]
    expected = interpreters[0].predict(x)
    with rounding_upwards():
        found = [each.predict(x) for each in interpreters for _ in range(5)]
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_a_host_that_rounds_upwards_while_it_loads():
    """Weights of 8 bits are unpacked then: products with their scale are rounded."""
    file, generator = GraphFile(), np.random.default_rng(3)
    image = file.input("float", (1, 4, 4, 32))
    signs = file.custom("LceQuantize", [image], file.tensor("packed", (1, 4, 4, 1)))
    bytes_ = generator.integers(-127, 128, (8, 3, 3, 32))
    weights = file.builtin(
        "DEQUANTIZE",
        [file.constant("int8", bytes_, (0.0123, 0))],
        file.tensor("float", bytes_.shape),
    )
    result = file.builtin(
        "CONV_2D",
        [image, weights, file.constant("float", np.zeros(8))],
        file.tensor("float", (1, 4, 4, 8)),
        strideH=1,
        strideW=1,
    )
    content = file.content(result, signs)
    x = generator.normal(size=(1, 4, 4, 32)).astype(np.float32)
    expected, _ = delegate_runs.outputs(content, [x], SETTING)
    with rounding_upwards():
        interpreter = delegate_runs.load(content, SETTING)
        interpreter.allocate_tensors()
    found, _ = delegate_runs.run(interpreter, [x])
    np.testing.assert_array_equal(found, expected)


def network(side, valid):
    """A convolution, its signs, a binary convolution, and the mean of each channel.

    Files with open sides have 1 for them, as Larq's converter writes them.
    """
    file, generator = GraphFile(), np.random.default_rng(1)
    lost = 2 if valid else 0
    shapes = [(1, *[max(side - n * lost, 1)] * 2, 32) for n in (1, 2)]
    x = file.input("float", (1, side, side, 3))
    weights = file.constant("float", generator.normal(size=(32, 3, 3, 3)))
    bias = file.constant("float", np.zeros(32))
    window = {"strideH": 1, "strideW": 1, "padding": int(valid)}
    y = file.builtin(
        "CONV_2D", [x, weights, bias], file.tensor("float", shapes[0]), **window
    )
    signs = file.custom("LceQuantize", [y], file.tensor("packed", (*shapes[0][:3], 1)))
    words = generator.integers(-(2**31), 2**31, (32, 3, 3, 1))
    ones, zeros = (file.constant("float", make(32)) for make in (np.ones, np.zeros))
    result = file.custom(
        "LceBconv2d",
        [signs, file.constant("packed", words), ones, zeros, -1],
        file.tensor("float", shapes[1]),
        BINARY_OPTIONS | {"channels_in": 32, "padding": int(valid)},
    )
    axes = file.constant("packed", np.array([1, 2]))
    means = file.builtin("MEAN", [result, axes], file.tensor("float", (1, 32)))
    if side == 1:
        leave_sides_open(file)
    return file.content(means)


def leave_sides_open(file):
    for tensor in file.graph.tensors:
        if len(tensor.shape) == 4 and tensor.buffer == 0:
            channels = tensor.shape[3]
            tensor.shapeSignature = np.array([1, -1, -1, channels], np.int32)


@pytest.mark.parametrize("valid", [False, True])
def test_height_and_width_that_a_file_leaves_open(valid):
    """They come by `resize_tensor_input`, after the delegate has looked at the file."""
    scores = []
    for side in (9, 1):
        delegate = r2b_runtime.delegate()
        interpreter = LiteRT(
            model_content=network(side, valid), experimental_delegates=[delegate]
        )
        (given,), (got,) = (
            interpreter.get_input_details(),
            interpreter.get_output_details(),
        )
        for size in (9, 6, 9):
            if side == 1 or size == side:
                interpreter.resize_tensor_input(given["index"], (1, size, size, 3))
                interpreter.allocate_tensors()
        x = np.random.default_rng(2).normal(size=(1, 9, 9, 3)).astype(np.float32)
        interpreter.set_tensor(given["index"], x)
        interpreter.invoke()
        scores.append(interpreter.get_tensor(got["index"]))
        assert "binary convolution" in r2b_runtime.library.explanation(delegate)
    np.testing.assert_array_equal(*scores)


def test_open_sides_that_get_too_few_pixels():
    interpreter = LiteRT(
        model_content=network(1, True), experimental_delegates=[r2b_runtime.delegate()]
    )
    (given,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(given["index"], (1, 4, 4, 3))
    with pytest.raises(RuntimeError, match="reaches over 3 does not fit an input of 2"):
        interpreter.allocate_tensors()
    interpreter.resize_tensor_input(given["index"], (1, 9, 9, 3))
    interpreter.allocate_tensors()


def partitions(side):
    """Two half blocks, each with a PAD on its long way, which LiteRT computes.

    The map is half as large after the first: open sides of one file are not all alike.
    """
    file, generator = GraphFile(), np.random.default_rng(5)
    ones, zeros = (file.constant("float", make(32)) for make in (np.ones, np.zeros))
    margins = file.constant("packed", np.array([[0, 0], [1, 1], [1, 1], [0, 0]]))
    x = file.input("float", (1, side, side, 32))
    for stride in (2, 1):
        short, around = x, side + 2
        padded = file.tensor("float", (1, around, around, 32))
        file.builtin("PAD", [x, margins], padded)
        signs = file.tensor("packed", (1, around, around, 1))
        file.custom("LceQuantize", [padded], signs)
        side = -(-side // stride)
        shape = (1, side, side, 32)
        if stride == 2:
            window = ("strideH", "strideW", "filterHeight", "filterWidth")
            short = file.tensor("float", shape)
            file.builtin("AVERAGE_POOL_2D", [x], short, **dict.fromkeys(window, 2))
        words = generator.integers(-(2**31), 2**31, (32, 3, 3, 1))
        options = {"stride_height": stride, "stride_width": stride, "padding": 1}
        y = file.custom(
            "LceBconv2d",
            [signs, file.constant("packed", words), ones, zeros, -1],
            file.tensor("float", shape),
            BINARY_OPTIONS | {"channels_in": 32} | options,
        )
        x = file.builtin("ADD", [y, short], file.tensor("float", shape))
    if side == 1:
        leave_sides_open(file)
    return file.content(x)


@pytest.mark.parametrize("claim", ["all", "binary"])
@pytest.mark.parametrize("fuse", [True, False])
def test_open_sides_of_several_partitions(claim, fuse):
    setting = Setting(SETTING.kernel, fuse, claim=claim)
    interpreter = delegate_runs.load(partitions(1), setting)
    interpreter.allocate_tensors()
    for size in (16, 10, 16):
        x = np.random.default_rng(size).normal(size=(1, size, size, 32))
        inputs = [x.astype(np.float32)]
        (expected,) = delegate_runs.outputs(partitions(size), inputs, setting)
        delegate_runs.resize(interpreter, inputs)
        interpreter.allocate_tensors()
        (found,) = delegate_runs.run(interpreter, inputs)
        np.testing.assert_array_equal(found, expected)


RESIZED = {
    "CONV_2D": (
        (4, 3, 3, 3),
        (1, 8, 8, 5),
        "input of shape [1, 8, 8, 5] has 5 channels, "
        "and its filter of shape [4, 3, 3, 3] is for 3",
    ),
    "FULLY_CONNECTED": (
        (4, 8),
        (1, 9),
        "input of shape [1, 9] has 9 channels, and its filter of shape [4, 8] is for 8",
    ),
    "PRELU": (
        (1, 1, 3),
        (1, 8, 8, 5),
        "input of shape [1, 8, 8, 5] has 5 channels, "
        "and its slope of shape [1, 1, 3] is for 3",
    ),
}


@pytest.mark.parametrize("operator", RESIZED)
def test_inputs_that_get_other_channels(operator):
    """The message tells the shape of the constant as well as the input's."""
    constant, wrong, words = RESIZED[operator]
    right = (*wrong[:-1], constant[-1])
    file = GraphFile()
    x = file.input("float", right)
    signs = file.custom("LceQuantize", [x], file.tensor("packed", (*right[:-1], 1)))
    inputs, shape, window = [x, file.constant("float", np.ones(constant))], right, {}
    if operator != "PRELU":
        inputs.append(file.constant("float", np.zeros(constant[0])))
        shape = (*right[:-1], constant[0])
    if operator == "CONV_2D":
        window = {"strideH": 1, "strideW": 1}
    y = file.builtin(operator, inputs, file.tensor("float", shape), **window)
    interpreter = delegate_runs.load(file.content(y, signs), SETTING)
    interpreter.resize_tensor_input(x, wrong)
    with pytest.raises(RuntimeError, match=re.escape(words)):
        interpreter.allocate_tensors()
