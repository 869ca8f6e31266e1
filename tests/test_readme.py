"""README and pages do what they say."""

import pathlib
import re
import subprocess
import sys

import pytest

from r2b_keras import recipes
from tests.commands import run

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *(
            ROOT / folder / "README.md"
            for folder in ("runtime", "pretrained", "studies")
        ),
    ]
)


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)", page.read_text("utf-8")):
        file, _, heading = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text("utf-8"), re.MULTILINE)
            anchors = [
                re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles
            ]
            assert heading in anchors, target


def test_readme_is_short_and_leads_to_every_page():
    text = README.read_text("utf-8")
    assert len(text.splitlines()) <= 130
    pages = [page for page in PAGES if page.name not in ("README.md", "CHANGELOG.md")]
    assert not [page.name for page in pages if page.name not in text]


def test_every_recipe_is_named():
    named = {name.split("/")[0] for name in recipes.names()}
    text = README.read_text("utf-8")
    assert not [name for name in named if f"`{name}`" not in text]


@pytest.mark.slow
def test_own_network_in_ten_lines(tmp_path):
    """The Python of the page, run as it stands, beside a stage 0 of its own."""
    result = run(
        "train",
        "--stage=0",
        "--override=stages.0.epochs=2",
        f"--workdir={tmp_path / 'runs' / 'digits'}",
    )
    assert result.returncode == 0, result.stderr
    text = (ROOT / "docs" / "own_network.md").read_text("utf-8")
    code = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
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
