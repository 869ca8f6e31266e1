"""Constants that an operator writes: files that no converter makes, but LiteRT runs.

LiteRT gives such a tensor memory of its own. What stands in the file is neither what is
read later, nor a place to write to. The operators are behind the first 32, of which the
delegate looks at every tensor.
"""

import delegate_runs
import numpy as np
import pytest
from delegate_runs import Setting
from graph_files import GraphFile

SHAPE = (1, 8)
FILE, WRITTEN = np.full(SHAPE, 7.0), np.arange(8.0).reshape(SHAPE)


def content(kind: str, before: int, is_result: bool, signs: bool) -> bytes:
    """An ADD of what a DEQUANTIZE writes over a constant."""
    file = GraphFile()
    x = file.input("float", SHAPE)
    for _ in range(before):
        x = file.builtin("RELU", [x], file.tensor("float", SHAPE))
    written = file.constant("float", FILE)
    file.builtin("DEQUANTIZE", [file.constant(kind, WRITTEN, (1.0, 0))], written)
    y = file.builtin("ADD", [x, written], file.tensor("float", SHAPE))
    results = [y, written] if is_result else [y]
    if signs:
        packed = file.tensor("packed", (1, 1))
        results.append(file.custom("LceQuantize", [y], packed))
    return file.content(*results)


# LiteRT alone does the DEQUANTIZE of uint8.
@pytest.mark.parametrize("kind", ["int8", "uint8"])
@pytest.mark.parametrize("is_result", [False, True])
@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("claim", ["all", "binary"])
def test_what_is_written_is_read(kind, is_result, fuse, claim):
    zeros = np.zeros(SHAPE, np.float32)
    plain = content(kind, 40, is_result, False)
    for found in delegate_runs.alone(plain, [zeros]):
        np.testing.assert_array_equal(found, WRITTEN)
    file = content(kind, 40, is_result, True)
    before = bytes(bytearray(file))
    kernel = delegate_runs.kernels()[0]
    setting = Setting(kernel, fuse, claim=claim, rest="litert")
    for _ in range(2):
        *found, _ = delegate_runs.outputs(file, [zeros], setting)
        for each in found:
            np.testing.assert_array_equal(each, WRITTEN)
    assert file == before
