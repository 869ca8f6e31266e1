"""Larq Compute Engine's converter as a process: it ends, and nothing stays behind."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import binary_networks as nets
import pytest

from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.converters import lce_process, lce_worker
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

SHAPE = (4, 5, 33)


def network():
    image = tf.keras.Input(SHAPE)
    return nets.one_output(image, [nets.binary_convolution(3)(image)])


def children():
    path = pathlib.Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return set(path.read_text().split())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The temporary folder, which is empty again afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = children()
    yield tmp_path
    # TensorFlow keeps what it makes of Python code until the end.
    left = [x for x in tmp_path.iterdir() if not x.name.startswith("__autograph")]
    assert left == []
    assert children() == before


def test_nothing_is_left(folder):
    assert flatbuffers.convert(network())[4:8] == b"TFL3"


def test_what_is_no_network_is_refused_with_its_reason(folder):
    with tempfile.TemporaryDirectory() as saved:
        with pytest.raises(lce_process.ConverterRefusedError) as caught:
            lce_process.convert(saved)
    assert "SavedModel" in str(caught.value)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_a_converter_that_dies_is_no_reason_to_die(folder, monkeypatch, number):
    script = folder.parent / "dies.py"
    script.write_text(f"import os\nos.kill(os.getpid(), {int(number)})")
    monkeypatch.setattr(lce_worker, "__file__", str(script))
    with pytest.raises(lce_process.ConverterDiedError, match=number.name):
        lce_process.convert("nowhere")
    with pytest.raises(InputError, match=rf"converter died \({number.name}\); expect"):
        flatbuffers.convert(network())


def test_a_converter_that_cannot_be_loaded_has_last_words(tmp_path, monkeypatch):
    library = tmp_path / "_tf_tfl_flatbuffer.so"
    library.write_text("this is no library")
    monkeypatch.setattr(lce_process, "_library", lambda: str(library))
    with pytest.raises(lce_process.ConverterDiedError, match="exit code 1 ImportError"):
        lce_process.convert("nowhere")


def test_without_the_converter(monkeypatch):
    monkeypatch.setattr(lce_process.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install larq-compute-engine"):
        lce_process.convert("nowhere")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_converter_too(tmp_path, number):
    """As Ctrl-C does, which reaches the whole group of processes."""
    script = tmp_path / "slow.py"
    script.write_text(
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).symlink_to(str(os.getpid()))\n"
        "time.sleep(60)"
    )
    program = (
        "import signal, sys\n"
        "from r2b_keras.converters import lce_process, lce_worker\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))\n"
        f"lce_worker.__file__ = {str(script)!r}\n"
        "lce_process.convert('nowhere')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "pid").is_symlink():
        assert process.poll() is None
        time.sleep(0.01)
    if number is signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait(20) != 0
    assert not pathlib.Path("/proc", os.readlink(tmp_path / "pid")).exists()


FULL = "{{function_node ...}} /tmp/x/variables; No space left on device [Op:SaveV2]."


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        OSError(122, "Disk quota exceeded"),
        tf.errors.ResourceExhaustedError(None, None, FULL),
    ],
    ids=["folder", "quota", "TensorFlow"],
)
def test_a_full_temporary_folder_is_said(folder, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(InputError) as caught:
        flatbuffers.convert(network())
    assert str(caught.value) == (
        f"The temporary folder {folder} is full: free space there, or name another "
        "one in the environment variable TMPDIR."
    )


def test_other_problems_of_the_folder_keep_their_words(folder, monkeypatch):
    def forbidden(*_, **__):
        raise PermissionError(13, "Permission denied", "saved_model.pb")

    monkeypatch.setattr(tf.saved_model, "save", forbidden)
    with pytest.raises(PermissionError):
        flatbuffers.convert(network())
