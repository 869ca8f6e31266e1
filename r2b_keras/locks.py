"""Files that one process at a time may hold; who ends or is killed lets go.

The kernel's locks (`flock`), which a network file system passes on where it knows
locks between machines. Where it does not, they hold on each machine alone.
"""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator

from r2b_keras.errors import InputError


def take(path: pathlib.Path) -> int | None:
    """Takes a lock; None if another holds it.

    Args:
      path: a file for this alone; it is made where it is missing, and stays.

    Returns:
      A descriptor of the file; closing it lets go.

    Raises:
      InputError: the file system knows no locks.
    """
    try:
        return _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _locked(path: pathlib.Path, operation: int) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError) or not isinstance(error, OSError):
            raise
        raise InputError(
            f"{path} cannot be locked ({error.strerror}), expected a file system with "
            "locks: choose a folder on another."
        ) from error
    return descriptor


@contextlib.contextmanager
def held(path: pathlib.Path) -> Iterator[None]:
    """Waits until nobody else holds this lock, then holds it as long as the block runs.

    Raises:
      InputError: the file system knows no locks.
    """
    descriptor = _locked(path, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def is_held(path: pathlib.Path) -> bool:
    """Whether anybody holds this lock now; needs no right to write there."""
    try:
        with path.open("rb") as file:
            return not is_free(file.fileno())
    except FileNotFoundError:
        return False


def is_free(descriptor: int) -> bool:
    """Whether nobody holds the lock of an open file."""
    try:
        # Shared, so that two may look at once.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
