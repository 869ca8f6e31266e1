"""Locks: who waits, and what the others see."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from r2b_keras import locks
from r2b_keras.errors import InputError

HOLD = """
import pathlib, sys, time
from r2b_keras import locks
with locks.held(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    path, order = tmp_path / "a.lock", []

    def second():
        with locks.held(path):
            order.append("second")

    assert not locks.is_held(path) and not path.exists()
    with locks.held(path):
        assert locks.is_held(path)
        # Looking at it changes nothing.
        assert locks.is_held(path)
        assert locks.take(path) is None
        waiter = threading.Thread(target=second)
        waiter.start()
        waiter.join(0.3)
        assert waiter.is_alive()
        order.append("first")
    waiter.join(30)
    assert order == ["first", "second"]
    assert not locks.is_held(path)


def test_who_is_killed_lets_go(tmp_path):
    path = tmp_path / "a.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert locks.is_held(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not locks.is_held(path)
    os.close(locks.take(path))


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    path = tmp_path / "a.lock"
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=r"a\.lock cannot be locked \(No locks avail"):
        locks.take(path)


def test_two_may_look_at_once(tmp_path):
    path = tmp_path / "a.lock"
    path.touch()
    with path.open("rb") as first, path.open("rb") as second:
        assert locks.is_free(first.fileno()) and locks.is_free(second.fileno())
