"""Files that no converter writes, for a delegate that trusts nothing.

    python tests/runtime/damaged_files.py FIRST STEP

loads and runs those from number FIRST on, every STEPth, and says what came of each: the
process dies where the delegate would take a user's program down.
"""

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import delegate_runs
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from graph_files import GraphFile, reopened
from operator_files import Case, Convolution, Dequantization, Pooling, Quantization
from steady_numbers import SteadyNumbers

SEED = "damaged files 1"
SMALL = ((2, 5, 4), 33, 5, (3, 3), (1, 1), (1, 1), 1)
CONVOLUTION = Convolution(*SMALL, "zeros", "float", "none", "mixed", "random")
INT8 = Convolution(*SMALL, "ones", "int8", "relu", "mixed", "random", (0.5, 3))
PACKED = Convolution(*SMALL, "ones", "packed", "none", "middle", "random")
POOLING = Pooling((2, 5, 4), 33, (3, 2), (2, 1), "same")
QUANTIZATION = Quantization((2, 5, 4, 33), "float")
DEQUANTIZATION = Dequantization((2, 5, 4, 33), "int8", 0.5, 3)
NAMES = {
    "conv": "LceBconv2d",
    "pool": "LceBMaxPool2d",
    "quantize": "LceQuantize",
    "dequantize": "LceDequantize",
}
_SIDES = ("stride_height", "stride_width")
_DILATIONS = ("dilation_height_factor", "dilation_width_factor")
_FILTERS = ("filter_height", "filter_width")
_TYPES = schema.TensorType


@dataclass(frozen=True)
class Damage:
    """A file, and whether it must be refused (None: as the delegate likes).

    The name begins with the operator's. `shape` is what the input is resized to.
    """

    name: str
    content: bytes
    refused: bool | None = True
    shape: tuple[int, ...] | None = None


def damages() -> list[Damage]:
    """All of them, always in the same order, names once."""
    found = [*_options(), *_raw_options(), *_tensors(), *_constants(), *_resized()]
    return list({damage.name: damage for damage in found}.values())


def _damaged(
    case: Case,
    what: str,
    change: Callable[[GraphFile], None],
    refused: bool | None = True,
) -> Damage:
    file = reopened(case.content())
    change(file)
    return Damage(f"{NAMES[case.kind]} {what}", file.written(), refused)


def _with_options(case: Case, what: str, options: Any, refused: bool | None) -> Damage:
    raw = options if isinstance(options, bytes) else bytes(flexbuffers.Dumps(options))

    def change(file: GraphFile) -> None:
        file.graph.operators[0].customOptions = np.frombuffer(raw, np.uint8)

    return _damaged(case, f"options {what}", change, refused)


def _written_options(case: Case) -> dict[str, int]:
    raw = reopened(case.content()).graph.operators[0].customOptions
    return flexbuffers.Loads(np.asarray(raw, np.uint8).tobytes())


def _options() -> Iterator[Damage]:
    """Options that are missing, of another type, or of no sense."""
    for case in (CONVOLUTION, PACKED, POOLING):
        options = _written_options(case)
        kind = "packed " if case is PACKED else ""
        for key in options:
            less = {other: value for other, value in options.items() if other != key}
            yield _with_options(case, f"{kind}without {key}", less, True)
            wrong: list[tuple[Any, bool | None]] = [
                ("same", True),
                ([1, 2], True),
                ({"a": 1}, True),
                (None, True),
                (-1, True),
                (99, None),
                (2**31 - 1, None),
                (2**31, True),
                (2**32 + 1, True),
                (2**63 - 1, True),
                (-(2**63), True),
            ]
            if key in (*_SIDES, *_DILATIONS, *_FILTERS, "channels_in"):
                wrong.append((0, True))
            if key in ("padding", "pad_values"):
                wrong += [(2, True), (99, True)]
            if key == "fused_activation_function":
                # 4 and 5 are TensorFlow Lite's TANH and SIGN_BIT.
                wrong += [(6, True), (99, True)]
            if key == "channels_in":
                wrong += [(31, True), (32, True), (65, True), (2**20, True)]
            for value, refused in wrong:
                changed = options | {key: value}
                yield _with_options(case, f"{kind}{key}={value}", changed, refused)
        yield _with_options(case, f"{kind}empty", {}, True)
        yield _with_options(case, f"{kind}a list", [1, 2, 3], True)
        yield _with_options(case, f"{kind}a number", 7, True)
        yield _with_options(case, f"{kind}with others", options | {"zz": 1}, False)


