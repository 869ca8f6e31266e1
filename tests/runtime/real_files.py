"""Files of one real-valued operator each, of those that the delegate takes over.

The delegate leaves operators alone that have no binary one beside them, so the result
goes to LceQuantize too: a second output, the signs of the first.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from graph_files import GraphFile
from operator_files import ACTIVATIONS, Windowed
from steady_numbers import SteadyNumbers

SEED = "real operators 1"
_PAIRS = ("MUL", "ADD", "SUB", "MAXIMUM", "MINIMUM")
_UNARY = ("LOGISTIC", "SOFTMAX", "RELU", "RELU6", "RELU_N1_TO_1")


@dataclass(frozen=True)
class RealOperator(Windowed):
    """An operator of a map `size` = (N, H, W, C); fields that it has not stay as here.

    `other` is the second operand: "map" of the same size, "gate" `[N, 1, 1, C]`,
    "vector" `[C]`, "single" `[1, 1, 1, C]`, "number" `[1]`, or the same as a constant
    with "constant" before it. `swapped` has it come first, or the axes of a mean change
    places. `flag` keeps the dimensions of a mean, leaves the bias of a dense layer out,
    and makes a softmax steeper.
    """

    kind = "real"
    operator: str
    size: tuple[int, int, int, int]
    channels_out: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "same"
    activation: str = "none"
    other: str = "none"
    swapped: bool = False
    flag: bool = False

    # Those that round at most once; in others sums run in an order of the engine's.
    EXACT: ClassVar = frozenset(
        (
            *_PAIRS,
            "PRELU",
            "RELU",
            "RELU6",
            "RELU_N1_TO_1",
            "MAX_POOL_2D",
            "FLOOR",
            "CAST",
        )
    )

    def inputs(self) -> list[np.ndarray]:
        numbers = self.numbers("input")
        shapes = [self.size]
        if self.operator == "CAST":
            return [numbers.whole(0, 255, *self.size).astype(np.uint8)]
        if self.operator in _PAIRS and "constant" not in self.other:
            shapes.append(self._other_shape())
        return [numbers.floats(-2, 2, *shape) for shape in shapes]

    def terms(self) -> int:
        """How many numbers are added, for how far sums may be apart."""
        height, width, channels = self.size[1:]
        if self.operator == "CONV_2D":
            return self.kernel[0] * self.kernel[1] * channels
        if self.operator == "FULLY_CONNECTED":
            return channels
        if self.operator == "MEAN":
            return height * width
        return self.kernel[0] * self.kernel[1]

    def content(self, batch: int | None = None, signs: bool = True) -> bytes:
        """The file; without signs it is one that LiteRT alone can run."""
        file = GraphFile()
        size = (batch or self.size[0], *self.size[1:])
        image = file.input("uint8" if self.operator == "CAST" else "float", size)
        inputs, options = self._wiring(file, image, size[0])
        result = file.tensor("float", self._output_shape(size))
        file.builtin(self.operator, inputs, result, **options)
        if not signs:
            return file.content(result)
        *front, channels = self._output_shape(size)
        packed = file.tensor("packed", (*front, -(-channels // 32)))
        file.custom("LceQuantize", [result], packed)
        return file.content(result, packed)

    def _wiring(
        self, file: GraphFile, image: int, batch: int
    ) -> tuple[list[int], dict[str, object]]:
        numbers, channels = self.numbers("weights"), self.size[3]
        active = {"fusedActivationFunction": ACTIVATIONS[self.activation]}
        window = {
            "padding": int(self.padding == "valid"),
            "strideH": self.stride[0],
            "strideW": self.stride[1],
        } | active
        if self.operator in _PAIRS:
            other = self._other(file, numbers, batch)
            options = active if self.operator in ("MUL", "ADD", "SUB") else {}
            return [other, image] if self.swapped else [image, other], options
        if self.operator == "CONV_2D":
            shape = (self.channels_out, *self.kernel, channels)
            window["dilationHFactor"], window["dilationWFactor"] = self.dilation
            return [image, *self._weights(file, numbers, shape)], window
        if self.operator.endswith("POOL_2D"):
            window["filterHeight"], window["filterWidth"] = self.kernel
            return [image], window
        if self.operator == "MEAN":
            axes = np.array([2, 1] if self.swapped else [1, 2], np.int32)
            return [image, file.constant("packed", axes)], {"keepDims": self.flag}
        if self.operator == "FULLY_CONNECTED":
            weights = self._weights(file, numbers, (self.channels_out, channels))
            return [image, *weights], active | {"keepNumDims": True}
        if self.operator == "PRELU":
            slopes = numbers.floats(-0.5, 1, 1, 1, channels)
            return [image, file.constant("float", slopes)], {}
        return [image], {"beta": 1.5 if self.flag else 1.0} if (
            self.operator == "SOFTMAX"
        ) else {}

    def _weights(
        self, file: GraphFile, numbers: SteadyNumbers, shape: tuple[int, ...]
    ) -> list[int]:
        weights = file.constant("float", numbers.floats(-1, 1, *shape))
        if self.flag:
            return [weights, -1]
        return [weights, file.constant("float", numbers.floats(-1, 1, shape[0]))]

    def _other_shape(self, batch: int | None = None) -> tuple[int, ...]:
        channels = self.size[3]
        return {
            "map": (batch or self.size[0], *self.size[1:]),
            "gate": (batch or self.size[0], 1, 1, channels),
            "vector": (channels,),
            "single": (1, 1, 1, channels),
            "number": (1,),
        }[self.other.removeprefix("constant_")]

    def _other(self, file: GraphFile, numbers: SteadyNumbers, batch: int) -> int:
        if not self.other.startswith("constant_"):
            return file.input("float", self._other_shape(batch))
        return file.constant("float", numbers.floats(-2, 2, *self._other_shape()))

    def _output_shape(self, size: tuple[int, ...]) -> tuple[int, ...]:
        if self.operator == "MEAN":
            return (size[0], 1, 1, size[3]) if self.flag else (size[0], size[3])
        if self.operator in ("CONV_2D", "MAX_POOL_2D", "AVERAGE_POOL_2D"):
            last = self.channels_out if self.operator == "CONV_2D" else size[3]
            return (size[0], *self.lengths(), last)
        if self.operator == "FULLY_CONNECTED":
            return (*size[:3], self.channels_out)
        return size


def real_cases() -> list[RealOperator]:
    """Always the same, in the same order, names once."""
    numbers = SteadyNumbers(SEED)
    drawn = [
        *_windows(numbers),
        *_elementwise(numbers),
        *_others(numbers),
        *_whole(numbers),
    ]
    return list({case.name: case for case in drawn}.values())


def _size(numbers: SteadyNumbers) -> tuple[int, int, int, int]:
    height, width = numbers.pick((1, 2, 3, 5, 8, 13)), numbers.pick((1, 2, 4, 7, 9))
    channels = numbers.pick((1, 3, 4, 8, 15, 16, 17, 31, 32, 33, 48, 64, 97))
    return (numbers.pick((1, 1, 2, 3)), height, width, channels)


def _windows(numbers: SteadyNumbers) -> Iterator[RealOperator]:
    counts = {"CONV_2D": 150, "MAX_POOL_2D": 60, "AVERAGE_POOL_2D": 60}
    for operator, count in counts.items():
        found = 0
        while found < count:
            is_conv = operator == "CONV_2D"
            case = RealOperator(
                operator,
                _size(numbers),
                numbers.pick((1, 3, 8, 16, 17, 33, 64)) if is_conv else 1,
                numbers.pick(((1, 1), (3, 3), (2, 2), (1, 3), (5, 2), (7, 7))),
                numbers.pick(((1, 1), (2, 2), (1, 2), (3, 1))),
                numbers.pick(((1, 1), (1, 1), (2, 2), (1, 3))) if is_conv else (1, 1),
                numbers.pick(("same", "valid")),
                numbers.pick(tuple(ACTIVATIONS)),
            )
            if min(case.lengths()) > 0:
                found += 1
                yield case


def _elementwise(numbers: SteadyNumbers) -> Iterator[RealOperator]:
    shapes = ("map", "gate", "vector", "single", "number")
    for operator, shape, constant in itertools.product(
        ("MUL", "ADD", "SUB"), shapes, ("", "constant_")
    ):
        for activation in ACTIVATIONS:
            yield RealOperator(
                operator,
                _size(numbers),
                activation=activation,
                other=constant + shape,
                swapped=numbers.pick((False, True)),
            )


def _others(numbers: SteadyNumbers) -> Iterator[RealOperator]:
    for _ in range(12):
        yield RealOperator("PRELU", _size(numbers))
        for flag, swapped in itertools.product((False, True), repeat=2):
            size = _size(numbers)
            yield RealOperator("MEAN", size, swapped=swapped, flag=flag)
        for operator in _UNARY:
            flag = operator == "SOFTMAX" and numbers.pick((False, True))
            yield RealOperator(operator, _size(numbers), flag=flag)
        yield RealOperator(
            "FULLY_CONNECTED",
            _size(numbers),
            numbers.pick((1, 3, 10, 16, 33)),
            activation=numbers.pick(tuple(ACTIVATIONS)),
            flag=numbers.pick((False, True)),
        )


def _whole(numbers: SteadyNumbers) -> Iterator[RealOperator]:
    """What makes whole numbers, and keeps them in their range."""
    for _ in range(14):
        for operator in ("FLOOR", "CAST"):
            yield RealOperator(operator, _size(numbers))
        for operator in ("MAXIMUM", "MINIMUM"):
            for other in ("map", "constant_vector", "constant_number"):
                swapped = numbers.pick((False, True))
                yield RealOperator(
                    operator, _size(numbers), other=other, swapped=swapped
                )
