"""Files of one binary operator each, for every way in which it can be set.

A case is a frozen description. Its name says all of it, and decides its weights and
inputs too: the same on every platform.
"""

import math
from dataclasses import dataclass, fields
from typing import ClassVar, TypeAlias

import numpy as np
from graph_files import GraphFile, num_words, pack
from steady_numbers import SteadyNumbers

Pair: TypeAlias = tuple[int, int]
PADDINGS = {"zeros": (0, 0), "ones": (0, 1), "valid": (1, 0)}
ACTIVATIONS = {"none": 0, "relu": 1, "relu_n1_to_1": 2, "relu6": 3}
INT32 = np.iinfo(np.int32)


def unpack(words: np.ndarray, channels: int) -> np.ndarray:
    """The reverse of `pack`."""
    octets = np.ascontiguousarray(words).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :channels]


def are_signs(words: np.ndarray, values: np.ndarray) -> bool:
    """Whether packed words are the signs of values."""
    return bool((unpack(words, values.shape[-1]) == (values < 0)).all())


class Case:
    """What all cases have: a name made of all fields."""

    kind: ClassVar[str]

    @property
    def name(self) -> str:
        values = (getattr(self, field.name) for field in fields(self))
        return "-".join([self.kind, *map(_spelt, values)])

    def numbers(self, part: str) -> SteadyNumbers:
        return SteadyNumbers(f"{self.name} {part}")


