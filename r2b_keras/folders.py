"""The folder of a command: whose it is, and that one process is at work in it."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from r2b_keras import files, locks, recipes
from r2b_keras.checks import some
from r2b_keras.errors import InputError


class FolderInUseError(InputError):
    """Another process is at work in this folder."""


def require_new_or_marked(folder: pathlib.Path, mark: str) -> None:
    """Refuses a folder of somebody else's files.

    Good are a folder that does not exist, one that holds the file `mark`, and one with
    nothing but hidden files: what a run that was killed at its very start leaves.

    Args:
      folder: what a user named as --workdir.
      mark: name of the file that folders of this command hold.

    Raises:
      InputError: a file, a folder with other things, a name that is no UTF-8, or one
        that leads back (`..`) out of what is no folder.
    """
    if files.printable(str(folder)) != str(folder):
        raise InputError(
            f"{files.printable(str(folder))} is no UTF-8, and TensorFlow cannot write "
            "there: choose another --workdir."
        )
    _require_way(folder)
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        what = "a file" if folder.exists() else "a link that leads nowhere"
        raise InputError(
            f"{folder} is {what}, expected a folder or a new name: choose another "
            "--workdir."
        )
    names = [path.name for path in folder.iterdir()]
    if mark not in names and any(not name.startswith(".") for name in names):
        raise InputError(
            f"{folder} is not empty and holds no {mark}, expected a new folder or one "
            "made by this command: choose another --workdir."
        )


def _require_way(folder: pathlib.Path) -> None:
    """Refuses `missing/../site`.

    The system sees nothing there, but once `missing` is made it would be `site`.
    """
    for number, part in enumerate(folder.parts):
        before = pathlib.Path(*folder.parts[:number])
        if part == ".." and not before.is_dir():
            raise InputError(
                f"{folder} leads back out of {before}, expected a folder there: leave "
                "that out, or choose another --workdir."
            )


def make(folder: pathlib.Path) -> None:
    """Makes a folder that a user named as --workdir, unless it is there.

    Raises:
      InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be made ({error.strerror}): choose another --workdir."
        ) from error


def require(
    folder: pathlib.Path,
    mark: str,
    wanted: dict[str, Any],
    by: str,
    settings: str,
) -> None:
    """Refuses a folder that `claim` would not take, and writes nothing.

    Args:
      folder: what a user named as --workdir.
      mark: name of the file with the settings that the folder was made with.
      wanted: those of this run, as plain data.
      by: what makes such folders, for messages: "run", "sweep" or "ablation".
      settings: what must be the same, for messages.

    Raises:
      InputError: the folder was made with other settings (the message names up to five
        differences), or holds other files.
    """
    require_new_or_marked(folder, mark)
    path = folder / mark
    if path.exists():
        _require_same(folder, files.read_json(path), wanted, by, settings)


def claim(
    folder: pathlib.Path,
    mark: str,
    wanted: dict[str, Any],
    by: str,
    settings: str,
) -> None:
    """Takes a folder: creates it, or checks that it was made with the same settings.

    Several processes may come at the same time, and stay. Arguments are those of
    `require`.

    Raises:
      InputError: as `require`; or the folder cannot be made.
    """
    path = folder / mark
    require(folder, mark, wanted, by, settings)
    make(folder)
    with locks.held(folder / ".settings.lock"):
        if path.exists():
            # Another process may have made it its own before the lock was taken.
            _require_same(folder, files.read_json(path), wanted, by, settings)
        else:
            files.write_json(path, wanted)


def _require_same(
    folder: pathlib.Path, saved: Any, wanted: Any, by: str, settings: str
) -> None:
    found = recipes.differences(recipes.completed(saved), wanted)
    if found:
        raise InputError(
            f"{folder} was made by another {by}: {some(found, '; ')}. "
            f"Choose another --workdir, or give the same {settings}."
        )


@contextlib.contextmanager
def in_use(folder: pathlib.Path, doing: str) -> Iterator[None]:
    """Holds a folder, which exists, as long as the block runs.

    Args:
      folder: the folder.
      doing: what a process does in it, for the message.

    Raises:
      FolderInUseError: another process is at work in it.
    """
    descriptor = locks.take(folder / ".lock")
    if descriptor is None:
        raise FolderInUseError(
            f"Another process is {doing} in {folder}: wait for it, or choose another "
            "--workdir."
        )
    try:
        yield
    finally:
        os.close(descriptor)
