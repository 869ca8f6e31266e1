"""The manifest: all that is needed to know where a result came from."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time
from typing import Any

import r2b_keras
from r2b_keras.trainers import files
from r2b_keras.trainers.workdir import Workdir

PACKAGES = ("tensorflow", "tf-keras", "larq", "numpy", "scikit-learn")


def _versions() -> dict[str, str]:
    found = {"r2b_keras": r2b_keras.__version__, "python": platform.python_version()}
    for package in PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def _git_revision() -> str | None:
    """Revision of the checkout that this package lies in, None outside of one."""
    folder = pathlib.Path(__file__).parent
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
    ]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        return None
    # A package installed into an environment may lie in somebody else's checkout.
    in_checkout = (folder.parent.parent / ".git").exists()
    return result.stdout.strip() if result.returncode == 0 and in_checkout else None


def _machine() -> dict[str, Any]:
    model = platform.processor()
    information = pathlib.Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {
        "platform": platform.platform(),
        "processor": model,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else 0,
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def write_manifest(workdir: Workdir, identity: dict[str, Any], num_stages: int) -> None:
    """Writes `manifest.json` as of now.

    The first run's facts stay under `runs`; each further run adds its own.

    Args:
      workdir: the run's folder.
      identity: what the folder is for.
      num_stages: stages of the recipe; the complete ones are listed with their times.
    """
    path = workdir.path / "manifest.json"
    old = files.read_json(path) if path.exists() else {"runs": []}
    run = {
        "process": os.getpid(),
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        "versions": _versions(),
        "git_revision": _git_revision(),
        "machine": _machine(),
        "written": _now(),
    }
    runs = [entry for entry in old["runs"] if entry["process"] != os.getpid()]
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
            "data_fingerprint": identity["data_fingerprint"],
            "timings": timings,
            "runs": [*runs, run],
        },
    )
