"""The Makefile, in a folder that looks like a checkout."""

import os
import pathlib
import re
import shutil
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
# Studies keep hours of training under build; the others are made again in minutes.
KEPT = ["runs/digits", "results/digits", "build/machines", "build/conversion"]
REMOVED = [".venv", "dist", "build/runtime", "build/tests"]
REMOVED += [".mypy_cache", ".pytest_cache", ".ruff_cache"]


def test_clean_removes_what_is_quickly_made_again(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in (*KEPT, *REMOVED):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("of some worth")
    (tmp_path / "runtime" / "r2b_runtime").mkdir(parents=True)
    (tmp_path / "runtime" / "r2b_runtime" / "__init__.py").touch()
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert [name for name in KEPT if not (tmp_path / name / "file").exists()] == []
    assert [name for name in REMOVED if (tmp_path / name).exists()] == []


def test_the_wheel_is_built_again_when_its_sources_change(tmp_path):
    """One that was renamed or removed leaves nothing newer than the wheel."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    package = tmp_path / "runtime" / "r2b_runtime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "1.0"\n')
    (package / "rows.py").touch()
    (tmp_path / ".venv").mkdir()
    wheel = "r2b_runtime-1.0-py3-none-manylinux_2_17_x86_64.whl"

    # Whatever make these tests are run by, and with which settings.
    alone = {
        k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "PYTHON"))
    }

    def make(*arguments):
        command = ["make", *arguments]
        options = {"capture_output": True, "text": True, "env": alone}
        return subprocess.run(command, cwd=tmp_path, check=True, **options).stdout

    def is_built():
        return "build_wheel x86_64" in make("-n", "test")

    def stamp():
        listed = make("-pn", "clean")
        make(*re.findall(r"^RUNTIME_LIST := (.*)$", listed, re.MULTILINE))
        made = ["pyproject.toml", "constraints.txt", ".venv/.complete", ".venv/.tools"]
        for each in (*made, f"dist/{wheel}", ".venv/.runtime"):
            (tmp_path / each).touch()

    stamp()
    assert not is_built()
    changes = (
        lambda: (package / "rows.py").rename(package / "lines.py"),
        lambda: (package / "lines.py").unlink(),
        lambda: (package / "new.py").touch(),
    )
    for change in changes:
        change()
        assert is_built()
        stamp()
        assert not is_built()
    (package / "new.py").rename(package / "lines.py")
    (package / "lines.py").rename(package / "rows.py")
    assert is_built()
