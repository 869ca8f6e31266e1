"""Where memory is short a sentence says it, and no process ends."""

import subprocess
import sys

import numpy as np
from graph_files import BINARY_OPTIONS, GraphFile, num_words
from integer_files import IntegerFile

TAKEN = """
import resource, sys
import r2b_runtime
content = open(sys.argv[1], "rb").read()
litert, delegate = r2b_runtime.library.litert(), r2b_runtime.delegate()
def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before = most()
try:
    interpreter = litert.Interpreter(
        model_content=content, experimental_delegates=[delegate]
    )
    interpreter.allocate_tensors()
except RuntimeError as error:
    print(error)
print(most() - before)
"""

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


def taken(path, content):
    """What is said of a file, if anything, and MB that it takes to be loaded."""
    path.write_bytes(content)
    command = [sys.executable, "-c", TAKEN, path]
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    *words, megabytes = child.stdout.splitlines()
    return " ".join(words), int(megabytes)


def test_many_pools_of_many_windows(tmp_path):
    """100 operators of 110 bytes each, whose every window is another one."""
    file, width = GraphFile(), 300_000
    first = last = file.input("float", (1, 1, width, 1))
    for _ in range(100):
        last = file.builtin(
            "MAX_POOL_2D",
            [last],
            file.tensor("float", (1, 1, width, 1)),
            **{"strideH": 1, "strideW": 1, "filterHeight": 1, "filterWidth": 2 * width},
        )
    packed = file.custom(
        "LceQuantize", [first], file.tensor("packed", (1, 1, width, 1))
    )
    words, megabytes = taken(tmp_path / "pools.tflite", file.content(last, packed))
    assert words == "" and megabytes < 60


def test_many_convolutions_of_one_filter(tmp_path):
    """Each adds something else to every position: windows reach beyond both ends."""
    file, width, channels = GraphFile(), 256, 1024
    image = file.input("float", (1, 1, width, 32))
    packed = file.custom(
        "LceQuantize", [image], file.tensor("packed", (1, 1, width, 1))
    )
    filters = np.zeros((channels, 1, 2 * width, 1), np.int32)
    constants = [
        file.constant("packed", filters),
        file.constant("float", np.ones(channels)),
        file.constant("float", np.zeros(channels)),
    ]
    found = [
        file.custom(
            "LceBconv2d",
            [packed, *constants, -1],
            file.tensor("float", (1, 1, width, channels)),
            BINARY_OPTIONS | {"channels_in": 32, "pad_values": 0},
        )
        for _ in range(200)
    ]
    words, megabytes = taken(tmp_path / "filters.tflite", file.content(*found))
    assert "its tables and those before it, of what padding adds" in words
    assert megabytes < 128


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
