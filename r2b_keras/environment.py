"""The one place that prepares TensorFlow with Keras 2 for this package.

Larq's layers and the Larq Compute Engine converter need Keras 2 (`tf-keras`).
TensorFlow chooses its Keras from an environment variable on its first import, so the
variable is set here and everything else takes TensorFlow and larq from this module::

    from r2b_keras.environment import lq, tf

Kept free of newer syntax: an old Python must get as far as the sentence about it.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, Any

# Descriptor 2 is the whole process's: threads that hold it back wait for each other.
_STDERR = threading.RLock()

MINIMUM_PYTHON = (3, 10)
FIRST_UNSUPPORTED_PYTHON = (3, 13)
KERAS_VARIABLE = "TF_USE_LEGACY_KERAS"

# Module, package that has it, and what else is to be said: what commands import at
# once, and what they import when they are asked to do something.
COMMAND_PACKAGES = (("absl", "absl-py", ""), ("numpy", "numpy", ""))
PACKAGES = (
    ("tensorflow", "tensorflow", ""),
    # Keras 2, as larq does not run on Keras 3.
    ("tf_keras", "tf-keras", ", in the version that tensorflow has"),
    ("larq", "larq", ""),
    ("keras_tuner", "keras-tuner", ""),
    ("matplotlib", "matplotlib", ""),
    ("PIL", "pillow", ""),
    ("ai_edge_litert", "ai-edge-litert", ""),
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    import keras_tuner as kt
    import larq as lq
    import tensorflow as tf
    from tensorboard.plugins.hparams import api as hparams

    __all__ = ["hparams", "kt", "lq", "tf"]


class EnvironmentProblem(RuntimeError):
    """This Python environment cannot run the package; the message says why."""


def check_python(version: tuple[int, ...] | None = None) -> None:
    """Raises `EnvironmentProblem` unless Python is 3.10, 3.11 or 3.12.

    Args:
      version: the version to check, the running interpreter's when None.
    """
    version = version or tuple(sys.version_info[:3])
    if not MINIMUM_PYTHON <= version[:2] < FIRST_UNSUPPORTED_PYTHON:
        raise EnvironmentProblem(
            f"r2b_keras runs on Python 3.10, 3.11 and 3.12, this is Python "
            f"{'.'.join(map(str, version))}: make the environment with one of those, "
            "for example `python3.11 -m venv .venv`."
        )


def check_packages(packages: tuple[tuple[str, str, str], ...]) -> None:
    """Raises `EnvironmentProblem` naming the first package that is not installed.

    Args:
      packages: each as (module, package, end of the sentence).
    """
    for module, package, hint in packages:
        if importlib.util.find_spec(module) is None:
            raise EnvironmentProblem(
                f"The package {package} is not installed, and r2b_keras needs it: run "
                f"`pip install {package}` in this environment{hint}."
            )


def _legacy_keras_chosen() -> bool:
    return os.environ.get(KERAS_VARIABLE, "").lower() in ("1", "true")


def choose_legacy_keras() -> None:
    """Makes a TensorFlow that is imported from now on use Keras 2.

    Does nothing where TensorFlow was imported before: `check_keras` tells that.
    """
    if "tensorflow" not in sys.modules:
        os.environ[KERAS_VARIABLE] = "1"
        # Start-up notes, such as "no GPU found", are of no use to a user of this
        # package; real problems raise exceptions.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def check_keras() -> None:
    """Raises `EnvironmentProblem` if TensorFlow was imported before with Keras 3."""
    if "tensorflow" in sys.modules and not _legacy_keras_chosen():
        raise EnvironmentProblem(
            "TensorFlow was imported before r2b_keras and uses Keras 3, but larq needs "
            f"Keras 2: import r2b_keras first, or set {KERAS_VARIABLE}=1 before "
            "starting Python."
        )


def check() -> None:
    """Raises `EnvironmentProblem` if this environment cannot run the package."""
    check_python()
    check_packages(COMMAND_PACKAGES + PACKAGES)
    check_keras()


def check_at_import() -> None:
    """Refuses a wrong Python before newer syntax or a missing package is met.

    For `python -m r2b_keras.NAME` it also checks what every command imports at once,
    and ends with the sentence alone, without a traceback; `command.run` checks the
    rest. While Python looks for the module that it is to run, `sys.argv[0]` is `-m`.

    Raises:
      EnvironmentProblem: Python is not 3.10, 3.11 or 3.12.
    """
    if sys.argv[:1] != ["-m"]:
        return check_python()
    check_for_commands()
    if any(
        word.removeprefix("-m").split(".")[0] == __package__ for word in sys.orig_argv
    ):
        tell_ctrl_c_at_start()


def check_for_commands() -> None:
    """Ends the process with the sentence alone where no command can start."""
    try:
        check_python()
        check_packages(COMMAND_PACKAGES)
    except EnvironmentProblem as problem:
        raise SystemExit(str(problem)) from None


def tell_ctrl_c_at_start() -> None:
    """Has Ctrl-C end in one sentence while a command is still being imported.

    For processes that are commands alone; once it runs, `command.run` tells.
    """

    def tell(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("Stopped by Ctrl-C.", file=sys.stderr)
        else:
            sys.__excepthook__(kind, error, trace)

    sys.excepthook = tell


@contextlib.contextmanager
def held_back_stderr(show_on_error: bool = False) -> Iterator[Callable[[], str]]:
    """Keeps off the screen what native code writes to standard error.

    TensorFlow's libraries greet on import before any log level can reach them.

    Args:
      show_on_error: write it after all where an exception leaves the block.

    Yields:
      What tells what has been written.
    """
    with _STDERR:
        yield from _held_back(show_on_error)


def _held_back(show_on_error: bool) -> Iterator[Callable[[], str]]:
    sys.stderr.flush()
    descriptor = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)

        def written() -> str:
            held.seek(0)
            return held.read().decode(errors="replace")

        try:
            yield written
        except BaseException:  # Ctrl-C too; all of them go on
            if show_on_error:
                os.write(descriptor, written().encode())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(descriptor, 2)
            os.close(descriptor)


_MODULES = {
    "tf": "tensorflow",
    "lq": "larq",
    "kt": "keras_tuner",
    "hparams": "tensorboard.plugins.hparams.api",
}


def __getattr__(name: str) -> Any:
    """Checks the environment and imports TensorFlow (`tf`), or what imports it."""
    if name in _MODULES:
        check()
        with held_back_stderr(show_on_error=True):
            return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
