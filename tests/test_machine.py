"""The machine, as the system tells of it."""

import os

import pytest

from r2b_keras import machine


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
