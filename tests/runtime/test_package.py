"""The installed package r2b_runtime: what it holds, asks for and imports."""

import ast
import ctypes
import importlib.metadata
import pathlib
import platform
import re
import struct
import sys
import zipfile

import delegate_runs
import pytest

import r2b_runtime
from r2b_runtime import library
from tests.test_packaging import imported_modules
from tests.test_r2b_command import python

ROOT = pathlib.Path(__file__).parent.parent.parent
SOURCES = ROOT / "runtime" / "r2b_runtime"
HEADER_FILE = ROOT / "runtime" / "include" / "r2b_delegate.h"
HEADER = HEADER_FILE.read_text()


def functions_of_the_header():
    code = re.sub(r"/\*.*?\*/", "", HEADER, flags=re.DOTALL)
    return set(re.findall(r"(\w+)\s*\([^()]*(?:\([^()]*\)[^()]*)*\);", code))


def exported_symbols(content):
    """Names of what a 64-bit ELF library defines for others."""
    sections, _, _, _, _, size, count = struct.unpack_from("<QI5H", content, 40)
    tables = [
        struct.unpack_from("<IIQQQQIIQQ", content, sections + size * i)
        for i in range(count)
    ]
    (symbols,) = (table for table in tables if table[1] == 11)  # SHT_DYNSYM
    strings = tables[symbols[6]][4]
    names = set()
    for place in range(symbols[4], symbols[4] + symbols[5], 24):
        name, kind, _, section = struct.unpack_from("<IBBH", content, place)
        if section and kind >> 4:
            names.add(content[strings + name : content.index(0, strings + name)])
    return {name.decode() for name in names}


def test_the_library_exports_what_its_header_declares_and_nothing_else():
    declared = functions_of_the_header()
    assert "tflite_plugin_create_delegate" in declared and len(declared) >= 4
    assert exported_symbols(library.PATH.read_bytes()) == declared


def test_the_header_names_every_kernel():
    (names,) = re.findall(r"^ \*   kernel +([\w ,]+);", HEADER, re.MULTILINE)
    assert tuple(names.split(", ")) == library.KERNELS


# What Linux calls the features of a CPU that a set of kernels needs.
FEATURES = {
    "portable": set(),
    "sse4": {"ssse3", "sse4_1", "sse4_2", "popcnt"},
    "avx2": {"ssse3", "sse4_2", "popcnt", "avx2", "fma", "bmi2"},
    "avxvnni": {"avx2", "fma", "bmi2", "avx_vnni"},
    "avx512bw": {"avx2", "fma", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "avx512": {"avx512bw", "avx512vl", "avx512_vpopcntdq", "avx512_vnni"},
}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="features of x86-64")
def test_kernels_are_those_of_this_cpu():
    """None is left out of the build, and none is taken where it would not run."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    (flags, *_) = re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)
    able = {name for name, needed in FEATURES.items() if needed <= set(flags.split())}
    assert set(delegate_runs.kernels()) == able


def tag():
    """Of the wheel: what `make runtime` built, or `pip install ./runtime`."""
    text = importlib.metadata.distribution("r2b_runtime").read_text("WHEEL")
    return re.search(r"^Tag: (.+)$", text, re.MULTILINE)[1]


@pytest.mark.skipif("manylinux" not in tag(), reason="built for this machine only")
def test_the_library_loads_with_old_systems():
    """The wheel's name promises glibc 2.17; the C++ library is inside."""
    content = library.PATH.read_bytes()
    versions = set(re.findall(rb"GLIBC_([0-9.]+)", content))
    assert versions
    assert max(tuple(map(int, v.split(b"."))) for v in versions) <= (2, 17)
    assert b"libstdc++" not in content and b"GLIBCXX" not in content


# What bionic has since API 26 to 34 only, of what C++ programs for Linux call.
NOT_IN_ANDROID_24 = set(
    "aligned_alloc timespec_get getrandom getentropy reallocarray memfd_create "
    "pthread_cond_clockwait pthread_mutex_clocklock pthread_getname_np "
    "pthread_setaffinity_np pthread_getaffinity_np pthread_setattr_default_np "
    "thrd_create mtx_lock call_once glob iconv nl_langinfo posix_spawn fexecve "
    "strtod_l strtof_l sync_file_range syncfs copy_file_range close_range statx "
    "renameat2 mlock2 preadv2 getloadavg backtrace".split()
)


