"""What several tests need is made once for each state of the sources.

It lies under build/tests/, shared by all processes of a test run and by later runs,
until the package, what makes it, a version that counts, or the number of threads has
changed.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import shutil
import sys
import time
from collections.abc import Callable

from r2b_keras import locks
from r2b_keras.reproduction import checkout

ROOT = pathlib.Path(__file__).parent.parent
PLACE = ROOT / "build" / "tests"
MAKERS = ("tests/conftest.py", "tests/commands.py", "tests/runtime/*.py")
# Beside the package's modules and what they rest on, see `code_name`.
CLAIMS = "r2b_keras/recipes/*.csv"
VERSIONS = ("larq-compute-engine", "ai-edge-litert")
# Threads add in another order, which training turns into other weights.
SETTINGS = (
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    "TF_ENABLE_ONEDNN_OPTS",
)
# Younger states may be those of a test run that is not over.
SECONDS_KEPT = 3600


def folder(name: str, make: Callable[[pathlib.Path], object]) -> pathlib.Path:
    """Has `make` fill a folder unless that was done; tests only read in it.

    Args:
      name: of the folder.
      make: gets the folder, which is empty. What it leaves half made when it is
        stopped is thrown away.
    """
    path, seal = PLACE / _state() / name, PLACE / _state() / f"{name}.sha256"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.held(PLACE / f"{name}.lock"):
        if not seal.exists() or seal.read_text() != _digest(path, ["**/*"]):
            _drop_old_states()
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir()
            make(path)
            seal.write_text(_digest(path, ["**/*"]))
    return path


@functools.cache
def _state() -> str:
    versions = " ".join(map(importlib.metadata.version, VERSIONS))
    sources = checkout.code_name(ROOT) + _digest(ROOT, [CLAIMS, *MAKERS])
    # What `convert` says of a file is also the runtime's word.
    if importlib.util.find_spec("r2b_runtime"):
        from r2b_runtime import library

        sources += hashlib.sha256(pathlib.Path(library.PATH).read_bytes()).hexdigest()
    settings = [os.environ.get(name) for name in SETTINGS]
    settings.append(str(len(os.sched_getaffinity(0))))
    state = f"{sys.version} {versions} {sources} {settings}"
    return hashlib.sha256(state.encode()).hexdigest()


def _digest(folder: pathlib.Path, patterns: list[str]) -> str:
    """Of the names and contents of all files."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        if path.is_file():
            digest.update(f"{path.relative_to(folder)} {path.stat().st_size} ".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _drop_old_states() -> None:
    (PLACE / _state()).touch()
    with locks.held(PLACE / "drop.lock"):
        for path in PLACE.iterdir():
            if path.is_dir() and time.time() - path.stat().st_mtime > SECONDS_KEPT:
                shutil.rmtree(path)