def _raw_options() -> Iterator[Damage]:
    """Bytes that are no FlexBuffer, or nearly one."""
    numbers = SteadyNumbers(SEED)
    for case in (CONVOLUTION, POOLING):
        raw = bytes(flexbuffers.Dumps(_written_options(case)))
        yield _with_options(case, "no bytes", b"", True)
        for length in range(1, len(raw)):
            yield _with_options(case, f"cut to {length}", raw[:length], None)
        for place in range(len(raw)):
            for flip in (1, 0xFF):
                flipped = bytearray(raw)
                flipped[place] ^= flip
                what = f"byte {place} by {flip}"
                yield _with_options(case, what, bytes(flipped), None)
        for length in (1, 2, 3, 4, 7, 16, 64, 300):
            for number in range(4):
                noise = numbers.words(length).astype(np.uint8).tobytes()
                yield _with_options(case, f"noise {length} {number}", noise, None)
    for case in (QUANTIZATION, DEQUANTIZATION):
        # They have none; what stands there is nobody's business.
        yield _with_options(case, "noise", b"\x01\x02\xff", False)


def _set(index: int, **values: Any) -> Callable[[GraphFile], None]:
    """Sets fields of a tensor."""
    return lambda file: vars(file.graph.tensors[index]).update(values)


def _wire(**values: Any) -> Callable[[GraphFile], None]:
    """Sets fields of the operator."""
    return lambda file: vars(file.graph.operators[0]).update(values)


def _tensors() -> Iterator[Damage]:
    """Tensors of another type or shape, or none at all."""
    for case in (CONVOLUTION, PACKED, POOLING, QUANTIZATION, DEQUANTIZATION):
        file = reopened(case.content())
        output = len(file.graph.tensors) - 1
        last, kind = list(file.graph.tensors[0].shape), getattr(case, "output", "")
        for name in ("FLOAT32", "INT32", "INT8", "UINT8", "BOOL", "INT64", "FLOAT16"):
            code = getattr(_TYPES, name)
            for index, side in ((0, "input"), (output, "output")):
                fits = code == file.graph.tensors[index].type
                # The delegate takes several types here; one of them is the file's.
                free = (case.kind, side) in (
                    ("quantize", "input"),
                    ("dequantize", "output"),
                ) or (case.kind == "conv" and side == "output")
                if not fits:
                    what = f"{kind} {side} of {name}"
                    change = _set(index, type=code)
                    yield _damaged(case, what, change, None if free else True)
        for shape in (last[:3], [*last, 1], [], last[:1]):
            refused = None if case.kind in ("quantize", "dequantize") else True
            change = _set(0, shape=np.array(shape, np.int32))
            yield _damaged(case, f"{kind} input of shape {shape}", change, refused)
        for place, size in itertools.product(range(4), (0, -1, 2**31 - 1, 2**12)):
            shape = [size if i == place else n for i, n in enumerate(last)]
            change = _set(0, shape=np.array(shape, np.int32))
            yield _damaged(case, f"{kind} input of shape {shape}", change, None)
        yield _damaged(case, f"{kind} no input", _wire(inputs=[]), True)
        yield _damaged(case, f"{kind} input -1", _wire(inputs=[-1]), True)
        yield _damaged(case, f"{kind} no output", _wire(outputs=[]), True)
        both = _wire(outputs=[output, output])
        yield _damaged(case, f"{kind} two outputs", both, True)


