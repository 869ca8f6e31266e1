"""What is recorded comes from committed code and the pinned versions."""

import json
import subprocess

import pytest

from r2b_keras.board import machine
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.reproduction import checkout

CONSTRAINTS = """# Comment
numpy==1.26.4
tensorflow==2.21.0
not-installed==3.0
other==1.0; python_version < "3.11"
"""


def git(root, *arguments):
    own = ("-c", "user.name=n", "-c", "user.email=e@example.com")
    own += ("-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null")
    subprocess.run(
        ["git", "-C", root, *own, *arguments], check=True, capture_output=True
    )


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with one commit, in an environment with the right versions."""
    versions = {"numpy": "1.26.4"}
    monkeypatch.setattr(machine, "package_version", versions.get)
    monkeypatch.setattr(tf, "__version__", "2.21.0")
    (tmp_path / "constraints.txt").write_text(CONSTRAINTS)
    (tmp_path / ".gitignore").write_text("/runs/\n")
    for name in ("r2b_keras/a.py", "results/digits/r.json", "docs/é page.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "one")
    return tmp_path


def test_a_clean_checkout_and_what_recording_itself_changes(root):
    checkout.check(root, root / "results")
    (root / "results" / "digits" / "r.json").write_text("2\n")
    (root / "results" / "new").mkdir()
    (root / "results" / "new" / "r.json").write_text("2\n")
    (root / "runs").mkdir()
    (root / "runs" / "log").write_text("ignored by git\n")
    checkout.check(root, root / "results")
    with pytest.raises(InputError, match="results/digits/r.json"):
        checkout.check(root, root / "elsewhere")


def test_what_was_moved_into_the_results_is_missing_elsewhere(root):
    git(root, "mv", "r2b_keras/a.py", "results/a.py")
    with pytest.raises(InputError, match=r"not committed \(r2b_keras/a.py\)"):
        checkout.check(root, root / "results")


@pytest.mark.parametrize(
    "name", ["r2b_keras/a.py", "r2b_keras/new.py", "docs/é page.md", "results_2.txt"]
)
def test_changes_that_are_not_committed(root, name):
    (root / name).write_text("2\n")
    with pytest.raises(InputError, match=f"not committed \\({name}\\)"):
        checkout.check(root, root / "results")
    git(root, "add", "-A")
    with pytest.raises(InputError, match=f"not committed \\({name}\\)"):
        checkout.check(root, root / "results")
    git(root, "commit", "-qm", "two")
    checkout.check(root, root / "results")


def test_a_file_that_was_removed_or_renamed(root):
    git(root, "mv", "docs/é page.md", "docs/b.md")
    with pytest.raises(InputError, match=r"\(docs/b.md, docs/é page.md\)"):
        checkout.check(root, root / "results")
    git(root, "commit", "-qm", "two")
    (root / "r2b_keras" / "a.py").unlink()
    with pytest.raises(InputError, match="a.py"):
        checkout.check(root, root / "results")


@pytest.mark.parametrize("found", ["1.26.3", "2.0"])
def test_other_versions(root, monkeypatch, found):
    monkeypatch.setattr(machine, "package_version", {"numpy": found}.get)
    with pytest.raises(InputError, match=f"numpy {found}, not 1.26.4"):
        checkout.check(root, root / "results")


@pytest.mark.parametrize("name", ["tensorflow", "tensorflow-cpu"])
def test_another_build_of_tensorflow(root, monkeypatch, name):
    versions = {"numpy": "1.26.4", name: "2.19.0"}
    monkeypatch.setattr(machine, "package_version", versions.get)
    monkeypatch.setattr(tf, "__version__", "2.19.0")
    with pytest.raises(InputError, match=r"tensorflow 2\.19\.0, not 2\.21\.0"):
        checkout.check(root, root / "results")


def test_no_checkout(tmp_path):
    with pytest.raises(InputError, match="is no checkout"):
        checkout.check(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("revision", "words"),
    [("abc", None), ("abc-dirty", "revision abc-dirty"), (None, "revision none")],
)
def test_runs_of_changed_code(tmp_path, revision, words):
    manifest = {"runs": [{"git_revision": "abc"}, {"git_revision": revision}]}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    if words is None:
        return checkout.check_run(tmp_path)
    with pytest.raises(InputError, match=words):
        checkout.check_run(tmp_path)


def test_which_revision_made_what_was_kept(root):
    git(root, "commit", "-qm", "two", "--allow-empty")
    now, before = (
        subprocess.check_output(["git", "-C", root, "rev-parse", name], text=True)
        for name in ("HEAD", "HEAD~1")
    )
    kept = root / "results" / "digits"
    assert not checkout.is_of_this_revision(root, kept)
    for revisions, expected in (
        ([now], True),
        ([now, now], True),
        ([before], False),
        ([before, now], False),
        ([f"{now.strip()}-dirty"], False),
        ([None], False),
        ([], False),
    ):
        runs = [{"git_revision": each and each.strip()} for each in revisions]
        (kept / "manifest.json").write_text(json.dumps({"runs": runs}))
        assert checkout.is_of_this_revision(root, kept) == expected


def test_code_has_a_name(root, monkeypatch):
    first = checkout.code_name(root)
    (root / "docs" / "more.md").write_text("2\n")
    (root / "r2b_keras" / "claims.csv").write_text("claim\n")
    assert checkout.code_name(root) == first
    names = {first}
    (root / "r2b_keras" / "a.py").write_text("2\n")
    names.add(checkout.code_name(root))
    (root / "r2b_keras" / "a.py").rename(root / "r2b_keras" / "b.py")
    names.add(checkout.code_name(root))
    # As the board's modules lie: behind a link.
    (root / "elsewhere").mkdir()
    (root / "r2b_keras" / "board").symlink_to("../elsewhere")
    for content in ("1\n", "2\n"):
        (root / "elsewhere" / "c.py").write_text(content)
        names.add(checkout.code_name(root))
    versions = {"numpy": "1.26.4", "tensorflow": "2.19.0"}
    monkeypatch.setattr(machine, "package_version", versions.get)
    names.add(checkout.code_name(root))
    assert len(names) == 6
