"""Files are written whole or not at all."""

import errno
import os
import pathlib
import stat

import pytest

from r2b_keras import files
from r2b_keras.errors import InputError


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "result.json"
    path.write_text("old")
    return path


def assert_untouched(path):
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == [path.name]


def test_new_content_replaces_the_old(path):
    files.write_text(path, "new\nämne\n")
    assert path.read_bytes() == "new\nämne\n".encode()
    assert os.listdir(path.parent) == [path.name]


def test_old_content_stays_until_the_end(path):
    with files.written_whole(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
        # On the same file system, or the move would be a copy.
        assert aside.parent == path.parent
        assert aside.suffix == path.suffix
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_exception_keeps_the_old_content(path, error):
    with pytest.raises(error), files.written_whole(path) as aside:
        aside.write_text("half of the n")
        raise error
    assert_untouched(path)


def test_exception_leaves_no_new_file(tmp_path):
    with pytest.raises(ValueError), files.written_whole(tmp_path / "new") as aside:
        aside.write_text("half")
        raise ValueError
    assert os.listdir(tmp_path) == []


def test_full_disk_keeps_the_old_content(path, monkeypatch):
    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left on device.*result.json") as caught:
        files.write_text(path, "new")
    assert caught.value.errno == errno.ENOSPC
    assert_untouched(path)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="has no /dev/full")
def test_full_disk_while_writing(path):
    with pytest.raises(OSError, match="No space left"), files.written_whole(path):
        with open("/dev/full", "w") as full:
            full.write("new")
    assert_untouched(path)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        files.write_text(tmp_path / "absent" / "result.json", "new")