def test_the_library_calls_what_android_has():
    """BUILD.md's recipe is for API 24; no NDK is needed to see what is called."""
    code = "".join(
        re.sub(r"//.*", "", path.read_text())
        for path in (ROOT / "runtime" / "src").rglob("*.[ch]*")
    )
    called = set(re.findall(r"\b(\w+)\(", code))
    assert {"posix_memalign", "madvise"} <= called
    assert not called & NOT_IN_ANDROID_24


def test_one_version():
    assert importlib.metadata.version("r2b_runtime") == r2b_runtime.__version__
    version = ctypes.CDLL(str(library.PATH)).r2b_delegate_version
    version.restype = ctypes.c_char_p
    assert version().decode() == r2b_runtime.__version__


def test_what_is_installed():
    assert tag() in ("py3-none-manylinux_2_17_x86_64", "py3-none-linux_x86_64")
    distribution = importlib.metadata.distribution("r2b_runtime")
    files = {str(path) for path in distribution.files if "__pycache__" not in str(path)}
    files = {name for name in files if ".dist-info" not in name}
    modules = {path.relative_to(SOURCES) for path in SOURCES.rglob("*.py")}
    native = {
        *("libr2b_delegate.so", "include/r2b_delegate.h"),
        "cmake/r2b_runtimeConfig.cmake",
        "cmake/r2b_runtimeConfig-release.cmake",
        "cmake/r2b_runtimeConfigVersion.cmake",
    }
    assert files == {f"r2b_runtime/{path}" for path in {*map(str, modules), *native}}
    for path in modules:
        installed = (library.PATH.parent / path).read_text()
        assert installed == (SOURCES / path).read_text(), "make test installs it anew"


def test_what_it_asks_for():
    metadata = importlib.metadata.metadata("r2b_runtime")
    assert metadata["Requires-Python"] == ">=3.9"
    assert metadata["License-Expression"] == "Apache-2.0"
    names = {re.match("[a-z-]+", each)[0] for each in metadata.get_all("Requires-Dist")}
    assert names == {"ai-edge-litert", "numpy", "pillow"}
    files = SOURCES.rglob("*.py")
    imported = set().union(*(imported_modules(path, (3, 9)) for path in files))
    # LiteRT itself is imported by name, in one place.
    known = set(sys.stdlib_module_names) | {"__future__", "r2b_runtime"}
    assert imported - known == {"numpy", "PIL"}


def test_python_3_9_runs_what_it_reads():
    """Types in a union are new in Python 3.10 where they are no annotation."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance":
                kinds = node.args[1]
                assert not isinstance(kinds, ast.BinOp), f"{path}:{node.lineno}"


@pytest.mark.slow
def test_nothing_of_tensorflow_or_r2b_keras_is_imported():
    result = python(
        "-c",
        "import sys, r2b_runtime\n"
        "from r2b_runtime import pictures, timing\n"
        "from r2b_runtime.board import classification\n"
        "r2b_runtime.delegate()\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'larq', 'r2b_keras', 'absl'}\n"
        "print(sorted(heavy & set(sys.modules)))",
    )
    assert result == (0, "[]\n", "")


def test_names_that_there_are_none():
    with pytest.raises(AttributeError, match="'r2b_runtime' has no attribute 'Net'"):
        _ = r2b_runtime.Net
    assert r2b_runtime.Interpreter.__module__ == "r2b_runtime.interpreter"


def wheels(machine):
    """Of this version, and no older than the library's header."""
    name = f"r2b_runtime-{r2b_runtime.__version__}-py3-none-*_{machine}.whl"
    changed = HEADER_FILE.stat().st_mtime
    found = (ROOT / "dist").glob(name)
    return [path for path in found if path.stat().st_mtime >= changed]


@pytest.mark.skipif(not wheels("aarch64"), reason="`make runtime` has not been run")
def test_the_wheel_for_arm():
    with zipfile.ZipFile(wheels("aarch64")[0]) as archive:
        content = archive.read("r2b_runtime/libr2b_delegate.so")
    assert content[:4] == b"\x7fELF" and content[18:20] == b"\xb7\0"  # EM_AARCH64
    assert exported_symbols(content) == functions_of_the_header()
    assert set(re.findall(rb"GLIBC_([0-9.]+)", content)) == {b"2.17"}
