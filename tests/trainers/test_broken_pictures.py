"""Broken pictures and sets too small: known before the first epoch, and named."""

import dataclasses

import numpy as np
import pytest

from r2b_keras.data import DataConfig, load
from r2b_keras.data.sources import folder as folder_source
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import chain
from r2b_keras.trainers import stage as stages
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir
from tests.recipes import chains

DATA = DataConfig("folder", (12, 12, 3), (0.5,) * 3, (0.5,) * 3, 0)
STUDENT = chains.network("real", width=4, blocks=(1,))
RECIPE = chains.recipe(chains.stage(student=STUDENT, epochs=1, batch_size=4), data=DATA)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A set whose files are too many for each to be decoded when it is opened."""
    monkeypatch.setattr(folder_source, "FULL_CHECK_BYTES", 0)
    generator = np.random.default_rng(0)
    for part, count in (("train", 4), ("test", 2)):
        for name in ("cat", "dog"):
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                image = generator.integers(0, 256, (40, 30, 3), np.uint8)
                content = tf.io.encode_jpeg(image, quality=95).numpy()
                (folder / f"{number}.jpg").write_bytes(content)
    return tmp_path / "pictures"


def damage(path):
    """Takes the middle out; both ends are whole."""
    content = path.read_bytes()
    path.write_bytes(content[:200] + content[-2:])


def test_a_file_that_is_cut_off_is_named_when_the_set_is_opened(pictures):
    path = pictures / "test/dog/1.jpg"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="test/dog/1.jpg is broken or cut off"):
        load(DATA, pictures)


def test_a_broken_test_picture_is_named_before_anything_is_trained(
    pictures, tmp_path, capsys
):
    """Looking takes minutes for a large set: it is said before."""
    damage(pictures / "test/dog/1.jpg")
    with pytest.raises(InputError, match="test/dog/1.jpg is broken or cut off: rep"):
        train_chain(RECIPE, 0, Workdir(tmp_path / "run"), data_dir=pictures)
    assert not (tmp_path / "run").exists()
    assert capsys.readouterr().out == (
        "decoding 4 pictures of the validation and test parts, to see that none is "
        "broken\n"
    )


def test_pictures_are_looked_at_once_for_several_runs(
    pictures, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(chain, "train_stage", lambda run, number: print("training"))
    dataset = load(DATA, pictures)
    for name in ("a", "b"):
        train_chain(RECIPE, 0, Workdir(tmp_path / name), dataset=dataset)
        first, *_ = capsys.readouterr().out.splitlines()
        assert first.startswith("decoding 4" if name == "a" else "training")


def test_a_run_whose_test_picture_breaks_meanwhile_is_finished_later(
    pictures, tmp_path, monkeypatch
):
    path = pictures / "test/cat/0.jpg"
    content = path.read_bytes()
    fit = stages._fit

    def fit_and_break(*arguments):
        progress = fit(*arguments)
        damage(path)
        return progress

    monkeypatch.setattr(stages, "_fit", fit_and_break)
    workdir = tmp_path / "run"
    with pytest.raises(InputError, match=r"test/cat/0.jpg is broken .* sound copy"):
        train_chain(RECIPE, 0, Workdir(workdir), data_dir=pictures)
    assert Workdir(workdir).result(0) is None
    path.write_bytes(content)
    monkeypatch.setattr(stages, "_fit", None)
    (result,) = train_chain(RECIPE, 0, Workdir(workdir), data_dir=pictures)
    assert result.epochs == 1


def test_every_stages_batch_is_looked_at_before_the_first_is_trained(
    pictures, tmp_path
):
    late = dataclasses.replace(RECIPE.stages[0], batch_size=9)
    recipe = dataclasses.replace(RECIPE, stages=(*RECIPE.stages, late))
    with pytest.raises(InputError, match="batch_size is 9: expected 1 to 8"):
        train_chain(recipe, 1, Workdir(tmp_path / "run"), data_dir=pictures)
    assert not (tmp_path / "run").exists()
