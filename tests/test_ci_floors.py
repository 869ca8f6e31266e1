"""The floors of `.ci/run`: what it takes for right, and what it must not."""

import json
import pathlib
import re
import subprocess
import sys

import pytest

from r2b_keras import files

ROOT = pathlib.Path(__file__).parent.parent
SCRIPT = (ROOT / ".ci" / "run").read_text("utf-8")
TOP1 = float(re.search(r"^fashion_floor=(\S+)$", SCRIPT, re.MULTILINE)[1])
AGREEMENTS = {
    kind: float(least)
    for kind, least in re.findall(
        r"(\w+):([\d.]+)",
        re.search(r'^agreement_floors="(.*)"$', SCRIPT, re.MULTILINE)[1],
    )
}
AT_LEAST = re.search(r"^at_least\(\) \{.*?^\}$", SCRIPT, re.MULTILINE | re.DOTALL)[0]


@pytest.mark.parametrize(
    ("found", "passes"),
    [
        ({"top1": 0.8}, True),
        ({"top1": 0.83}, True),
        ({"top1": 0.7999}, False),
        ({"top1": float("nan")}, False),
        ({"accuracy": 0.9}, False),
        (None, False),
    ],
)
def test_what_is_below_a_floor_stops_the_check(tmp_path, found, passes):
    """As the script does: nothing after it runs."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").symlink_to(sys.executable)
    words = f"echo '{json.dumps(found)}'" if found else "exit 3"
    (folder / "r2b").write_text(f"#!/bin/sh\n{words}\n")
    (folder / "r2b").chmod(0o755)
    lines = ["set -euo pipefail", AT_LEAST, "at_least top1 0.8 --stage=3", "echo after"]
    done = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == passes, done.stderr
    assert done.stdout.endswith("after\n") == passes


def column(name, field):
    rows = files.read_csv(ROOT / "results" / "ablation" / name)
    return [float(row[field]) for row in rows]


def test_the_floor_lies_between_right_chains_and_wrong_ones():
    """Of the same width, trained for longer: without absorption, and all the others."""
    wrong = column("without_absorb_magnitude.csv", "binary_weights")
    right = column("runs.csv", "binary_weights")
    assert max(wrong) < TOP1 < min(right) and len(right) > 50


@pytest.mark.parametrize("kind", ["float32", "float16", "int8"])
def test_files_are_held_to_what_they_were_recorded_with(kind):
    path = ROOT / "results" / "fashion_mnist" / f"{kind}.json"
    recorded = json.loads(path.read_text("utf-8"))["agreement"]
    assert recorded - 0.005 < AGREEMENTS[kind] < recorded
