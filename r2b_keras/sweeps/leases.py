"""Signs of life of the processes of a sweep, so that a lost one can be told.

Keras Tuner's service does not notice that a worker has died: its trial would be waited
for without end. So each process holds a file of its own in the sweep's folder: locked
for as long as it lives, and touched every few seconds. On its own machine the lock says
at once whether it lives. From another machine the file's time does: not every network
file system knows locks between machines.
"""

import contextlib
import os
import pathlib
import socket
import threading
import time
from collections.abc import Iterator

from r2b_keras import locks
from r2b_keras.errors import InputError

BEAT_SECONDS = 10.0
# A network file system may show a file's time a minute late.
SILENCE_SECONDS = 180.0
# Whoever looks at a lock holds it for a moment.
_TRY_SECONDS = 2.0


def machine() -> str:
    """What is the same for processes that see each other's locks: a running kernel."""
    path = pathlib.Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else socket.gethostname()


def _path(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / f"{name}.lease"


@contextlib.contextmanager
def held(
    folder: pathlib.Path, name: str, beat_seconds: float = BEAT_SECONDS
) -> Iterator[None]:
    """Holds the lease of this name as long as the block runs.

    Args:
      folder: where leases lie.
      name: who holds it.
      beat_seconds: time between two signs of life.

    Raises:
      InputError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = _path(folder, name)
    descriptor = _take(path, name, folder)
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(beat_seconds):
            os.utime(path)

    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, machine().encode())
        threading.Thread(target=beat, daemon=True).start()
        yield
    finally:
        ended.set()
        os.close(descriptor)


def _take(path: pathlib.Path, name: str, folder: pathlib.Path) -> int:
    until = time.monotonic() + _TRY_SECONDS
    while (descriptor := locks.take(path)) is None:
        if time.monotonic() > until:
            raise InputError(
                f"Another process is at work as {name!r} in {folder.parent}: wait for "
                "it, choose another --workdir, or give each worker its own "
                "KERASTUNER_TUNER_ID."
            )
        time.sleep(0.05)
    return descriptor


class Watch:
    """Tells which holders of leases are gone.

    Args:
      folder: where the leases lie.
      silence_seconds: after so long without a sign of life, a process on another
        machine counts as gone.
    """

    def __init__(
        self, folder: pathlib.Path, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Nothing has been seen yet."""
        self._folder = folder
        self._silence_seconds = silence_seconds
        # Of each, the file's time, and when it was first seen by the clock of this
        # machine: the other's clock may be wrong.
        self._seen: dict[str, tuple[float, float]] = {}

    def gone(self, name: str) -> bool:
        """Whether the process of this name has ended or been lost."""
        path = _path(self._folder, name)
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return True
        try:
            if os.read(descriptor, 100).decode() == machine():
                return locks.is_free(descriptor)
            return self._is_silent(name, os.fstat(descriptor).st_mtime)
        finally:
            os.close(descriptor)

    def _is_silent(self, name: str, changed: float) -> bool:
        now = time.monotonic()
        last, since = self._seen.get(name, (None, now))
        if last != changed:
            since = now
        self._seen[name] = changed, since
        return now - since > self._silence_seconds
