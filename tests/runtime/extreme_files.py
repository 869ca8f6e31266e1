"""Small files whose windows, strides and dilations ask for much memory.

    python tests/runtime/extreme_files.py FIRST [STEP]

loads and runs those from number FIRST on, every STEPth, and prints for each what came
of it, how many MB the process took beyond what it had before, and the message.
"""

import pathlib
import re
import sys

import delegate_runs
import numpy as np
from delegate_runs import Setting
from graph_files import BINARY_OPTIONS, GraphFile, num_words
from steady_numbers import SteadyNumbers

SEED = "extreme files 1"
NUM_FILES = 600
_KERNELS = (1, 1, 2, 3, 5, 33, 64, 257, 1000)
_DILATIONS = (1, 2, 255, 4095, 23000, 1048575, 1048576)
_STRIDES = (1, 1, 2, 13, 4096, 1048576)
_SIDES = (1, 2, 3, 8, 16, 64)
# The one with the widest vectors.
_KERNEL = delegate_runs.kernels()[-1]
_MAX_WEIGHTS = 30_000
_OPERATORS = ("LceBconv2d", "CONV_2D", "LceBMaxPool2d", "MAX_POOL_2D", "pooled")


class ExtremeFile:
    """File number `number`: an operator with a window, and signs of its input."""

    def __init__(self, number: int) -> None:
        self._numbers = SteadyNumbers(f"{SEED} {number}")
        pick = self._numbers.pick
        self.operator = _OPERATORS[number % len(_OPERATORS)]
        self.batch, self.channels = pick((1, 1, 3)), pick((1, 3, 32, 64))
        self.sides = pick(_SIDES), pick(_SIDES)
        self.kernel = pick(_KERNELS), pick(_KERNELS)
        self.stride = pick(_STRIDES), pick(_STRIDES)
        self.dilation = pick(_DILATIONS), pick(_DILATIONS)
        self.is_valid = pick((0, 0, 0, 1))
        while self._num_weights() > _MAX_WEIGHTS:
            self.kernel = pick(_KERNELS), self.kernel[0]

    def _num_weights(self) -> int:
        is_pool = "ool2d" in self.operator.lower() or "POOL" in self.operator
        return 1 if is_pool else 2 * self.kernel[0] * self.kernel[1] * self.channels

    def content(self) -> bytes:
        file = GraphFile()
        image, packed = _signs(file, (self.batch, *self.sides, self.channels))
        if self.operator == "LceBconv2d":
            last = self._binary_convolution(file, packed)
        elif self.operator == "LceBMaxPool2d":
            last = self._binary_pool(file, packed)
        elif self.operator == "CONV_2D":
            last = self._convolution(file, image)
        elif self.operator == "pooled":
            last = self._pool(file, self._convolution(file, image), 2)
        else:
            last = self._pool(file, image, self.channels)
        return file.content(last, packed)

    def _convolution(self, file: GraphFile, source: int) -> int:
        weights = self._numbers.floats(-1, 1, 2, *self.kernel, self.channels)
        return file.builtin(
            "CONV_2D",
            [source, *(file.constant("float", x) for x in (weights, np.zeros(2)))],
            file.tensor("float", (self.batch, 1, 1, 2)),
            padding=self.is_valid,
            strideH=self.stride[0],
            strideW=self.stride[1],
            dilationHFactor=self.dilation[0],
            dilationWFactor=self.dilation[1],
        )

    def _pool(self, file: GraphFile, source: int, channels: int) -> int:
        return file.builtin(
            "MAX_POOL_2D",
            [source],
            file.tensor("float", (self.batch, 1, 1, channels)),
            padding=self.is_valid,
            strideH=self.stride[0],
            strideW=self.stride[1],
            filterHeight=self.kernel[0],
            filterWidth=self.kernel[1],
        )

    def _binary_convolution(self, file: GraphFile, source: int) -> int:
        filters = self._numbers.words(2, *self.kernel, num_words(self.channels))
        vectors = [file.constant("float", np.ones(2)) for _ in range(2)]
        return file.custom(
            "LceBconv2d",
            [source, file.constant("packed", filters.view("<i4")), *vectors, -1],
            file.tensor("float", (self.batch, 1, 1, 2)),
            self._window()
            | {
                "channels_in": self.channels,
                "dilation_height_factor": self.dilation[0],
                "dilation_width_factor": self.dilation[1],
                "fused_activation_function": 0,
                "pad_values": self._numbers.below(2),
            },
        )

    def _binary_pool(self, file: GraphFile, source: int) -> int:
        return file.custom(
            "LceBMaxPool2d",
            [source],
            file.tensor("packed", (self.batch, 1, 1, num_words(self.channels))),
            self._window()
            | {"filter_height": self.kernel[0], "filter_width": self.kernel[1]},
        )

    def _window(self) -> dict[str, int]:
        return {
            "padding": self.is_valid,
            "stride_height": self.stride[0],
            "stride_width": self.stride[1],
        }


