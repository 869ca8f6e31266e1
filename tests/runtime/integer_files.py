"""Files of one integer layer each, as the converter writes them, and near misses.

A near miss is one thing away from the pattern: the delegate has to run it in floats.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from graph_files import GraphFile
from operator_files import output_size
from steady_numbers import SteadyNumbers


@dataclass(frozen=True)
class IntegerFile:
    """A layer over a picture ("picture") or over floats ("quantized").

    `kernel` 0 is a dense layer. `shift` is what is added before rounding down; with
    `adds` a picture's zeros are added with their signs turned, and not taken away.
    `twist` is what is not as in the pattern.
    """

    name: str
    source: str
    size: tuple[int, ...]
    channels_out: int
    kernel: int = 1
    stride: int = 1
    same: bool = True
    weight: int = 63
    limits: tuple[float, float] = (-127, 127)
    highest_first: bool = False
    relu: bool = False
    pool: str = ""
    pooled_before: bool = False
    as_int8: bool = False
    shift: float = 0.5
    adds: bool = False
    twist: str = ""

    @property
    def is_dense(self) -> bool:
        return self.kernel == 0

    def inputs(self) -> list[np.ndarray]:
        numbers = SteadyNumbers(f"integer input {self.name}")
        if self.source == "picture":
            picture = numbers.whole(0, 255, *self.size).astype(np.uint8)
            picture.flat[:2] = 0, 255
            return [picture]
        # Quarters: means of four are exact.
        values = numbers.whole(-640, 640, *self.size).astype(np.float32) / 4
        if self.twist == "NaN":
            values.flat[0] = np.nan
        return [values]

    def content(self, signs: bool = True) -> bytes:
        """The file; without signs it is one that LiteRT alone can run."""
        file, numbers = GraphFile(), SteadyNumbers(f"integer layer {self.name}")
        kind = "uint8" if self.source == "picture" else "float"
        first = file.input(kind, self.size)
        inner, size = self._input(file, numbers, first)
        y, size = self._layer(file, numbers, inner, size)
        results = [y]
        if self.twist == "result":
            results.append(inner)
        if self.twist == "reader":
            results.append(_add(file, "LOGISTIC", [inner], file_shape(file, inner)))
        if signs:
            packed = file.tensor("packed", (*size[:-1], -(-size[-1] // 32)))
            results.append(file.custom("LceQuantize", [y], packed))
        return file.content(*results)

    def _input(
        self, file: GraphFile, numbers: SteadyNumbers, x: int
    ) -> tuple[int, tuple[int, ...]]:
        size = self.size
        if self.source == "picture":
            x = _add(file, "CAST", [x], size)
            zeros = numbers.whole(0, 255, size[-1]).astype(np.float32)
            zeros[:3] = (0, 127, 255)[: size[-1]]
            zeros += {"half zero": 0.5, "zero outside": 300}.get(self.twist, 0)
            if self.twist == "no zero":
                return x, size
            name, sign = ("ADD", -1) if self.adds else ("SUB", 1)
            zeros = file.constant("float", sign * zeros)
            return _add(file, name, [x, zeros], size), size
        if self.pooled_before:
            size = (size[0], size[1] // 2, size[2] // 2, size[3])
            x = _pool(file, "AVERAGE_POOL_2D", x, size, 2)
        scale = np.full(size[-1] if self.twist == "scales" else (), 0.7071)
        x = _add(file, "MUL", [x, file.constant("float", scale)], size)
        shift = file.constant("float", np.array(self.shift))
        x = _add(file, "SUB" if self.twist == "minus" else "ADD", [x, shift], size)
        if self.twist != "no floor":
            x = _add(file, "FLOOR", [x], size)
        return self._limited(file, x, size), size

    def _limited(self, file: GraphFile, x: int, size: tuple[int, ...]) -> int:
        steps = list(zip(("MAXIMUM", "MINIMUM"), self.limits, strict=True))
        for name, limit in steps[::-1] if self.highest_first else steps:
            if name == "MAXIMUM" and self.relu:
                x = _add(file, "RELU", [x], size)
                continue
            pair = [x, file.constant("float", np.array(limit))]
            is_swapped = self.twist == "swapped"
            x = _add(file, name, pair[::-1] if is_swapped else pair, size)
        return x

    def _layer(
        self,
        file: GraphFile,
        numbers: SteadyNumbers,
        x: int,
        size: tuple[int, ...],
    ) -> tuple[int, tuple[int, ...]]:
        front = () if self.is_dense else (self.kernel, self.kernel)
        shape = (self.channels_out, *front, size[-1])
        weights = numbers.whole(-self.weight, self.weight, *shape).astype(np.float32)
        # The largest sums that there can be, of both signs.
        weights[0], weights[-1] = self.weight, -self.weight
        weights.flat[-1] += 0.5 if self.twist == "half weight" else 0
        bias = numbers.whole(-99, 99, shape[0]) + (self.twist == "half bias") / 2
        if self.as_int8:
            scale = 0.5 if self.twist == "half scale" else 1.0
            packed = file.constant("int8", weights, (scale, 0))
            filters = _add(file, "DEQUANTIZE", [packed], shape)
        else:
            filters = file.constant("float", weights)
        inputs = [x, filters, file.constant("float", bias)]
        dilation = 2 if self.twist == "dilation" else 1
        if self.is_dense:
            size = (*size[:-1], shape[0])
            y = _add(file, "FULLY_CONNECTED", inputs, size, keepNumDims=True)
        else:
            sides = tuple(
                output_size(side, self.kernel, self.stride, dilation, self.same)[0]
                for side in size[1:3]
            )
            size = (size[0], *sides, shape[0])
            window = {"strideH": self.stride, "strideW": self.stride}
            window |= {"dilationHFactor": dilation, "dilationWFactor": dilation}
            y = _add(
                file, "CONV_2D", inputs, size, padding=int(not self.same), **window
            )
        for name, lowest in (("MUL", 0.001), ("ADD", -3)):
            values = numbers.floats(lowest, 2, shape[0])
            y = _add(file, name, [y, file.constant("float", values)], size)
        return self._end(file, numbers, y, size)

    def _end(
        self, file: GraphFile, numbers: SteadyNumbers, y: int, size: tuple[int, ...]
    ) -> tuple[int, tuple[int, ...]]:
        if self.pool:
            slopes = numbers.floats(0.1, 1, 1, 1, size[-1])
            y = _add(file, "PRELU", [y, file.constant("float", slopes)], size)
            size = (size[0], -(-size[1] // 2), -(-size[2] // 2), size[3])
            y = _pool(file, self.pool, y, size, 3)
        return y, size


def file_shape(file: GraphFile, index: int) -> tuple[int, ...]:
    return tuple(file.graph.tensors[index].shape)


def _add(
    file: GraphFile,
    name: str,
    inputs: Sequence[int],
    shape: Sequence[int],
    **options: object,
) -> int:
    return file.builtin(name, inputs, file.tensor("float", shape), **options)


def _pool(
    file: GraphFile, name: str, x: int, size: tuple[int, ...], kernel: int
) -> int:
    window = {"strideH": 2, "strideW": 2, "filterHeight": kernel, "filterWidth": kernel}
    return _add(file, name, [x], size, **window)


_STEM = IntegerFile(
    "stem", "picture", (1, 30, 33, 3), 64, 7, 2, pool="MAX_POOL_2D", as_int8=True
)
_DOWN = IntegerFile("downsampling", "quantized", (1, 8, 6, 64), 100, as_int8=True)
_DENSE = IntegerFile("classifier", "quantized", (2, 512), 10, kernel=0, as_int8=True)


def _of(base: IntegerFile, name: str, **changes: object) -> IntegerFile:
    return dataclasses.replace(base, name=name, **changes)  # type: ignore[arg-type]


def layers() -> list[IntegerFile]:
    """Those that are integer layers."""
    return [
        _STEM,
        _of(_STEM, "two stems", size=(2, 17, 64, 3)),
        _of(_STEM, "valid stem", same=False, pool=""),
        _of(_STEM, "stem of floats", as_int8=False),
        _of(_STEM, "no zeros", twist="no zero"),
        _of(_STEM, "zero outside, valid", same=False, twist="zero outside", weight=40),
        _of(_STEM, "small stem", kernel=3, stride=1),
        _of(_STEM, "grey stem", size=(1, 9, 9, 1), channels_out=3, kernel=3, pool=""),
        _of(_STEM, "picture of pixels", kernel=1, stride=1, pool="", same=False),
        _of(_STEM, "reaches far out", size=(1, 2, 3, 3), pool=""),
        _of(_STEM, "added", adds=True),
        _of(_STEM, "added, valid", adds=True, same=False, pool=""),
        _of(_STEM, "added, grey", adds=True, size=(1, 9, 9, 1), channels_out=3),
        *(
            _of(_STEM, f"stem of width {width}", size=(1, 8, width, 3), channels_out=10)
            for width in range(1, 41)
        ),
        _DOWN,
        _of(_DOWN, "pooled downsampling", pooled_before=True),
        _of(_DOWN, "strided downsampling", stride=2),
        _of(_DOWN, "downsampling of floats", as_int8=False, channels_out=33),
        _of(_DOWN, "unsigned", limits=(0, 255)),
        _of(_DOWN, "unsigned by RELU", limits=(0, 255), relu=True),
        _of(_DOWN, "RELU last", limits=(0, 255), relu=True, highest_first=True),
        _of(_DOWN, "eight bits", limits=(-128, 127), highest_first=True),
        _of(_DOWN, "not around zero", limits=(3, 200), same=False),
        _of(_DOWN, "NaN is the lowest", twist="NaN"),
        _of(_DOWN, "NaN is the highest", twist="NaN", highest_first=True),
        _of(_DOWN, "rounded down", shift=0.0),
        _of(_DOWN, "rounded up by a quarter", shift=0.25, pooled_before=True),
        _of(_DOWN, "moved far", shift=-31.3, limits=(-128, 127), highest_first=True),
        _of(_DENSE, "moved classifier", shift=96.3, limits=(0, 255)),
        _of(_DOWN, "a neighbourhood", size=(2, 5, 7, 12), kernel=3, same=True),
        _of(_DOWN, "odd channels", size=(1, 5, 7, 13), channels_out=1000),
        _DENSE,
        _of(_DENSE, "one class", channels_out=1),
        _of(_DENSE, "thousand classes", channels_out=1000, as_int8=False),
        _of(_DENSE, "a dense map", size=(2, 3, 2, 31), channels_out=100),
        _of(_DENSE, "as many as are exact", size=(1, 2096), weight=63),
    ]


def near_misses() -> list[IntegerFile]:
    """Those that are not."""
    return [
        _of(_STEM, "weight of a half", twist="half weight", as_int8=False),
        _of(_STEM, "weights of halves", twist="half scale"),
        _of(_STEM, "zero of a half", twist="half zero"),
        _of(_STEM, "padding is no byte", twist="zero outside", weight=40),
        _of(_STEM, "added half", twist="half zero", adds=True),
        _of(
            _STEM,
            "added, padding is no byte",
            twist="zero outside",
            adds=True,
            weight=40,
        ),
        _of(_STEM, "bias of a half", twist="half bias"),
        _of(_STEM, "dilated", twist="dilation", stride=1),
        _of(_STEM, "second reader of the picture", twist="reader"),
        _of(_STEM, "the numbers are a result", twist="result"),
        _of(_DOWN, "second reader of the numbers", twist="reader"),
        _of(_DOWN, "a factor for each channel", twist="scales"),
        _of(_DOWN, "half is taken away", twist="minus"),
        _of(_DOWN, "not rounded", twist="no floor"),
        _of(_DOWN, "NaN stays", twist="swapped"),
        _of(_DOWN, "257 numbers", limits=(0, 256)),
        _of(_DOWN, "limit of a half", limits=(-127, 127.5)),
        _of(_DOWN, "weight of eight bits", weight=128, as_int8=False),
        _of(_DOWN, "zero is no byte", limits=(3, 200)),
        _of(_DENSE, "sums of more than 24 bits", size=(1, 2097)),
        # All are 0, but kernels may add 128 times the weights in 32 bits.
        _of(
            _DENSE,
            "weights of 24 bits",
            size=(1, 133_153),
            limits=(0, 0),
            channels_out=2,
        ),
    ]