def _constants() -> Iterator[Damage]:
    """Filters and numbers per channel: tensors 1 to 3 of a file."""
    for case in (CONVOLUTION, INT8, PACKED):
        file, kind = reopened(case.content()), case.output
        indices = list(file.graph.operators[0].inputs)
        for place, index in enumerate(indices):
            if index < 0:
                continue
            without = [*indices[:place], -1, *indices[place + 1 :]]
            change = _wire(inputs=without)
            yield _damaged(case, f"{kind} without input {place}", change, True)
            if place == 0:
                continue
            shape = list(file.graph.tensors[index].shape)
            for side, size in itertools.product(range(len(shape)), (0, 1, -1, 2**30)):
                other = [size if i == side else n for i, n in enumerate(shape)]
                change = _set(index, shape=np.array(other, np.int32))
                what = f"{kind} constant {place} of shape {other}"
                yield _damaged(case, what, change, None)
            # As many elements, in another arrangement.
            for other in ([int(np.prod(shape))], [1, *shape], shape[::-1]):
                if other != shape:
                    change = _set(index, shape=np.array(other, np.int32))
                    what = f"{kind} constant {place} as {other}"
                    yield _damaged(case, what, change, None)
            swapped = _TYPES.FLOAT32 if place in (1, 4) else _TYPES.INT32
            change = _set(index, type=swapped)
            yield _damaged(case, f"{kind} constant {place} type", change)
            change = _set(index, buffer=0)
            yield _damaged(case, f"{kind} constant {place} variable", change)
        for number in (0, 1, 4, 6, 9):
            change = _wire(inputs=(indices * 2)[:number])
            yield _damaged(case, f"{kind} {number} inputs", change, True)
    yield from _scales()


def _scales() -> Iterator[Damage]:
    output = len(reopened(INT8.content()).graph.tensors) - 1
    for case in (INT8, DEQUANTIZATION):
        last = output if case is INT8 else 1
        for scale in (0.0, -1.0, np.nan, np.inf, -np.inf, 1e-45):
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.array([scale], np.float32)
            quantization.zeroPoint = np.array([0], np.int64)
            change = _set(last, quantization=quantization)
            tiny = None if scale == 1e-45 else True
            yield _damaged(case, f"output scale {scale}", change, tiny)
        for zero_point in (-129, 128, 2**31 - 1, -(2**31), 2**40):
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.array([0.5], np.float32)
            quantization.zeroPoint = np.array([zero_point], np.int64)
            change = _set(last, quantization=quantization)
            yield _damaged(case, f"output zero point {zero_point}", change, None)
        change = _set(last, quantization=None)
        yield _damaged(case, "output without quantization", change, True)


def _resized() -> Iterator[Damage]:
    """Sound files whose input is resized to what cannot be."""
    for case in (CONVOLUTION, PACKED, POOLING, QUANTIZATION, DEQUANTIZATION):
        shape = list(case.inputs()[0].shape)
        name, content = NAMES[case.kind], case.content()
        kind = f"{name} {getattr(case, 'output', '')} resized to"
        # No dimensions at all crash LiteRT's Arm wheel, whatever the operator.
        for other in (shape[:3], [*shape, 1], [1]):
            refused = True if case.kind in ("conv", "pool") else None
            yield Damage(f"{kind} {other}", content, refused, tuple(other))
        for place, size in itertools.product(range(4), (0, 1, 3, 2**12, 2**31 - 1)):
            other = [size if i == place else n for i, n in enumerate(shape)]
            yield Damage(f"{kind} {other}", content, None, tuple(other))


def outcome(damage: Damage, setting: delegate_runs.Setting) -> str:
    """What came of a file: "ran", or "refused" and the message."""
    try:
        interpreter = delegate_runs.load(damage.content, setting)
        details = interpreter.get_input_details()
        if damage.shape is not None:
            interpreter.resize_tensor_input(details[0]["index"], damage.shape)
        interpreter.allocate_tensors()
        interpreter.invoke()
        for detail in interpreter.get_output_details():
            interpreter.get_tensor(detail["index"])
    except (RuntimeError, ValueError) as error:
        return f"refused {' '.join(str(error).split())}"
    return "ran"


def main(first: int, step: int) -> None:
    setting = delegate_runs.Setting(delegate_runs.kernels()[-1], threads=2)
    for number, damage in list(enumerate(damages()))[first::step]:
        print(number, outcome(damage, setting), flush=True)
        print(number, "done", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
