"""Folders of commands: whose they are, and who is at work in them."""

import os
import pathlib
import threading

import pytest

from r2b_keras import files, folders, locks
from r2b_keras.errors import InputError

OWN = {"seed": 0, "recipe": {"name": "digits"}}


def claim(folder, wanted):
    folders.claim(folder, "recipe.json", wanted, "run", "seed")


def test_the_same_settings_take_it_again(tmp_path):
    for _ in range(2):
        claim(tmp_path / "a", OWN)
    assert files.read_json(tmp_path / "a" / "recipe.json") == OWN
    # Nothing but hidden files: a run that was killed before its first file.
    (tmp_path / "a" / "recipe.json").unlink()
    claim(tmp_path / "a", OWN)


def test_other_settings_are_refused_by_name(tmp_path):
    claim(tmp_path, OWN)
    before = (tmp_path / "recipe.json").read_bytes()
    with pytest.raises(InputError) as problem:
        claim(tmp_path, {**OWN, "seed": 1})
    assert str(problem.value) == (
        f"{tmp_path} was made by another run: seed: 0 -> 1. Choose another --workdir, "
        "or give the same seed."
    )
    with pytest.raises(InputError, match="e: None -> 1 and 1 more. Choose"):
        claim(tmp_path, {**OWN, **dict.fromkeys("abcdef", 1)})
    assert (tmp_path / "recipe.json").read_bytes() == before


def test_of_two_that_come_at_once_one_has_it(tmp_path):
    problems = []

    def second():
        with pytest.raises(InputError) as problem:
            claim(tmp_path, {"seed": 1})
        problems.append(str(problem.value))

    with locks.held(tmp_path / ".settings.lock"):
        # The first has looked, and not yet written.
        waiter = threading.Thread(target=second)
        waiter.start()
        waiter.join(0.3)
        assert waiter.is_alive() and not (tmp_path / "recipe.json").exists()
        files.write_json(tmp_path / "recipe.json", {"seed": 0})
    waiter.join(30)
    assert len(problems) == 1 and "seed: 0 -> 1" in problems[0]


def test_one_process_is_at_work_in_it(tmp_path):
    with folders.in_use(tmp_path, "training"):
        with pytest.raises(folders.FolderInUseError, match="Another process is train"):
            with folders.in_use(tmp_path, "training"):
                pass
    with folders.in_use(tmp_path, "training"):
        pass


def test_folders_of_others_are_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "none")
    refused = {
        tmp_path: "is not empty and holds no recipe.json, expected a new folder",
        tmp_path / "thesis.txt": "is a file, expected a folder",
        tmp_path / "link": "is a link that leads nowhere, expected",
        # A name as Python has one whose bytes are no UTF-8.
        tmp_path / "caf\udce9" / "run": "is no UTF-8.*choose another --workdir",
        # With `new` made, they would be the folder itself.
        tmp_path / "new" / "..": f"leads back out of {tmp_path / 'new'}, expected",
        tmp_path / "new/../.." / tmp_path.name: f"back out of {tmp_path / 'new'}, exp",
        tmp_path / "thesis.txt" / ".." / "a": "back out of .*thesis.txt, expected a f",
        tmp_path / "thesis.txt" / "a": r"a cannot be made \(Not a directory\): choose",
        pathlib.Path("/proc/foo/bar"): r"^/proc/foo/bar cannot be made \(No such file",
    }
    for folder, message in refused.items():
        with pytest.raises(InputError, match=message):
            claim(folder, OWN)
    assert sorted(os.listdir(tmp_path)) == ["link", "thesis.txt"]
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_a_way_back_out_of_a_folder_that_is_there(tmp_path):
    (tmp_path / "a").mkdir()
    claim(tmp_path / "a" / ".." / "b", OWN)
    assert files.read_json(tmp_path / "b" / "recipe.json") == OWN
