"""This machine and what is installed on it, for files that say where they are from."""

import importlib.metadata
import os
import pathlib
import platform

_CPU_NAMES = ("model name", "Model", "Hardware")
_CPU_INFORMATION = pathlib.Path("/proc/cpuinfo")
_BOARD = pathlib.Path("/proc/device-tree/model")
_GOVERNOR = pathlib.Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def num_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name(information: pathlib.Path = _CPU_INFORMATION) -> str:
    """Name of the processor, of the board where the processor has none.

    Args:
      information: the system's file about the processor.
    """
    lines = _text(information).splitlines()
    entries = [[part.strip() for part in line.partition(":")[::2]] for line in lines]
    for wanted in _CPU_NAMES:
        for name, value in entries:
            if name == wanted and value:
                return value
    return _first_line(_BOARD) or platform.processor() or platform.machine()


def governor() -> str:
    """What chooses the clock of the processor, empty if the system does not tell."""
    return _first_line(_GOVERNOR)


def package_version(package: str) -> str | None:
    """Version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # systems differ in what they tell


def _first_line(path: pathlib.Path) -> str:
    return _text(path).partition("\n")[0].strip("\0 ")
