"""`make clean`, in a folder that looks like a checkout."""

import pathlib
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
