"""Runs of commands, which several studies have, in a folder that is one code's."""

import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from r2b_keras.errors import InputError
from r2b_keras.reproduction import checkout

ROOT = pathlib.Path(__file__).parent.parent


def hold(folder: pathlib.Path) -> None:
    """Takes a study's folder for the code as it is now.

    Raises:
      InputError: it has runs of other code.
    """
    checkout.hold(folder, checkout.code_name(ROOT))


def command(folder: pathlib.Path, name: str, *flags: str, **options: Any) -> None:
    """Runs a command of the package in a process of its own.

    Args:
      folder: of the study's runs, which all have to be of one code: each process takes
        the code as it is by then.
      name: of the command.
      *flags: what it is given.
      **options: of `subprocess.run`.

    Raises:
      InputError: the folder has runs of other code; nothing was run.
      subprocess.CalledProcessError: the command failed; it has said why.
    """
    hold(folder)
    given = [sys.executable, "-m", f"r2b_keras.{name}", *flags]
    subprocess.run(given, check=True, **options)


def train(
    folder: pathlib.Path, workdir: pathlib.Path, *flags: str, **options: Any
) -> dict[str, float]:
    """Trains; what is finished in the workdir is not trained again.

    Args:
      folder: see `command`.
      workdir: of the run, below that folder.
      *flags: of `train`, but for its `--workdir`.
      **options: of `subprocess.run`.

    Returns:
      Top-1 on the test images of each stage, by the name of its folder, in order.

    Raises:
      InputError: see `command`.
      subprocess.CalledProcessError: see `command`.
    """
    command(folder, "train", f"--workdir={workdir}", *flags, **options)
    return {
        path.parent.name: json.loads(path.read_text())["top1"]
        for path in sorted(workdir.glob("stage_*/result.json"))
    }


@contextlib.contextmanager
def noting(failed: list[str], what: str) -> Iterator[None]:
    """Notes a command that fails, which has said why, and goes on."""
    try:
        yield
    except subprocess.CalledProcessError:
        failed.append(what)


def tell(failed: Sequence[str]) -> None:
    """Ends a study in which something has failed, with its names and exit code 1."""
    if failed:
        sys.exit(f"Left out, as said above: {', '.join(failed)}.")


def in_words(main: Callable[[], object]) -> None:
    """Runs a study; what its user can mend ends it in a sentence, exit code 1."""
    try:
        main()
    except (InputError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))
