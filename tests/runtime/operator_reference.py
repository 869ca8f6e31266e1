"""What each operator computes, in NumPy, independent of any engine.

Sums of real numbers run in the order of Larq Compute Engine's, one rounding a step, and
numbers too small for all their bits count as 0: its floats can be expected to the bit.
"""

import functools

import numpy as np
from block_files import HalfBlocks
from operator_files import (
    Case,
    Convolution,
    Dequantization,
    Pooling,
    Quantization,
    pack,
    unpack,
)

_LIMITS = {"relu": (0, None), "relu_n1_to_1": (-1, 1), "relu6": (0, 6)}
_LEAST = np.finfo(np.float32).tiny


def flushed(values: np.ndarray) -> np.ndarray:
    """float32 without denormal numbers, as the engine has the processor work."""
    values = np.asarray(values, np.float32)
    return np.where(np.abs(values) < _LEAST, np.copysign(np.float32(0), values), values)


@functools.singledispatch
def expected(case: Case) -> list[np.ndarray]:
    """The outputs of a case, with their shapes and types."""
    raise TypeError(f"There is no reference for {type(case).__name__}.")


@expected.register
def _(case: Quantization) -> list[np.ndarray]:
    (values,) = case.inputs()
    if case.source == "bool":
        return [pack(~values)]
    if case.source == "int8":
        return [pack(values < case.zero_point)]
    return [pack(flushed(values) < 0)]


@expected.register
def _(case: Dequantization) -> list[np.ndarray]:
    negative = unpack(case.inputs()[0], case.shape[-1]).astype(bool)
    if case.target == "bool":
        return [~negative]
    if case.target == "float":
        return [np.where(negative, np.float32(-1), np.float32(1))]
    offset = int(half_away(np.float32(1) / np.float32(case.scale)))
    ends = np.clip([case.zero_point + offset, case.zero_point - offset], -128, 127)
    return [np.where(negative, ends[1], ends[0]).astype(np.int8)]


@expected.register
def _(case: Pooling) -> list[np.ndarray]:
    (words,) = case.inputs()
    pooled = [
        np.bitwise_and.reduce(words[:, rows, columns], axis=(1, 2))
        for rows in _windows(case, 0)
        for columns in _windows(case, 1)
    ]
    shape = (len(words), *case.lengths(), words.shape[-1])
    return [np.stack(pooled, axis=1).reshape(shape)]


def _windows(case: Pooling, side: int) -> list[slice]:
    length, before = case.sides()[side]
    starts = [place * case.stride[side] - before for place in range(length)]
    return [
        slice(max(start, 0), min(start + case.kernel[side], case.size[1 + side]))
        for start in starts
    ]


@expected.register
def _(case: Convolution) -> list[np.ndarray]:
    return [convolved(case, case.input_bits())]


@expected.register
def _(case: HalfBlocks) -> list[np.ndarray]:
    image, *gates = case.inputs()
    found = []
    for block in range(case.blocks):
        before = image
        for name, values in case.normalization(block):
            before = flushed(before * values if name == "MUL" else before + values)
        after = convolved(case.convolution(block), before < 0)
        for gate in case.constant_gates(block) or gates[block : block + 1]:
            after = flushed(after * gate)
        if case.prelu:
            after = np.where(after < 0, flushed(after * case.slopes(block)), after)
        image = flushed(image + after) if case.skip else after
        found.append(image)
    return found if case.outputs == "all" else found[-1:]


def convolved(case: Convolution, bits: np.ndarray) -> np.ndarray:
    """The binary convolution of inputs given as bits `[N, H, W, C]`."""
    counts, outside = differing(case, bits)
    # Where nothing is corrected later, a tap outside counts half of its channels.
    halves = outside // 2 if case.padding == "zeros" else 0
    if case.output == "packed":
        return pack(counts + halves > case.thresholds())
    corrected = case.output == "float" and case.activation == "none"
    doubled = 2 * (counts if corrected else counts + halves)
    scale, zero_point = case.quantization if case.output == "int8" else (1, 0)
    scale = np.float64(np.float32(scale))
    factors, biases = (flushed(x).astype(np.float64) for x in case.multipliers())
    biases = (biases + case.depth * factors) / scale + zero_point
    values = _clamped(case, doubled).astype(np.float32) * flushed(-factors / scale)
    values = flushed(flushed(values) + flushed(biases))
    if corrected and case.padding == "zeros":
        # A padding of +1 was convolved: its share is taken back, in float.
        shares = flushed(flushed(-factors) * outside.astype(np.float32))
        values = flushed(values + shares)
    if case.output == "float":
        return values
    return np.clip(half_away(values), -128, 127).astype(np.int8)


def differing(case: Convolution, bits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Differing bits of each patch and filter, and the filters' sums outside.

    The padding counts as +1 in the first. The second, `[1, H, W, C]`, is the sum of a
    filter's signs over its taps outside of the map.
    """
    inputs = 1 - 2 * bits.astype(np.float32)
    filters = 1 - 2 * case.filter_bits().astype(np.float32)
    rows, columns = (_places(case, side) for side in (0, 1))
    inside = [
        (0 <= at) & (at < size)
        for at, size in zip((rows, columns), case.size[1:], strict=True)
    ]
    mask = inside[0][:, None, :, None] & inside[1][None, :, None, :]
    height, width = case.size[1:]
    y, x = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    patches = inputs[:, y[:, None, :, None], x[None, :, None, :]]
    patches = np.where(mask[None, ..., None], patches, np.float32(1))
    shape = (len(bits), len(rows), len(columns))
    sums = [
        patch.reshape(int(np.prod(shape)), -1) @ part.reshape(len(part), -1).T
        for patch, part in zip(
            np.split(patches, case.groups, axis=-1),
            np.split(filters, case.groups),
            strict=True,
        )
    ]
    total = np.concatenate(sums, axis=-1).reshape(*shape, -1)
    taps = filters.sum(axis=-1).reshape(len(filters), -1)
    beyond = (~mask).reshape(len(rows) * len(columns), -1).astype(np.float32)
    outside = (beyond @ taps.T).reshape(1, len(rows), len(columns), -1)
    return (case.depth - total.astype(np.int64)) // 2, outside.astype(np.int64)


def _places(case: Convolution, side: int) -> np.ndarray:
    """Rows (or columns) of the input, `[output, kernel]`, also outside of it."""
    length, before = case.sides()[side]
    starts = np.arange(length)[:, None] * case.stride[side] - before
    return starts + np.arange(case.kernel[side]) * case.dilation[side]


def _clamped(case: Convolution, doubled: np.ndarray) -> np.ndarray:
    """Twice the counts, limited as the activation limits the sums."""
    if case.activation == "none":
        return doubled
    depth = case.depth
    lowest, highest = _LIMITS[case.activation]
    highest = depth if highest is None else min(highest, depth)
    return np.clip(doubled, depth - highest, depth - max(lowest, -depth))


def half_away(values: np.ndarray) -> np.ndarray:
    """Rounds to whole numbers, halves away from zero; exact, unlike adding 0.5."""
    whole = np.trunc(values)
    return whole + np.sign(values) * (np.abs(values - whole) >= 0.5)
