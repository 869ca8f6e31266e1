"""The machine, as the system tells of it."""

import os

import pytest

from r2b_keras.board import machine


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC\nmodel\t: 1\n", "AMD EPYC"),
        ("BogoMIPS\t: 108\n\nModel\t\t: Raspberry Pi 4 B\n", "Raspberry Pi 4 B"),
        ("Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 3\n", "Raspberry Pi 3"),
    ],
)
def test_name_of_the_processor(tmp_path, content, name):
    path = tmp_path / "cpuinfo"
    path.write_text(content)
    assert machine.cpu_name(path) == name
    assert machine.cpu_name(tmp_path / "absent")


@pytest.mark.parametrize(
    ("cores", "names"),
    [
        ((("0x41", "0xd08"),) * 4, "Cortex-A72"),
        (
            (("0x41", "0xd05"), ("0x41", "0xd0b"), ("0x41", "0xd05")),
            "Cortex-A55 and Cortex-A76",
        ),
        ((("0x41", "0xfff"),), "Arm's core 0xfff"),
        ((("0x61", "0xd08"),), ""),  # Apple's
        ((), ""),
    ],
)
def test_names_of_arm_s_cores(tmp_path, cores, names):
    entry = "processor\t: 0\nCPU implementer\t: {}\nCPU part\t: {}\n\n"
    path = tmp_path / "cpuinfo"
    path.write_text("".join(entry.format(*core) for core in cores))
    assert machine.arm_cores(path) == names
    assert machine.arm_cores(tmp_path / "absent") == ""


def test_cores_are_those_that_the_process_may_use():
    given = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(given)})
        assert machine.num_cores() == 1
    finally:
        os.sched_setaffinity(0, given)


def test_a_package_that_is_not_installed():
    assert machine.package_version("numpy")
    assert machine.package_version("no-such-package") is None
