"""Runs of `train`, which several studies have."""

import json
import pathlib
import subprocess
import sys
from typing import Any


def train(workdir: pathlib.Path, *flags: str, **options: Any) -> dict[str, float]:
    """Trains in a process of its own; what is finished there is not trained again.

    Args:
      workdir: of the run.
      *flags: of `train`, but for its `--workdir`.
      **options: of `subprocess.run`.

    Returns:
      Top-1 on the test images of each stage, by the name of its folder, in order.
    """
    command = [sys.executable, "-m", "r2b_keras.train", f"--workdir={workdir}", *flags]
    subprocess.run(command, check=True, **options)  # noqa: S603
    return {
        path.parent.name: json.loads(path.read_text())["top1"]
        for path in sorted(workdir.glob("stage_*/result.json"))
    }
