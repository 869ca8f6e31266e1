"""The README does what it says."""

import pathlib
import re
import subprocess
import sys

import pytest

from r2b_keras import recipes
from tests.commands import run

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_links_lead_somewhere():
    root = pathlib.Path(__file__).parent.parent
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README)
    assert len(targets) > 10
    assert not [target for target in targets if not (root / target).exists()]


def test_every_recipe_is_named():
    named = {name.split("/")[0] for name in recipes.names()}
    assert not [name for name in named if f"`{name}`" not in README]


@pytest.mark.slow
def test_own_network_in_ten_lines(tmp_path):
    """The Python of the README, run as it stands, beside a stage 0 of its own."""
    result = run(
        "train",
        "--stage=0",
        "--override=stages.0.epochs=2",
        f"--workdir={tmp_path / 'runs' / 'digits'}",
    )
    assert result.returncode == 0, result.stderr
    code = "".join(re.findall(r"```python\n(.*?)```", README, re.DOTALL))
    finished = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stderr
    accuracy = float(finished.stdout.strip().splitlines()[-1])
    assert accuracy > 0.8
    assert (tmp_path / "student.keras").exists()
