"""Files that are written whole or not at all."""

import contextlib
import csv
import io
import json
import os
import pathlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from r2b_keras.errors import InputError

# First part of the name of a file that is being written.
PARTIAL = ".partial-"


@contextlib.contextmanager
def written_whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, and moves what was written to `path` at the end.

    The file lies beside its final place, so that the move is one rename; on any
    exception it is removed and `path` stays as it was.

    Raises:
      OSError: the disk is full or the folder cannot be written.
    """
    unique = f"{PARTIAL}{path.stem}-{secrets.token_hex(4)}{path.suffix}"
    aside = path.with_name(unique)
    aside.touch(exist_ok=False)
    try:
        yield aside
        _flush_to_disk(aside)
        aside.replace(path)
        # The rename itself must survive a power cut too.
        _flush_to_disk(path.parent)
    except OSError as error:
        if error.filename:
            raise
        # A full disk does not say which file it was.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def remove_partial(folder: pathlib.Path) -> None:
    """Removes what a process that was killed had not finished, at any depth.

    Only for a folder in which no other process writes.
    """
    for aside in folder.rglob(f"{PARTIAL}*"):
        aside.unlink(missing_ok=True)


def check_new_or_marked(folder: pathlib.Path, mark: str) -> None:
    """Refuses a folder of somebody else's files.

    Good are a folder that does not exist, one that holds the file `mark`, and one with
    nothing but hidden files: what a run that was killed at its very start leaves.

    Args:
      folder: what a user named as --workdir.
      mark: name of the file that folders of this command hold.

    Raises:
      InputError: a file, or a folder with other things.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(
            f"{folder} is a file, expected a folder or a new name: choose another "
            "--workdir."
        )
    names = [path.name for path in folder.iterdir()]
    if mark not in names and any(not name.startswith(".") for name in names):
        raise InputError(
            f"{folder} is not empty and holds no {mark}, expected a new folder or one "
            "made by this command: choose another --workdir."
        )


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


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes at least one row as CSV, whole or not at all.

    Columns are the keys of all rows, in the order in which they first appear; a row
    that lacks one has an empty cell.
    """
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


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
