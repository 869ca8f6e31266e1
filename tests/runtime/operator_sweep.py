"""The cases that every engine has to pass: a fixed list of more than 2,000.

Values of fields are drawn, then enough cases are added for every two values of two
important fields to meet in one case, where they can.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from block_files import HalfBlocks
from graph_files import WORD
from operator_files import (
    ACTIVATIONS,
    Case,
    Convolution,
    Dequantization,
    Pooling,
    Quantization,
)
from steady_numbers import SteadyNumbers

SEED = "operator sweep 1"
_Values: TypeAlias = dict[str, tuple[Any, ...]]
_Pair: TypeAlias = tuple[tuple[str, Any], tuple[str, Any]]

CHANNELS = (1, 2, 3, 5, 7, 8, 13, 16, 31, 32, 33, 37, 61, 63, 64, 65, 95, 96, 97)
CHANNELS += (127, 128, 129, 160, 192, 224, 255, 256, 257, 320, 384)
CHANNELS_OUT = (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 23, 31, 32, 33, 37, 47, 61, 63)
CHANNELS_OUT += (64, 65, 96, 97, 128)
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 14, 16, 17, 20)
KERNELS = ((1, 1), (3, 3), (5, 5), (2, 2), (2, 3), (3, 2), (1, 3), (3, 1), (1, 7))
KERNELS += ((7, 1), (4, 4), (5, 2), (7, 7))
STRIDES = ((1, 1), (2, 2), (3, 3), (1, 2), (2, 1), (3, 1), (2, 3), (4, 4))
# Scales and zero points of int8; the last makes nearly all values saturate.
QUANTIZATIONS = ((1.0, 0), (0.5, -128), (0.5, 3), (0.037, 13), (2.5, 127), (1e-3, -7))
VALUES = ("unit", "mixed", "halves", "large", "small", "middle", "any", "extreme")

CONVOLUTION: _Values = {
    "padding": ("zeros", "ones", "valid"),
    "output": ("float", "int8", "packed"),
    "kernel": KERNELS,
    "stride": STRIDES,
    "dilation": ((1, 1), (1, 1), (1, 1), (2, 2), (1, 3), (3, 2), (2, 1)),
    "groups": (1, 1, 1, 2, 3, 4),
    "activation": tuple(ACTIVATIONS),
    "batch": (1, 1, 2, 3),
    "channels_in": CHANNELS,
    "channels_out": CHANNELS_OUT,
    "height": SIZES,
    "width": SIZES,
    "values": VALUES,
    "signs": ("random", "random", "random", "positive", "negative", "rare"),
    "quantization": QUANTIZATIONS,
}
IMPORTANT = ("padding", "output", "kernel", "stride", "dilation", "groups")
IMPORTANT += ("activation", "batch", "values", "quantization")
POOLING: _Values = {
    "padding": ("same", "valid"),
    "kernel": KERNELS,
    "stride": STRIDES,
    "batch": (1, 2, 3),
    "channels": CHANNELS,
    "height": SIZES,
    "width": SIZES,
}
BLOCKS: _Values = {
    "height": (1, 2, 3, 5, 8),
    "width": (1, 2, 4, 7),
    "channels": (1, 7, 31, 32, 33, 64, 65, 96),
    "batch": (1, 2, 3),
    "kernel": ((3, 3), (1, 1), (2, 3)),
    "padding": ("zeros", "ones", "valid"),
    "before": tuple(HalfBlocks.NORMALIZATIONS),
    "gate": ("none", "vector", "map", "input"),
    "prelu": (False, True),
    "skip": (False, True),
    "blocks": (1, 2),
    "outputs": ("last", "all"),
}
POOLING_IMPORTANT = ("padding", "kernel", "stride", "batch")
# Words that a case may compare, for the time that it takes.
_MOST_WORK = 400_000


def cases() -> list[Case]:
    """The sweep, always in the same order, every name once."""
    drawn = [
        *_meetings("convolution", CONVOLUTION, IMPORTANT, _convolution, 1500),
        *_edges(),
        *_meetings("pooling", POOLING, POOLING_IMPORTANT, _pooling, 250),
        *_quantizations(),
        *_dequantizations(),
        *_meetings("blocks", BLOCKS, tuple(BLOCKS)[3:], _half_blocks, 150),
    ]
    return list({case.name: case for case in drawn}.values())


def _meetings(
    name: str,
    values: _Values,
    important: tuple[str, ...],
    make: Callable[..., Case],
    count: int,
) -> Iterator[Case]:
    """Cases in which every two values of two important fields meet, then others.

    A pair that cannot meet, such as an activation and a packed output, is tried in
    vain: `make` changes what does not fit.
    """
    numbers = SteadyNumbers(f"{SEED} {name}")
    met: set[_Pair] = set()
    found = 0
    for pair in pairs(values, important):
        for _ in range(30):
            if pair in met:
                break
            case = make(
                **{field: numbers.pick(choice) for field, choice in values.items()}
                | dict(pair)
            )
            if is_possible(case) and pair in (meeting := pairs_of(case, important)):
                met |= meeting
                found += 1
                yield case
    while found < count:
        case = make(**{field: numbers.pick(choice) for field, choice in values.items()})
        if is_possible(case):
            found += 1
            yield case


def pairs(values: _Values, important: tuple[str, ...]) -> dict[_Pair, None]:
    """All pairs of values of two different fields, in a fixed order."""
    return {
        ((one, a), (other, b)): None
        for one, other in itertools.combinations(important, 2)
        for a in values[one]
        for b in values[other]
    }


def pairs_of(case: Case, important: tuple[str, ...]) -> set[_Pair]:
    """The pairs that meet in a case."""
    met = [(field, getattr(case, field)) for field in important]
    return set(itertools.combinations(met, 2))


def _convolution(quantization: tuple[float, int], **chosen: Any) -> Convolution:
    """A case, with what does not fit the output and the groups changed."""
    output, groups = chosen["output"], chosen["groups"]
    size = chosen.pop("batch"), chosen.pop("height"), chosen.pop("width")
    fitting = Convolution.VALUES[output]
    if chosen["values"] not in fitting:
        chosen["values"] = fitting[VALUES.index(chosen["values"]) % len(fitting)]
    if output != "int8":
        quantization = QUANTIZATIONS[0]
    if output == "packed":
        chosen["activation"] = "none"
    if groups > 1:
        # Groups are of whole words.
        words = -(-chosen["channels_in"] // WORD // groups)
        chosen["channels_in"] = groups * WORD * max(1, words)
        chosen["channels_out"] = groups * -(-chosen["channels_out"] // groups)
    return Convolution(size=size, quantization=quantization, **chosen)


def is_possible(case: Convolution | Pooling | HalfBlocks) -> bool:
    """Whether the case has an output, some engine takes it, and it is quick."""
    if isinstance(case, HalfBlocks):
        return min(case.sizes()[-1]) > 0
    lengths = case.lengths()
    if not isinstance(case, Convolution):
        return min(lengths) > 0
    words = -(-case.group_channels // WORD) * math.prod(case.kernel)
    work = case.size[0] * math.prod(lengths) * words * case.channels_out
    return min(lengths) > 0 and work <= _MOST_WORK and not has_odd_zeros(case)


def has_odd_zeros(case: Convolution) -> bool:
    """Zeros for an odd number of channels are half a bit too much for counting.

    Only floats without an activation can be corrected afterwards; LCE refuses others.
    """
    counted = case.output != "float" or case.activation != "none"
    return case.padding == "zeros" and counted and case.channels_in % 2 == 1


def _pooling(batch: int, height: int, width: int, **chosen: Any) -> Pooling:
    return Pooling(size=(batch, height, width), **chosen)


def _half_blocks(batch: int, height: int, width: int, **chosen: Any) -> HalfBlocks:
    """A case; a skip connection needs maps of one size."""
    chosen["skip"] &= chosen["padding"] != "valid"
    return HalfBlocks(size=(batch, height, width), **chosen)


def _edges() -> Iterator[Convolution]:
    """All numbers of channels in and out near a word, and maps near the kernel."""
    base = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "groups": 1}
    base |= {"activation": "none", "signs": "random"}
    values = {"float": "mixed", "int8": "mixed", "packed": "middle"}
    near = [(channels, 9) for channels in (*range(1, 36), 63, 64, 65, 95, 96, 97)]
    near += [(32, channels) for channels in (*range(1, 36), 63, 64, 65, 95, 96, 97)]
    outputs = itertools.cycle(values)
    for channels_in, channels_out in near:
        output = next(outputs)
        common = {"channels_in": channels_in, "channels_out": channels_out} | base
        yield Convolution(
            (1, 3, 4), padding="ones", output=output, values=values[output], **common
        )
    for size, padding in itertools.product(
        itertools.product((1, 2), (1, 2, 3, 4), (1, 2, 3, 4)), ("zeros", "ones")
    ):
        output = next(outputs)
        common = {"channels_in": 34, "channels_out": 5} | base
        yield Convolution(
            size, padding=padding, output=output, values=values[output], **common
        )


def _quantizations() -> Iterator[Quantization]:
    numbers = SteadyNumbers(f"{SEED} quantization")
    for channels in CHANNELS:
        for values in ("random", "special"):
            yield Quantization((*_shape(numbers), channels), "float", values)
        for zero_point in (-128, -127, 0, numbers.below(200) - 100, 127):
            shape = (*_shape(numbers), channels)
            yield Quantization(shape, "int8", zero_point=zero_point)
    for channels in CHANNELS[::3]:
        yield Quantization((*_shape(numbers), channels), "bool")


def _dequantizations() -> Iterator[Dequantization]:
    numbers = SteadyNumbers(f"{SEED} dequantization")
    for channels in CHANNELS:
        for target in ("float", "bool"):
            yield Dequantization((*_shape(numbers), channels), target)
        # 1 / 2.5 and 1 / 0.4 are rounded, the latter half way.
        for scale in (1.0, 2.5, 0.4, 0.0078125, 0.001):
            zero_point = numbers.pick((-128, -1, 0, 5, 127))
            shape = (*_shape(numbers), channels)
            yield Dequantization(shape, "int8", scale, zero_point)


def _shape(numbers: SteadyNumbers) -> tuple[int, ...]:
    """All dimensions but the last, mostly those of a map."""
    ranks = (3, 3, 3, 1, 2, 4)
    return tuple(1 + numbers.below(6) for _ in range(numbers.pick(ranks)))
