"""Files that are written whole or not at all, and none that is being read."""

import contextlib
import csv
import errno
import json
import os
import pathlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from r2b_keras import tables
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
    aside = _aside(path)
    aside.touch(exist_ok=False)
    try:
        yield aside
        _flush_to_disk(aside)
        aside.replace(path)
        # The rename itself must survive a power cut too.
        _flush_folder(path.parent)
    except OSError as error:
        if error.filename:
            raise
        # A full disk does not say which file it was.
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        aside.unlink(missing_ok=True)


def _aside(path: pathlib.Path) -> pathlib.Path:
    unique = f"{PARTIAL}{path.stem}-{secrets.token_hex(4)}{path.suffix}"
    return path.with_name(unique)


def check_output(
    path: str | os.PathLike[str],
    flag: str,
    inputs: Iterable[str | os.PathLike[str] | None] = (),
    replaces: Sequence[str] = (),
) -> pathlib.Path:
    """Tells before any work whether a command may write a file.

    What is there may be replaced unless it is something that the command reads, by
    whatever name: files are told apart by device and inode, not by their spelling.

    Args:
      path: the file to be written; a link to one is followed.
      flag: what the user named it with, for the message.
      inputs: files that the command reads, and folders of them; None for one that was
        not given. What does not exist is of no matter.
      replaces: endings of files that the command itself leaves in such folders.

    Returns:
      The place to write to: the path, or where it leads to if it is a link.

    Raises:
      InputError: it is a folder, a device or an input, or cannot be written.
    """
    name = os.fspath(path)
    output = pathlib.Path(os.path.realpath(path) if os.path.islink(path) else path)
    if output.is_dir() or not output.parent.is_dir():
        raise InputError(
            f"{flag}={name} is a folder or lies in none, expected the name of a file "
            "in a folder that exists."
        )
    try:
        aside = _aside(output)
        aside.touch(exist_ok=False)
        aside.unlink()
    except OSError as error:
        raise InputError(
            f"{flag}={name} cannot be written ({error.strerror or error}), expected "
            "the name of a file in a folder that you may write to."
        ) from error
    if not output.exists():
        return output
    if not output.is_file():
        raise InputError(
            f"{flag}={name} is a device or a pipe, expected the name of a file."
        )
    there = output.stat()
    for given in inputs:
        for file in _files_of(given, replaces):
            if _is_same(file, there):
                raise InputError(
                    f"{flag}={name} is {file}, which this command reads, expected "
                    "another name: it would be overwritten."
                )
    return output


def require_ending(output: pathlib.Path, flag: str, ending: str) -> None:
    """Refuses to write a file under a name of another kind.

    Args:
      output: as `check_output` gives it.
      flag: what the user named it with, for the message.
      ending: such as ".html".

    Raises:
      InputError: the name has another ending, or nothing before it.
    """
    if output.suffix != ending:
        raise InputError(
            f"{flag}={output} does not end in {ending}, expected a name that does: "
            f"{flag}={output.with_suffix(ending)}, for example."
        )


def _files_of(
    given: str | os.PathLike[str] | None, without: Sequence[str]
) -> Iterator[str]:
    """An input that is a file, or the files below one that is a folder, links too."""
    if given is None:
        return
    if os.path.isfile(given):
        yield os.fspath(given)
    seen = set()
    for folder, folders, names in os.walk(given, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link back
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        yield from (
            os.path.join(folder, name)
            for name in names
            if not name.endswith(tuple(without))
        )


def _is_same(file: str, other: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(file), other)
    except OSError:  # a link that leads nowhere, or a file that was just removed
        return False


def remove_partial(folder: pathlib.Path) -> None:
    """Removes files that a process that was killed had not finished, at any depth.

    Only for a folder in which no other process writes.
    """
    for aside in folder.rglob(f"{PARTIAL}*"):
        # Folders are a library's, in which others may be at work.
        above = aside.relative_to(folder).parts[:-1]
        if not aside.is_dir() and not any(part.startswith(PARTIAL) for part in above):
            aside.unlink(missing_ok=True)


def _flush_to_disk(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(path: pathlib.Path) -> None:
    try:
        _flush_to_disk(path)
    except OSError as error:
        # Shared folders of some kinds know no such thing.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes text whole or not at all."""
    with written_whole(path) as aside:
        # Of names of files that are no UTF-8, what is not is written as `printable`.
        aside.write_text(text, encoding="utf-8", errors="backslashreplace")


def printable(name: str) -> str:
    """A file's name, with what is no UTF-8 in it written out as an escape."""
    return name.encode(errors="backslashreplace").decode()


def write_csv(
    path: pathlib.Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | None = None,
) -> None:
    """Writes rows as CSV, whole or not at all; see `tables.to_csv`."""
    write_text(path, tables.to_csv(rows, columns))


def read_csv(path: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of a CSV file; a byte order mark is skipped.

    A row with more cells than there are columns has them under None; what it has too
    few of is None.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def write_bytes(path: pathlib.Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with written_whole(path) as aside:
        aside.write_bytes(content)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes JSON whole or not at all, indented, keys in their order."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_json(path: pathlib.Path) -> Any:
    """Reads JSON; a byte order mark, as some editors write it, is skipped.

    Raises:
      InputError: the file is not JSON; the message names it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error}): restore it, or start in a new folder."
        ) from error
