"""What tests share: made whole, once, and anew where something changed it."""

import os

import pytest

from tests import made_once


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Asks for a folder; how often it was made so far."""
    monkeypatch.setattr(made_once, "PLACE", tmp_path)
    times = []

    def make(folder):
        assert not list(folder.iterdir())
        times.append(folder)
        (folder / "model").write_text("whole")

    def made():
        assert (made_once.folder("name", make) / "model").read_text() == "whole"
        return len(times)

    return made


def test_once_and_anew_where_a_test_has_changed_it(made, tmp_path):
    assert made() == made() == 1
    (model,) = tmp_path.glob("*/name/model")
    model.write_text("changed")
    assert made() == made() == 2
    model.with_name("more").touch()
    assert made() == 3


def test_what_was_cut_off_is_not_taken(made, tmp_path):
    def stop(folder):
        (folder / "model").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made_once.folder("name", stop)
    assert made() == 1


def test_old_states_go_and_those_in_use_stay(made, tmp_path):
    for name, age in (("old", made_once.SECONDS_KEPT + 60), ("used", 60)):
        (tmp_path / name).mkdir()
        before = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (before, before))
    made()
    folders = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert folders == {made_once._state(), "used"}


def test_another_number_of_threads_is_another_state(monkeypatch):
    """What was trained with one is not compared with what is trained with two."""
    states = set()
    for threads in ("1", "2"):
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", threads)
        states.add(made_once._state.__wrapped__())
    assert len(states) == 2