def test_content_is_on_the_disk_before_the_name(path, monkeypatch):
    """A power cut after the rename must not leave an empty file."""
    flushed = []
    flush = os.fsync

    def record(descriptor):
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append(("folder" if is_folder else "file", path.read_text()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    files.write_text(path, "new")
    assert flushed == [("file", "old"), ("folder", "new")]


def test_folders_that_cannot_be_flushed(path, monkeypatch):
    """As in folders that a virtual machine shares; of a full disk it is said."""
    flush, number = os.fsync, errno.EINVAL

    def of_files(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", of_files)
    files.write_text(path, "new")
    assert path.read_text() == "new"
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        files.write_text(path, "newer")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_text(path, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_what_a_killed_process_left_is_removed(path):
    folder = path.parent / "stage_1"
    folder.mkdir()
    (folder / f"{files.PARTIAL}checkpoint-1234.npz").write_text("half")
    (path.parent / f"{files.PARTIAL}result-1234.json").write_text("half")
    # A library of stages in the folder, which others may be adding to.
    added = path.parent / f"{files.PARTIAL}stage_1-1234"
    added.mkdir()
    (added / f"{files.PARTIAL}model-1234.keras").write_text("half")
    files.remove_partial(path.parent)
    assert len(os.listdir(added)) == 1
    assert os.listdir(folder) == []
    assert path.read_text() == "old"


def test_json_keeps_values_and_order(tmp_path):
    value = {"b": [1, 2.5, None], "a": {"text": "ä", "true": True}}
    files.write_json(tmp_path / "value.json", value)
    again = files.read_json(tmp_path / "value.json")
    assert again == value
    assert list(again) == ["b", "a"]
    assert (tmp_path / "value.json").read_bytes().endswith(b"}\n")


def test_value_that_is_no_json_keeps_the_old_content(path):
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert_untouched(path)


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe{}", b"{'a': 1}"])
def test_damaged_json_names_the_file(tmp_path, content):
    path = tmp_path / "recipe.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"recipe\.json is not valid JSON"):
        files.read_json(path)


@pytest.fixture
def inputs(tmp_path):
    """A folder of files, as a command reads it, with one of its own making."""
    folder = tmp_path / "run"
    (folder / "stage_0").mkdir(parents=True)
    for name in ("recipe.json", "stage_0/model.keras", "old.tflite"):
        (folder / name).write_text(name)
    return folder


def refused(path, *inputs):
    with pytest.raises(InputError) as problem:
        files.check_output(path, "--output", inputs, (".tflite",))
    message = str(problem.value)
    assert message.startswith(f"--output={path} ") and message.endswith(".")
    return message


def checked(path, *inputs):
    before = sorted(path.parent.rglob("*"))
    assert files.check_output(path, "--output", inputs, (".tflite",)) == path
    assert sorted(path.parent.rglob("*")) == before


def test_outputs_that_may_be_written(inputs, tmp_path):
    for path in (inputs / "new.tflite", inputs / "old.tflite", tmp_path / "m"):
        checked(path, None, inputs, tmp_path / "none")
    other = tmp_path / "other.keras"
    other.write_text("the same name and content in another folder is another file")
    checked(other, inputs)
    link = tmp_path / "latest.tflite"
    link.symlink_to(inputs / "old.tflite")
    assert files.check_output(link, "--output", [], ()) == inputs / "old.tflite"
    link.unlink()
    link.symlink_to(tmp_path / "not yet")
    assert files.check_output(link, "--output", [inputs]) == tmp_path / "not yet"


@pytest.mark.parametrize("spelling", ["plain", "dots", "link", "hard link", "folder"])
@pytest.mark.parametrize("name", ["recipe.json", "stage_0/model.keras"])
@pytest.mark.parametrize("given", ["file", "folder", "link to it"])
def test_no_input_is_overwritten(inputs, tmp_path, spelling, name, given):
    """Whatever the output is called, and however the input was given."""
    file = inputs / name
    path = tmp_path / "out.tflite"
    if spelling == "plain":
        path = file
    elif spelling == "dots":
        path = inputs / "stage_0" / ".." / name
    elif spelling == "link":
        path.symlink_to(file)
    elif spelling == "hard link":
        os.link(file, path)
    else:
        (tmp_path / "other").symlink_to(file.parent)
        path = tmp_path / "other" / file.name
    source = file if given == "file" else inputs
    if given == "link to it":
        source = tmp_path / "source"
        source.symlink_to(inputs)
    assert f"{file.name}, which this command reads" in refused(path, source)
    assert file.read_text() == name


def test_links_to_folders_are_inputs_too(inputs, tmp_path):
    """As data sets are laid out; one back to where it lies is no endless way."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(inputs)
    (inputs / "stage_0" / "back").symlink_to(inputs)
    (inputs / "nowhere").symlink_to(tmp_path / "none")
    file = inputs / "stage_0" / "model.keras"
    assert "which this command reads" in refused(file, tmp_path / "data")
    checked(inputs / "old.tflite", tmp_path / "data")


def test_what_is_no_file_is_no_output(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is a device or a pipe" in refused(tmp_path / "pipe")
    (tmp_path / "null").symlink_to("/dev/null")
    for path in (tmp_path, tmp_path / "none" / "m", tmp_path / "pipe" / "m"):
        assert "is a folder or lies in none" in refused(path)
    # The device's folder may not be writable, or it may.
    message = refused(tmp_path / "null")
    assert "is a device or a pipe" in message or "cannot be written" in message
    assert os.path.exists("/dev/null") and not os.path.isfile("/dev/null")
    # A name that is too long is told before any work.
    assert "cannot be written (File name too long)" in refused(tmp_path / ("m" * 250))


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, exist_ok):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "touch", refuse)
    message = refused(tmp_path / "m.tflite")
    assert "cannot be written (Permission denied)" in message


def test_json_with_a_byte_order_mark(path):
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert files.read_json(path) == {}


# A name as Python has one whose bytes are no UTF-8, and how people are shown it.
LATIN, SHOWN = "caf\udce9", "caf\\udce9"


def test_names_that_are_no_utf_8(tmp_path):
    assert files.printable(LATIN) == SHOWN and files.printable("caf\xe9") == "caf\xe9"
    path = tmp_path / LATIN
    files.write_text(path, f"{LATIN}, na\xefve")
    assert path.read_text(encoding="utf-8") == f"{SHOWN}, na\xefve"
    assert os.listdir(os.fsencode(tmp_path)) == [b"caf\xe9"]


def test_every_file_of_an_input_folder_is_an_input(tmp_path):
    folder = tmp_path / "pictures" / "cat"
    folder.mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        (folder / name).write_bytes(b"mine")
    for path in folder.iterdir():
        with pytest.raises(InputError, match="which this command reads"):
            files.check_output(path, "--output", [folder.parent])
