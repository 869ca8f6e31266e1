"""This machine and what is installed on it, for files that say where they are from."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform

_CPU_NAMES = ("model name", "Model", "Hardware")
_CPU_INFORMATION = pathlib.Path("/proc/cpuinfo")
_BOARD = pathlib.Path("/proc/device-tree/model")
# Arm's own cores, by the number that Linux tells on 64-bit Arm, where it has no names.
_ARM, _CORES = (
    "0x41",
    {
        "0xd03": "Cortex-A53",
        "0xd04": "Cortex-A35",
        "0xd05": "Cortex-A55",
        "0xd07": "Cortex-A57",
        "0xd08": "Cortex-A72",
        "0xd09": "Cortex-A73",
        "0xd0a": "Cortex-A75",
        "0xd0b": "Cortex-A76",
        "0xd0c": "Neoverse-N1",
        "0xd40": "Neoverse-V1",
        "0xd41": "Cortex-A78",
        "0xd49": "Neoverse-N2",
    },
)
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
    entries = _entries(information)
    for wanted in _CPU_NAMES:
        for name, value in entries:
            if name == wanted and value:
                return value
    return board_name() or platform.processor() or platform.machine()


def board_name() -> str:
    """Name of the board, such as "Raspberry Pi 5 Model B Rev 1.0"; empty on a PC."""
    return _first_line(_BOARD)


def arm_cores(information: pathlib.Path = _CPU_INFORMATION) -> str:
    """Names of Arm's cores, such as "Cortex-A72"; empty where there are none.

    Args:
      information: the system's file about the processor.
    """
    found, is_arm = [], False
    for name, value in _entries(information):
        if name == "CPU implementer":
            is_arm = value == _ARM
        elif name == "CPU part" and is_arm:
            found.append(_CORES.get(value, f"Arm's core {value}"))
    return " and ".join(dict.fromkeys(found))


def governor() -> str:
    """What chooses the clock of the processor, empty if the system does not tell."""
    return _first_line(_GOVERNOR)


def package_version(package: str) -> str | None:
    """Version of an installed package, None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _entries(information: pathlib.Path) -> list[tuple[str, str]]:
    """Names and values of a file of the system."""
    lines = _text(information).splitlines()
    parts = (line.partition(":") for line in lines)
    return [(name.strip(), value.strip()) for name, _, value in parts]


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""  # systems differ in what they tell


def _first_line(path: pathlib.Path) -> str:
    return _text(path).partition("\n")[0].strip("\0 ")