def _signs(file: GraphFile, shape: tuple[int, ...]) -> tuple[int, int]:
    """An input of the file and its signs: without them the delegate takes nothing."""
    image = file.input("float", shape)
    packed = file.tensor("packed", (*shape[:3], num_words(shape[3])))
    return image, file.custom("LceQuantize", [image], packed)


def _convolutions(
    shape: tuple[int, ...],
    weights: np.ndarray,
    count: int,
    own_biases: bool = False,
    **window: int,
) -> bytes:
    """`count` convolutions of an input by one constant, which is in the file once."""
    file = GraphFile()
    image, packed = _signs(file, shape)
    file.constant("float", weights)
    buffer, bias = len(file.model.buffers) - 1, file.constant("float", np.zeros(1))
    biases = [
        file.constant("float", np.ones(1)) if own_biases else bias for _ in range(count)
    ]
    ones = {"strideH": 1, "strideW": 1}
    results = [
        file.builtin(
            "CONV_2D",
            [image, file.tensor("float", weights.shape, None, buffer), biases[number]],
            file.tensor("float", (1, 1, 1, 1)),
            **ones | window,
        )
        for number in range(count)
    ]
    return file.content(*results, packed)


def wrapping_file() -> bytes:
    """19 MB of weights: the bytes of the lines that they see are a multiple of 2^64."""
    dilation = {"dilationHFactor": 1048575, "dilationWFactor": 986895}
    weights = np.zeros((1, 33, 18, 8192))
    return _convolutions((1, 1, 1, 8192), weights, 1, strideH=31, **dilation)


def sharing_file() -> bytes:
    """Six hundred convolutions by one constant; kernels keep it with 16 channels."""
    return _convolutions((1, 1, 1, 8000), np.ones((1, 1, 1, 8000)), 600)


def biased_file() -> bytes:
    """Sixty by one constant of 1 MB, which kernels keep with each bias anew."""
    return _convolutions((1, 1, 1, 250_000), np.ones((1, 1, 1, 250_000)), 60, True)


def tapping_file() -> bytes:
    """Three hundred convolutions by one filter of 250,000 taps."""
    dilation = {"dilationHFactor": 2, "dilationWFactor": 2}
    return _convolutions((1, 1, 1, 1), np.zeros((1, 500, 500, 1)), 300, **dilation)


def holding_file() -> bytes:
    """A convolution of four rows, each by a thread that holds 60 MB of lines."""
    dilation = {"dilationHFactor": 340, "dilationWFactor": 340}
    return _convolutions((1, 4, 1, 32), np.zeros((1, 3, 3, 32)), 1, **dilation)


def adding_file() -> bytes:
    """Three hundred additions of one constant of 1 MB."""
    file, shape = GraphFile(), (1, 1, 1, 1 << 18)
    last, packed = _signs(file, shape)
    constant = file.constant("float", np.ones(1 << 18))
    for _ in range(300):
        last = file.builtin("ADD", [last, constant], file.tensor("float", shape))
    return file.content(last, packed)


