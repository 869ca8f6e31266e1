"""A row for a table of machines: what was measured, and on what."""

from __future__ import annotations

import os
import pathlib
import platform
from typing import TYPE_CHECKING

import r2b_runtime
from r2b_runtime.board import machine
from r2b_runtime.board.terminal import on_one_line

if TYPE_CHECKING:
    from r2b_runtime.interpreter import Interpreter
    from r2b_runtime.timing import Timing


def of_machine(
    model: str, interpreter: Interpreter, measured: Timing
) -> dict[str, str]:
    """The row, cells by the names of their columns.

    Args:
      model: path of the network's file.
      interpreter: has run it.
      measured: what it took.
    """
    cpu = machine.cpu_name()
    cores = machine.arm_cores()
    versions = [f"r2b_runtime {r2b_runtime.__version__}"]
    for package in ("ai-edge-litert", "tflite-runtime", "tensorflow"):
        version = machine.package_version(package)
        if version:
            versions.append(f"{package} {version}")
            break
    return {
        "machine": f"{cpu}, {cores}" if cores else cpu,
        "network": pathlib.Path(model).name,
        "KiB": f"{os.path.getsize(model) / 1024:.0f}",
        "kernels": interpreter.kernel or "none",
        "threads": f"{interpreter.num_threads} of {machine.num_cores()} cores",
        "ms": f"{measured.median_ms:.3f}",
        "10-90 %": f"{measured.p10_ms:.3f}-{measured.p90_ms:.3f}",
        "clock": machine.governor() or "unknown",
        "software": f"{_system()}, {', '.join(versions)}",
    }


def to_text(row: dict[str, str]) -> str:
    """A table in Markdown with this row alone."""
    # A bar in a name would end its cell.
    cells = [on_one_line(cell).replace("|", "/") for cell in row.values()]
    head, values = (f"| {' | '.join(line)} |" for line in (row, cells))
    return f"{head}\n|{'---|' * len(row)}\n{values}"


def _system() -> str:
    """Name of the system, such as "Debian GNU/Linux 12 (bookworm)", and Python's."""
    try:
        found = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (AttributeError, OSError, KeyError):  # Python 3.9, or nothing is told
        found = platform.system()
    return f"{found}, Python {platform.python_version()}"
