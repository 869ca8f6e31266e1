"""The shared library beside this module, and LiteRT, which it is given to."""

from __future__ import annotations

import ctypes
import importlib
import pathlib
import re
from typing import Any

from r2b_runtime.board.errors import InputError, one_line

PATH = pathlib.Path(__file__).with_name("libr2b_delegate.so")

# What there is for x86-64 and for 64-bit Arm; any CPU runs the first.
KERNELS = (
    *("portable", "sse4", "avx2", "avxvnni", "avx512bw", "avx512"),
    *("neon", "neondot"),
)

# The first that is installed is used. A delegate made by one runs in the others too.
INTERPRETERS = (
    "ai_edge_litert.interpreter",
    "tflite_runtime.interpreter",
    "tensorflow.lite.python.interpreter",
)


def delegate(
    kernel: str | None = None,
    fuse: bool = True,
    claim: str = "all",
    profile: bool = False,
) -> Any:
    """Makes a delegate for one or several of LiteRT's interpreters.

    Args:
      kernel: instruction set to use, one of `KERNELS`; the environment variable
        R2B_KERNEL when None, else the best that this CPU has.
      fuse: run several operators in one pass over memory where the graph allows.
      claim: "all" takes real-valued operators between the binary ones too, "binary"
        leaves them to LiteRT.
      profile: time each step, for `r2b_delegate_profile`.

    Returns:
      What an `Interpreter` of `ai_edge_litert`, `tflite_runtime` or `tf.lite` takes in
      `experimental_delegates`.

    Raises:
      InputError: an option or its value is not known, or the library does not load.
    """
    options = {"fuse": int(fuse), "claim": claim, "profile": int(profile)}
    if kernel is not None:
        options["kernel"] = kernel
    load_delegate = litert().load_delegate
    _library()
    try:
        return load_delegate(str(PATH), options)
    except ValueError as error:
        # LiteRT puts a line of its own before the library's sentence.
        sentence = str(error).partition("\n")[2] or str(error)
        sentence = " ".join(sentence.split()).removeprefix("r2b_delegate: ")
        raise InputError(sentence) from error


def explanation(made: Any) -> str:
    """What was claimed and fused, one line for each step.

    Args:
      made: a delegate that an interpreter was given.
    """
    return _ask("r2b_delegate_explanation", made._get_native_delegate_pointer())


def num_threads(made: Any) -> int | None:
    """Threads that an inference uses, None where nothing was claimed.

    They may be fewer than the interpreter was given: there is a limit, and the system
    may start no more.

    Args:
      made: a delegate that an interpreter was given.
    """
    title = re.match(r"\w+ kernels, (\d+) thread", explanation(made))
    return int(title[1]) if title else None


def profile(made: Any) -> str:
    """Times of steps, one line each, as `r2b_delegate.h` describes them.

    Args:
      made: a delegate that was made with `profile`, and has run.
    """
    return _ask("r2b_delegate_profile", made._get_native_delegate_pointer())


def _library() -> ctypes.CDLL:
    """The library; LiteRT prints a traceback of its own where it does not load."""
    try:
        return ctypes.CDLL(str(PATH))
    except OSError as error:
        raise InputError(
            f"The library {PATH.name} does not load ({one_line(error)}): install the "
            "r2b_runtime wheel that was built for this machine."
        ) from error


def _ask(name: str, pointer: int) -> str:
    function = getattr(_library(), name)
    function.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
    function.restype = ctypes.c_size_t
    length = 4096
    while True:
        text = ctypes.create_string_buffer(length + 1)
        # It may have grown since it was asked how long it is.
        found = function(pointer, text, len(text))
        if found <= length:
            return text.value.decode(errors="replace")
        length = found


def require_numpy() -> None:
    """Says what to do where NumPy is missing, as after `pip install --no-deps`.

    Raises:
      InputError: it is not installed, or does not start.
    """
    try:
        importlib.import_module("numpy")
    except ImportError as error:
        raise InputError(
            f"The package numpy does not start here ({one_line(error)}): run "
            "`pip install numpy`."
        ) from error


def litert() -> Any:
    """The module of the interpreter: LiteRT's, or that of an earlier name of it.

    Raises:
      InputError: none is installed, or the first that is does not start.
    """
    for name in INTERPRETERS:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and f"{name}.".startswith(f"{error.name}."):
                continue  # it is not installed; else something that it needs is not
            raise _does_not_start(name, error) from error
        except ImportError as error:
            raise _does_not_start(name, error) from error
    raise InputError(
        "There is no interpreter for .tflite files here: run "
        "`pip install ai-edge-litert`."
    )


def _does_not_start(name: str, error: ImportError) -> InputError:
    package = name.partition(".")[0].replace("_", "-")
    return InputError(
        f"The package {package} does not start here ({one_line(error)}): install it "
        "again, or run `pip install ai-edge-litert`."
    )
