"""runtime/tests/arm_userland takes Debian's packages from where this machine does."""

import os
import pathlib
import subprocess

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "runtime" / "tests" / "arm_userland"
# Stands in for apt-get: tells the mirrors it is given, then its sources, and fails.
APT = """#!/bin/sh
if [ "$1" = indextargets ]; then
  printf '%s' "$MIRRORS"
else
  for word; do case "$word" in Dir::Etc::SourceList=*) cat "${word#*=}" ;; esac; done
  exit 100
fi
"""


def run(tmp_path, mirrors, **settings):
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text(APT)
    apt.chmod(0o755)
    path = f"{apt.parent}:{os.environ['PATH']}"
    return subprocess.run(
        [SCRIPT, tmp_path / "arm"],
        env={**os.environ, "PATH": path, "MIRRORS": mirrors, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("mirrors", "settings", "expected"),
    [
        (
            "http://near.test/debian/\nhttp://far.test/debian/\n",
            {},
            "near.test/debian/",
        ),
        ("", {"DEBIAN_MIRROR": "http://own.test/d"}, "own.test/d"),
        ("http://near.test/d\n", {"DEBIAN_MIRROR": "http://own.test/d"}, "own.test/d"),
    ],
)
def test_the_mirror_is_the_machine_s(tmp_path, mirrors, settings, expected):
    result = run(tmp_path, mirrors, **settings)
    assert result.returncode == 100
    (source,) = result.stdout.splitlines()
    assert source.endswith(f"] http://{expected} bookworm main")


def test_a_machine_without_a_mirror(tmp_path):
    result = run(tmp_path, "")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "set DEBIAN_MIRROR" in result.stderr
