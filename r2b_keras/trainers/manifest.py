"""The manifest: all that is needed to know where a result came from."""

import os
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

import r2b_keras
from r2b_keras import files
from r2b_keras.board import machine
from r2b_keras.errors import InputError
from r2b_keras.trainers.workdir import Workdir

PACKAGES = (
    "tensorflow",
    "tensorflow-cpu",
    "tf-keras",
    "larq",
    "numpy",
    "scikit-learn",
)


def _versions() -> dict[str, str]:
    found = {"r2b_keras": r2b_keras.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        version = machine.package_version(package)
        # TensorFlow may be here as tensorflow-cpu, or as a build of one's own.
        if version is not None:
            found[package] = version
    return found


def _git_revision() -> str | None:
    """Revision of the checkout that this package lies in, None outside of one.

    It ends in "-dirty" where the package itself has changes that are not committed;
    results that were written beside it do not count.
    """
    package = pathlib.Path(__file__).parent.parent
    # A package installed into an environment may lie in somebody else's checkout.
    if not (package.parent / ".git").exists():
        return None
    revision = _git(package, "rev-parse", "HEAD")
    # What its links lead to is part of it: the board's modules.
    linked = [x.resolve() for x in package.iterdir() if x.is_symlink() and x.is_dir()]
    own = [str(each) for each in linked if package.parent.resolve() in each.parents]
    changes = _git(package, "status", "--porcelain", "--", ".", *own)
    return revision and revision + ("-dirty" if changes else "")


def _git(folder: pathlib.Path, *arguments: str) -> str | None:
    """What git prints, None where it fails or is not installed."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _machine() -> dict[str, Any]:
    return {
        "platform": platform.platform(),
        "processor": machine.cpu_name(),
        "cores": machine.num_cores(),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


# With the process number this tells one run from another: in a container every run may
# have the same number.
_STARTED = _now()


def write_manifest(
    workdir: Workdir,
    identity: dict[str, Any],
    num_stages: int,
    execution: dict[str, Any],
) -> None:
    """Writes `manifest.json` as of now.

    The first run's facts stay under `runs`; each further run adds its own.

    Args:
      workdir: the run's folder.
      identity: what the folder is for.
      num_stages: stages of the recipe; the complete ones are listed with their times.
      execution: devices and replicas, see `r2b_keras.trainers.execution.facts`.

    Raises:
      InputError: the manifest that is there is damaged.
    """
    path = workdir.path / "manifest.json"
    run = {
        "process": os.getpid(),
        "started": _STARTED,
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": _versions(),
        "git_revision": _git_revision(),
        "machine": _machine(),
        "execution": execution,
        "written": _now(),
    }
    this = (run["process"], run["started"])
    runs = [
        entry
        for entry in runs_of(path)
        if (entry.get("process"), entry.get("started")) != this
    ]
    results = [workdir.result(number) for number in range(num_stages)]
    timings = {
        f"stage_{result.stage}_seconds": round(result.seconds, 1)
        for result in results
        if result
    }
    files.write_json(
        path,
        {
            "recipe": identity["recipe"]["name"],
            "seed": identity["seed"],
            "precision": identity["precision"],
            "deterministic": identity["deterministic"],
            "data_fingerprint": identity["data_fingerprint"],
            "timings": timings,
            "runs": [*runs, run],
        },
    )


def runs_of(path: pathlib.Path) -> list[dict[str, Any]]:
    """The runs that a manifest lists, none where there is no file yet.

    Raises:
      InputError: the file is no manifest.
    """
    if not path.exists():
        return []
    old = files.read_json(path)
    runs = old.get("runs") if isinstance(old, dict) else None
    if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
        raise InputError(
            f"{path} is no manifest of this command's: restore it, or move it away to "
            "start a new one."
        )
    return runs
