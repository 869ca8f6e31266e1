"""Every flag of every command that takes a path: `~` is the home folder."""

import importlib
import os

import pytest
from absl import flags

from r2b_keras import path_flags
from r2b_keras.errors import InputError
from tests import commands

PathParser = path_flags._PathParser
PATHS = {
    "ablate": ("recipe", "workdir", "data_dir"),
    "benchmark": ("model", "output_dir"),
    "convert": (
        *("workdir", "model", "weights", "recipe", "data_dir", "output"),
        *("verify_images", "labels"),
    ),
    "evaluate": ("workdir", "model", "recipe", "data_dir"),
    "predict": ("model", "labels"),
    "report": ("workdir", "output", "data_dir", "model"),
    "reproduce": ("workdir", "results"),
    "train": ("recipe", "workdir", "data_dir", "library", "start_from", "teacher"),
    "tune": ("recipe", "space", "workdir", "data_dir"),
}
WORDS = ("folder", "file", "network", "recipe", "page", "results")


@pytest.fixture
def values(monkeypatch):
    """The flags of a command, as this command line sets them."""
    monkeypatch.setenv("HOME", "/home/somebody")

    def parsed(name, *arguments):
        with commands.flags_of(name, *arguments):
            return importlib.import_module(f"r2b_keras.{name}").FLAGS

    return parsed


@pytest.mark.parametrize("name", PATHS)
def test_home_is_expanded_in_every_path(values, name):
    given = [f"--{flag}=~/a b/~c" for flag in PATHS[name]]
    found = values(name, *given)
    for flag in PATHS[name]:
        value = found[flag].value
        assert value in ("/home/somebody/a b/~c", ["/home/somebody/a b/~c"]), flag


@pytest.mark.parametrize("name", PATHS)
def test_no_flag_with_a_path_is_left_out(values, name):
    """A flag of plain text must not be about a file or a folder."""
    found = values(name)
    paths = {flag for flag in found if isinstance(found[flag].parser, PathParser)}
    assert paths == set(PATHS[name])
    for flag in found:
        kind = type(found[flag].parser)
        if kind is flags.ArgumentParser and flag not in ("override", "engine"):
            words = found[flag].help.lower().replace(",", " ").split()
            assert not set(words) & set(WORDS), f"--{flag} of {name}"


def test_paths_that_cannot_be(values):
    parser = PathParser()
    for path in ("run", "./~", "a/~/b", "/tmp/x"):
        assert parser.parse(path) == path
    with pytest.raises(ValueError, match="nothing came, expected a path"):
        parser.parse("")
    with pytest.raises(ValueError, match="~nobody_here is the home of no user"):
        parser.parse("~nobody_here/run")
    result = commands.run("train", "--workdir=")
    assert result.returncode == 1 and "--workdir=: nothing came" in result.stderr


def test_a_path_that_is_given_twice():
    result = commands.run("predict", "--model=a.tflite", "--model=b.tflite", "c.png")
    assert result.returncode == 1
    assert "--model=b.tflite: already defined as a.tflite" in result.stderr


def test_folders_that_would_become_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    for path in ("runs/pictures", tmp_path / "cat", "link/x", "."):
        with pytest.raises(InputError, match=f"^--workdir={path} lies in --data_dir"):
            path_flags.require_outside("workdir", path, "folder", ".")
    for path in (".runs/pictures", "../runs", f"{tmp_path}_runs", None):
        path_flags.require_outside("workdir", path, "folder", ".")
    path_flags.require_outside("workdir", "runs", "folder", None)
    path_flags.require_outside("workdir", "runs", "cifar10", ".")


@pytest.mark.parametrize(
    ("command", "given", "told"),
    [
        ("train", (), "--workdir=runs/pictures lies in --data_dir=.,"),
        ("train", ("--workdir=../x", "--library=y"), "--library=y lies in --data_dir"),
        ("tune", (), "--workdir=runs/pictures_sweep lies in --data_dir=.,"),
    ],
)
def test_no_run_is_put_among_its_pictures(tmp_path, monkeypatch, command, given, told):
    monkeypatch.chdir(tmp_path)
    given = ("--recipe=pictures", "--stage=3", "--data_dir=.", *given)
    result = commands.run(command, *given)
    commands.assert_one_sentence(result, told)
    assert os.listdir(tmp_path) == []
