"""The manifest: what is needed to know where a result came from."""

import importlib.metadata
import json
import os
import platform
import re
import subprocess

import pytest
from small_workdirs import finished

import r2b_keras
from r2b_keras.errors import InputError
from r2b_keras.trainers import manifest
from r2b_keras.trainers.workdir import Workdir

IDENTITY = {
    "recipe": {"name": "digits"},
    "seed": 7,
    "precision": "float32",
    "deterministic": True,
    "data_fingerprint": "abc",
}

EXECUTION = {"strategy": "mirrored", "devices": ["GPU:0", "GPU:1"], "replicas": 2}


def written(path, num_stages=3):
    manifest.write_manifest(Workdir(path), IDENTITY, num_stages, EXECUTION)
    return json.loads((path / "manifest.json").read_text())


def test_facts_of_the_folder(tmp_path):
    values = written(tmp_path)
    del values["runs"]
    assert values == {**IDENTITY, "recipe": "digits", "timings": {}}


def test_facts_of_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "_git_revision", lambda: "1a2b3c")
    (run,) = written(tmp_path)["runs"]
    assert run["process"] == os.getpid()
    assert run["versions"]["r2b_keras"] == r2b_keras.__version__
    assert run["versions"]["python"] == platform.python_version()
    for package in ("tf-keras", "larq", "numpy", "scikit-learn"):
        assert run["versions"][package] == importlib.metadata.version(package)
    assert run["execution"] == EXECUTION
    assert run["machine"]["cores"] >= 1
    assert run["machine"]["processor"]
    assert run["machine"]["platform"] == platform.platform()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["written"])
    assert run["started"] <= run["written"]
    assert run["git_revision"] == "1a2b3c"


def commit_all(folder):
    """Makes it a repository with one commit, whatever the user's git signs or hooks."""
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@b"]
    git += ["-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    for command in (["init"], ["add", "."], ["commit", "-m", "first"]):
        subprocess.run([*git, *command], check=True)


def test_only_changes_of_the_package_make_a_revision_dirty(tmp_path, monkeypatch):
    module = tmp_path / "package" / "trainers" / "manifest.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    linked = tmp_path / "runtime" / "board" / "pictures.py"
    linked.parent.mkdir(parents=True)
    linked.write_text("")
    (tmp_path / "package" / "board").symlink_to("../runtime/board")
    monkeypatch.setattr(manifest, "__file__", str(module))
    assert manifest._git_revision() is None
    commit_all(tmp_path)
    revision = manifest._git_revision()
    assert re.fullmatch("[0-9a-f]{40}", revision)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "new.csv").write_text("")
    assert manifest._git_revision() == revision
    for changed in (module, linked):
        changed.write_text("changed = True\n")
        assert manifest._git_revision() == f"{revision}-dirty"
        changed.write_text("")
        assert manifest._git_revision() == revision


def test_a_package_in_somebody_elses_checkout_has_no_revision(tmp_path, monkeypatch):
    """Such as one that is installed into an environment there."""
    module = tmp_path / "venv" / "package" / "trainers" / "manifest.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    monkeypatch.setattr(manifest, "__file__", str(module))
    commit_all(tmp_path)
    assert manifest._git_revision() is None


def test_revision_of_no_checkout_is_none(tmp_path, monkeypatch):
    module = tmp_path / "package" / "trainers" / "manifest.py"
    monkeypatch.setattr(manifest, "__file__", str(module))
    assert manifest._git_revision() is None
    monkeypatch.setenv("PATH", "")
    assert manifest._git_revision() is None


def test_package_that_is_not_installed_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(manifest, "PACKAGES", ("numpy", "no-such-package"))
    (run,) = written(tmp_path)["runs"]
    assert list(run["versions"]) == ["r2b_keras", "python", "numpy"]


def test_timings_are_those_of_complete_stages(tmp_path):
    finished(tmp_path, 0, seconds=12.34)
    finished(tmp_path, 2, seconds=56.78)
    timings = written(tmp_path)["timings"]
    assert timings == {"stage_0_seconds": 12.3, "stage_2_seconds": 56.8}


def test_same_run_writes_itself_once(tmp_path):
    written(tmp_path)
    assert len(written(tmp_path)["runs"]) == 1


@pytest.mark.parametrize(
    ("where", "name", "value"),
    # In a container every run may be process number 1.
    [(os, "getpid", lambda: -1), (manifest, "_STARTED", "2100-01-01T00:00:00Z")],
)
def test_second_run_adds_itself(tmp_path, monkeypatch, where, name, value):
    (first,) = written(tmp_path)["runs"]
    monkeypatch.setattr(where, name, value)
    before, after = written(tmp_path)["runs"]
    assert before == first
    key = "process" if name == "getpid" else "started"
    assert after[key] == (value() if name == "getpid" else value)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"runs": [1]}'])
def test_damaged_manifest_is_named_and_kept(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"manifest\.json"):
        written(tmp_path)
    assert path.read_text() == content
