"""Where memory is short a sentence says it, and no process ends."""

import subprocess
import sys

import numpy as np
from graph_files import GraphFile, num_words
from integer_files import IntegerFile

SHORT = """
import re, resource, sys
import r2b_runtime
content, extra = open(sys.argv[1], "rb").read(), int(sys.argv[2])
litert, delegate = r2b_runtime.library.litert(), r2b_runtime.delegate()
used = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) << 10
resource.setrlimit(resource.RLIMIT_AS, (used + extra, used + extra))
try:
    interpreter = litert.Interpreter(
        model_content=content, experimental_delegates=[delegate]
    )
    interpreter.allocate_tensors()
    print("ran")
except RuntimeError as error:
    print(error)
"""


def said(path, content, megabytes):
    """What comes of a file with so little memory beyond what is in use."""
    path.write_bytes(content)
    found = []
    for each in megabytes:
        command = [sys.executable, "-c", SHORT, path, str(each << 20)]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        assert child.returncode == 0, (each, child.stderr)
        found.append(child.stdout)
    return found


def test_real_valued_filters(tmp_path):
    """Six filters of 2.4 MB in int8, of which each takes four times that in float32."""
    file, shape = GraphFile(), (1, 3, 3, 512)
    last = file.input("float", shape)
    packed = file.tensor("packed", (*shape[:3], num_words(shape[3])))
    for number in range(6):
        weights = np.full((512, 3, 3, 512), number + 1)
        stored = file.constant("int8", weights, (0.5, 0))
        filters = file.builtin(
            "DEQUANTIZE", [stored], file.tensor("float", weights.shape)
        )
        bias = file.constant("float", np.zeros(512))
        result = file.tensor("float", shape)
        last = file.builtin(
            "CONV_2D", [last, filters, bias], result, strideH=1, strideW=1
        )
    file.custom("LceQuantize", [last], packed)
    found = said(tmp_path / "large.tflite", file.content(last), (10, 30, 50, 70))
    assert any("there is no memory for constant tensor" in text for text in found)


def test_integer_filters(tmp_path):
    """18 MB in int8: the filter is packed a chunk at a time, without a copy of it."""
    file = IntegerFile("big", "picture", (1, 6144), 3000, kernel=0, as_int8=True)
    found = said(tmp_path / "large.tflite", file.content(), (70, 90, 110, 130, 250))
    assert any("no memory for its filter" in text for text in found), found
    assert found[-1] == "ran\n"