def _spelt(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    return "yes" if value is True else "no" if value is False else str(value)


def output_size(
    size: int, kernel: int, stride: int, dilation: int, same: bool
) -> tuple[int, int]:
    """Length of the output and padding before, along one side, as TensorFlow has it."""
    reach = (kernel - 1) * dilation + 1
    length = -(-size // stride) if same else -((reach - 1 - size) // stride)
    return length, max(0, (length - 1) * stride + reach - size) // 2 if same else 0


class Windowed(Case):
    """What slides a kernel over a map `size` = (N, H, W, ...)."""

    size: tuple[int, ...]
    kernel: Pair
    stride: Pair
    dilation: Pair
    padding: str

    @property
    def batch(self) -> int:
        return self.size[0]

    def sides(self) -> list[tuple[int, int]]:
        """Length of the output and padding before, of height and width."""
        sides = zip(
            self.size[1:3], self.kernel, self.stride, self.dilation, strict=True
        )
        return [output_size(*side, self.padding != "valid") for side in sides]

    def lengths(self) -> list[int]:
        """Height and width of the output."""
        return [length for length, _ in self.sides()]


@dataclass(frozen=True)
class Convolution(Windowed):
    """LceBconv2d. `signs` is how filters and inputs are drawn, `values` the numbers."""

    kind = "conv"
    size: tuple[int, int, int]
    channels_in: int
    channels_out: int
    kernel: Pair
    stride: Pair
    dilation: Pair
    groups: int
    padding: str
    output: str
    activation: str
    values: str
    signs: str
    quantization: tuple[float, int] = (1.0, 0)

    VALUES: ClassVar = {
        "float": ("unit", "mixed", "halves", "large", "small"),
        "int8": ("unit", "mixed", "halves", "large"),
        "packed": ("middle", "any", "extreme"),
    }
    SIGNS: ClassVar = ("random", "positive", "negative", "rare")

    @property
    def group_channels(self) -> int:
        return self.channels_in // self.groups

    @property
    def depth(self) -> int:
        """Products in a sum."""
        return math.prod(self.kernel) * self.group_channels

    def is_small(self) -> bool:
        """Whether the kernel reaches over the map on both sides."""
        return any(
            size <= (kernel - 1) * dilation
            for size, kernel, dilation in zip(
                self.size[1:], self.kernel, self.dilation, strict=True
            )
        )

    def bits(self, part: str, shape: tuple[int, ...]) -> np.ndarray:
        """Bits `[..., C]` of the input or the filter."""
        words = self.numbers(part).words(*shape)
        limits = {"random": 2**31, "positive": 0, "negative": 2**32, "rare": 2**27}
        return words < limits[self.signs if part == "filter" else "random"]

    def filter_bits(self) -> np.ndarray:
        return self.bits(
            "filter", (self.channels_out, *self.kernel, self.group_channels)
        )

    def input_bits(self) -> np.ndarray:
        return self.bits("input", (*self.size, self.channels_in))

    def multipliers(self) -> tuple[np.ndarray, np.ndarray]:
        """Multipliers and biases, of both signs, zeros of both signs among them."""
        numbers, count = self.numbers("values"), self.channels_out
        if self.values in ("unit", *self.VALUES["packed"]):
            return np.ones(count, np.float32), np.zeros(count, np.float32)
        if self.values == "halves":
            multipliers, biases = numbers.whole(-3, 3, 2, count).astype(np.float32)
            return multipliers / 2, biases / 4
        # Small ones give results below the least normal number, which are flushed to 0.
        reach = {"mixed": (1, 8), "large": (1e4, 1e6), "small": (1e-38, 1e-37)}
        multipliers, biases = (
            numbers.floats(-limit, limit, count) for limit in reach[self.values]
        )
        multipliers[numbers.words(count) < 2**28] = 0
        biases[numbers.words(count) < 2**28] = -0.0
        return multipliers, biases

    def thresholds(self) -> np.ndarray:
        numbers, count, depth = (
            self.numbers("thresholds"),
            self.channels_out,
            self.depth,
        )
        if self.values == "middle":
            reach = 1 + math.isqrt(depth)
            return depth // 2 + numbers.whole(-reach, reach, count).astype(np.int32)
        if self.values == "any":
            return numbers.whole(-1, depth, count).astype(np.int32)
        ends = (INT32.min, INT32.min + 1, -2, -1, 0, 1)
        ends += (depth - 1, depth, depth + 1, INT32.max - 1, INT32.max)
        return np.array([numbers.pick(ends) for _ in range(count)], np.int32)

    def inputs(self) -> list[np.ndarray]:
        return [pack(self.input_bits())]

    def options(self) -> dict[str, int]:
        padding, pad_values = PADDINGS[self.padding]
        return {
            "channels_in": self.channels_in,
            "dilation_height_factor": self.dilation[0],
            "dilation_width_factor": self.dilation[1],
            "fused_activation_function": ACTIVATIONS[self.activation],
            "pad_values": pad_values,
            "padding": padding,
            "stride_height": self.stride[0],
            "stride_width": self.stride[1],
        }

    def content(self, batch: int | None = None) -> bytes:
        file = GraphFile()
        shape = (batch or self.size[0], *self.size[1:], num_words(self.channels_in))
        return file.content(self.write(file, file.input("packed", shape), shape[0]))

    def write(self, file: GraphFile, packed: int, batch: int) -> int:
        """Adds the operator to a file and returns its output."""
        inputs = [packed, file.constant("packed", pack(self.filter_bits()))]
        multipliers, biases = self.multipliers()
        if self.output != "packed":
            inputs += [
                file.constant("float", multipliers),
                file.constant("float", biases),
                -1,
            ]
        else:
            # Engines read the multiplier for a padding with zeros, whatever comes out.
            unused = -1
            if self.padding == "zeros":
                unused = file.constant("float", multipliers)
            inputs += [unused, unused, file.constant("packed", self.thresholds())]
        last = self.channels_out
        if self.output == "packed":
            last = num_words(last)
        quantization = self.quantization if self.output == "int8" else None
        output = file.tensor(self.output, (batch, *self.lengths(), last), quantization)
        return file.custom("LceBconv2d", inputs, output, self.options())


@dataclass(frozen=True)
class Quantization(Case):
    """LceQuantize of a tensor of any rank."""

    kind = "quantize"
    shape: tuple[int, ...]
    source: str
    values: str = "random"
    zero_point: int = 0

    SPECIAL: ClassVar = np.array(
        [0, -0.0, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45, 1e-38, -1e-38]
        + [3.4e38, -3.4e38, 1, -1],
        np.float32,
    )

    def inputs(self) -> list[np.ndarray]:
        numbers = self.numbers("input")
        if self.source == "bool":
            return [numbers.words(*self.shape) < 2**31]
        if self.source == "int8":
            return [numbers.whole(-128, 127, *self.shape).astype(np.int8)]
        if self.values == "special":
            places = numbers.whole(0, len(self.SPECIAL) - 1, *self.shape)
            return [self.SPECIAL[places]]
        return [numbers.floats(-2, 2, *self.shape)]

    def content(self, batch: int | None = None) -> bytes:
        file = GraphFile()
        shape = (batch or self.shape[0], *self.shape[1:])
        quantization = (0.5, self.zero_point) if self.source == "int8" else ()
        source = file.input(self.source, shape, *quantization)
        packed = file.tensor("packed", (*shape[:-1], num_words(shape[-1])))
        return file.content(file.custom("LceQuantize", [source], packed))


@dataclass(frozen=True)
class Dequantization(Case):
    """LceDequantize to a tensor of any rank."""

    kind = "dequantize"
    shape: tuple[int, ...]
    target: str
    scale: float = 1.0
    zero_point: int = 0

    def inputs(self) -> list[np.ndarray]:
        return [pack(self.numbers("input").words(*self.shape) < 2**31)]

    def content(self, batch: int | None = None) -> bytes:
        file = GraphFile()
        shape = (batch or self.shape[0], *self.shape[1:])
        packed = file.input("packed", (*shape[:-1], num_words(shape[-1])))
        quantization = (self.scale, self.zero_point) if self.target == "int8" else None
        target = file.tensor(self.target, shape, quantization)
        return file.content(file.custom("LceDequantize", [packed], target))


@dataclass(frozen=True)
class Pooling(Windowed):
    """LceBMaxPool2d."""

    kind = "pool"
    dilation = (1, 1)
    size: tuple[int, int, int]
    channels: int
    kernel: Pair
    stride: Pair
    padding: str

    def inputs(self) -> list[np.ndarray]:
        # Seven in eight are negative: of few, most windows would be positive.
        words = self.numbers("input").words(*self.size, self.channels)
        return [pack(words < 7 << 29)]

    def content(self, batch: int | None = None) -> bytes:
        file = GraphFile()
        shape = (batch or self.size[0], *self.size[1:], num_words(self.channels))
        source = file.input("packed", shape)
        target = file.tensor("packed", (shape[0], *self.lengths(), shape[-1]))
        options = {
            "filter_height": self.kernel[0],
            "filter_width": self.kernel[1],
            "padding": int(self.padding == "valid"),
            "stride_height": self.stride[0],
            "stride_width": self.stride[1],
        }
        return file.content(file.custom("LceBMaxPool2d", [source], target, options))
