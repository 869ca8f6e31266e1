"""Signs of life: who is gone, told by locks on this machine and by time on others."""

import os
import signal
import subprocess
import sys
import time

import pytest

from r2b_keras.errors import InputError
from r2b_keras.sweeps import leases

HOLD = """
import sys, time, pathlib
from r2b_keras.sweeps import leases
with leases.held(pathlib.Path(sys.argv[1]), "tuner0"):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_holder_is_there_until_it_ends(tmp_path):
    watch = leases.Watch(tmp_path)
    assert watch.gone("tuner0")
    with leases.held(tmp_path, "tuner0"):
        assert not watch.gone("tuner0")
        assert watch.gone("tuner1")
    assert watch.gone("tuner0")
    with leases.held(tmp_path, "tuner0"):
        assert not watch.gone("tuner0")


def test_a_killed_holder_is_gone_at_once(tmp_path):
    watch = leases.Watch(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"held\n"
        assert not watch.gone("tuner0")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert watch.gone("tuner0")


def test_two_processes_do_not_share_a_name(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "_TRY_SECONDS", 0.1)
    folder = tmp_path / "sweep" / "workers"
    with leases.held(folder, "tuner0"):
        with pytest.raises(InputError, match="'tuner0' in .*sweep: .*TUNER_ID"):
            with leases.held(folder, "tuner0"):
                pass
        with leases.held(folder, "tuner1"):
            pass


def test_a_holder_shows_that_it_lives(tmp_path):
    with leases.held(tmp_path, "tuner0", beat_seconds=0.02):
        path = tmp_path / "tuner0.lease"
        os.utime(path, (1, 1))
        end = time.monotonic() + 30
        while path.stat().st_mtime == 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert path.stat().st_mtime > 1


def test_on_another_machine_silence_tells(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(leases.time, "monotonic", lambda: clock[0])
    path = tmp_path / "tuner0.lease"
    path.write_text("another machine's")
    watch = leases.Watch(tmp_path, silence_seconds=60.0)
    # Its clock may be years off: only that the time changes counts.
    os.utime(path, (1, 1))
    assert not watch.gone("tuner0")
    clock[0] += 59.0
    assert not watch.gone("tuner0")
    os.utime(path, (2, 2))
    clock[0] += 2.0
    assert not watch.gone("tuner0")
    clock[0] += 60.5
    assert watch.gone("tuner0")
    os.utime(path, (3, 3))
    assert not watch.gone("tuner0")
