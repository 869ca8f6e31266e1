"""Files that are written whole or not at all."""

import contextlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

from r2b_keras.errors import InputError


@contextlib.contextmanager
def written_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, and moves what was written to `path` at the end.

    The file lies beside its final place, so that the move is one rename; on any
    exception it is removed and `path` stays as it was.

    Raises:
      OSError: the disk is full or the folder cannot be written.
    """
    handle, name = tempfile.mkstemp(
        prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent
    )
    os.close(handle)
    aside = pathlib.Path(name)
    try:
        yield aside
        _flush_to_disk(aside)
        # mkstemp's files are for their owner only; results are for all to read.
        aside.chmod(0o644)
        aside.replace(path)
        # The rename itself must survive a power cut too.
        _flush_to_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _flush_to_disk(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes text whole or not at all."""
    with written_whole(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes JSON whole or not at all, indented, keys in their order."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Reads JSON.

    Raises:
      InputError: the file is not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(
            f"{path} is not valid JSON ({error}): restore it, or start in a new folder."
        ) from error