def framing_file() -> bytes:
    """Twenty small maps, each with as much padding as one alone can have."""
    file = GraphFile()
    image = file.input("float", (1, 4, 4, 32))
    filters = file.constant("packed", np.zeros((1, 3, 3, 1), np.int32))
    ones = file.constant("float", np.ones(1))
    options = BINARY_OPTIONS | {"channels_in": 32}
    options |= {"dilation_height_factor": 2046, "dilation_width_factor": 2046}
    results = []
    for _ in range(20):
        packed = file.tensor("packed", (1, 4, 4, 1))
        file.custom("LceQuantize", [image], packed)
        result = file.tensor("float", (1, 4, 4, 1))
        inputs = [packed, filters, ones, ones, -1]
        results.append(file.custom("LceBconv2d", inputs, result, options))
    return file.content(*results)


def scaling_file() -> bytes:
    """Three hundred products with numbers of their own, each for 262,144 channels."""
    file, shape = GraphFile(), (1, 1, 1, 1 << 18)
    last, packed = _signs(file, shape)
    for number in range(300):
        factor = file.constant("float", np.array(1.0 + number % 2))
        last = file.builtin("MUL", [last, factor], file.tensor("float", shape))
    return file.content(last, packed)


def _binary(file: GraphFile, packed: int, shape: tuple[int, ...]) -> list[int]:
    """Four hundred results of this shape, by the same filter of one pixel."""
    channels = shape[-1]
    filters = file.constant("packed", np.zeros((channels, 1, 1, 1), np.int32))
    ones = file.constant("float", np.ones(channels))
    inputs = [packed, filters, ones, ones, -1]
    options = BINARY_OPTIONS | {"channels_in": 1}
    return [
        file.custom("LceBconv2d", inputs, file.tensor("float", shape), options)
        for _ in range(400)
    ]


def mapping_file() -> bytes:
    """Four hundred binary convolutions and the sum of each with one map of 1 MB."""
    file, shape = GraphFile(), (1, 512, 512, 1)
    _, packed = _signs(file, shape)
    added = file.constant("float", np.ones(shape))
    results = [
        file.builtin("ADD", [result, added], file.tensor("float", shape))
        for result in _binary(file, packed, shape)
    ]
    return file.content(results[-1])


def widening_file() -> bytes:
    """Four hundred binary convolutions by the same constants of 131,072 channels."""
    file = GraphFile()
    _, packed = _signs(file, (1, 1, 1, 1))
    return file.content(_binary(file, packed, (1, 1, 1, 1 << 17))[-1])


# What comes after the files of chance.
OTHERS = {
    "sharing": sharing_file,
    "biased": biased_file,
    "adding": adding_file,
    "tapping": tapping_file,
    "framing": framing_file,
    "holding": holding_file,
    "scaling": scaling_file,
    "mapping": mapping_file,
    "widening": widening_file,
    "wrapping": wrapping_file,
}


def _memory_mb(field: str) -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status).group(1)) // 1024


def outcome(content: bytes) -> tuple[str, int, str]:
    """Whether it "ran" or was "refused", the most MB that it took, and the message."""
    before = _memory_mb("VmRSS")
    # From here on VmHWM is the most memory that this process has had.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    what, text = "ran", ""
    try:
        interpreter = delegate_runs.load(content, Setting(_KERNEL, threads=4))
        interpreter.allocate_tensors()
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        what, text = "refused", " ".join(str(error).split())
    return what, _memory_mb("VmHWM") - before, text


def main(first: int, step: int = 1) -> None:
    others = list(OTHERS.values())
    for number in range(first, NUM_FILES + len(others), step):
        is_other = number >= NUM_FILES
        content = (
            others[number - NUM_FILES]() if is_other else ExtremeFile(number).content()
        )
        print(number, *outcome(content))
        print(number, "done", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
