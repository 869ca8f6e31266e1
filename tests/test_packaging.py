"""What gets into the wheel and the source archive, and what they ask for."""

import ast
import os
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from PIL import Image

import r2b_keras
from r2b_keras.board.card import ModelCard
from r2b_keras.converters.card import attach
from tests.converters.small_flatbuffers import dense
from tests.test_environment import HIDE_MODULE

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "r2b_keras"

# Distributions that are named unlike the module in them.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "google": "protobuf",
    "grpc": "grpcio",
    "sklearn": "scikit-learn",
}
# Ours; r2b_runtime, built in runtime/, is an engine that may be missing.
OWN = {"r2b_keras", "r2b_runtime"}
# The command, and where it is from.
RUN = """
import sys
import r2b_keras.__main__
print(r2b_keras.__file__, file=sys.stderr)
r2b_keras.__main__.main()
"""


def build(kind: str, folder: Path, sources: Path = ROOT) -> Path:
    """Builds a `wheel` or an `sdist` without network and returns its file."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)],
        cwd=sources,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (archive,) = folder.iterdir()
    return archive


NOTICE = "LICENSE.WordNet"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


def our_modules() -> set[str]:
    """Paths of the package's modules, as they are named in an archive."""
    found = {*PACKAGE.rglob("*.py"), *(PACKAGE / "board").glob("*.py")}
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    metadata_folder = f"r2b_keras-{r2b_keras.__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"r2b_keras", metadata_folder}
    assert f"{metadata_folder}/licenses/LICENSE" in names
    # It wants to lie beside every copy of the names.
    assert {f"r2b_keras/data/{n}" for n in ("imagenet_classes.txt", NOTICE)} <= names
    assert f"{metadata_folder}/licenses/r2b_keras/data/{NOTICE}" in names
    assert our_modules() <= names
    assert {"r2b_keras/train.py", "r2b_keras/recipes/claims.csv"} <= names
    assert not [name for name in names if "test" in name or "__pycache__" in name]


def test_wheel_runs_on_any_platform(wheel):
    assert wheel.name == f"r2b_keras-{r2b_keras.__version__}-py3-none-any.whl"


def test_metadata(metadata):
    assert metadata["Name"] == "r2b-keras"
    assert metadata["Version"] == r2b_keras.__version__
    assert set(metadata["Requires-Python"].split(",")) == {">=3.10", "<3.13"}
    assert metadata["License-Expression"] == "Apache-2.0 AND LicenseRef-WordNet"
    assert metadata.get_all("License-File") == ["LICENSE", f"r2b_keras/data/{NOTICE}"]
    assert metadata["Description-Content-Type"] == "text/markdown"


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """The unpacked source archive."""
    folder = tmp_path_factory.mktemp("sources")
    archive = build("sdist", folder / "dist")
    # Debian 12's own Python knows no filter yet; the archive is our own.
    known = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(archive) as file:
        file.extractall(folder, **known)
    return folder / f"r2b_keras-{r2b_keras.__version__}"


def test_source_archive_is_enough_to_build_and_test(sources):
    names = {str(path.relative_to(sources)) for path in sources.rglob("*")}
    wanted = {"pyproject.toml", "constraints.txt", "Makefile", "README.md", "LICENSE"}
    assert wanted | our_modules() <= names
    assert {"tests/test_packaging.py", ".ci/choose_python"} <= names
    trained = "pretrained/cifar100_small"
    assert {f"{trained}.tflite", f"{trained}.keras"} <= names
    assert {name.partition("/")[0] for name in names}.isdisjoint(
        {"models", "trainers", "converters", "runs", ".venv"}
    )


def test_both_wheels_have_files_for_links(wheel, sources, tmp_path):
    """`r2b_keras/board` leads out of the package in a checkout."""
    of_sources = build("wheel", tmp_path / "dist", sources)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(of_sources) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert "r2b_keras/board/pictures.py" in one.namelist()
        for name in one.namelist():
            assert not stat.S_ISLNK(one.getinfo(name).external_attr >> 16)
            if name.startswith("r2b_keras/board/"):
                board = ROOT / "runtime/r2b_runtime/board" / Path(name).name
                assert one.read(name) == other.read(name) == board.read_bytes()


def test_wheel_runs_from_an_unpacked_folder_without_r2b_runtime(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "there")
    (tmp_path / "sitecustomize.py").write_text(HIDE_MODULE.format("r2b_runtime"))
    card = ModelCard(("cat", "dog", "emu"), (1, 64, 1), (0.5,), (0.25,))
    (tmp_path / "model.tflite").write_bytes(attach(dense(64, 3), card))
    Image.new("L", (90, 5), 200).save(tmp_path / "a.png")
    result = subprocess.run(
        [sys.executable, "-c", RUN, "predict", "--model=../model.tflite", "../a.png"],
        cwd=tmp_path / "there",
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0 and result.stdout.count("%") == 3, result.stderr
    assert Path(result.stderr.strip()) == tmp_path / "there/r2b_keras/__init__.py"


def test_the_command(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/entry_points.txt"))
        scripts = archive.read(name).decode().split("\n")
    assert "r2b = r2b_keras.__main__:main" in scripts


def test_every_import_is_a_declared_dependency(metadata):
    declared = {normal(name) for name in metadata.get_all("Requires-Dist")}
    for path in our_modules():
        for module in imported_modules(ROOT / path) - sys.stdlib_module_names - OWN:
            name = normal(DISTRIBUTIONS.get(module, module))
            assert name in declared, f"{path} imports {module}: not in pyproject.toml"


def test_every_dependency_is_pinned(metadata):
    pins = {
        normal(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if re.match(r"[\w.-]+==[\w.]+(; .+)?$", line)
    }
    assert {normal(name) for name in metadata.get_all("Requires-Dist")} <= pins


def imported_modules(path: Path, python: tuple[int, int] | None = None) -> set[str]:
    """Top-level names of all modules that a file of some Python imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), feature_version=python)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def normal(requirement: str) -> str:
    """Name of the distribution in a requirement, spelt as registries compare it."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()
