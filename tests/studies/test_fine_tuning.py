"""The study of fine-tuning: which pictures its runs get."""

import dataclasses
import itertools
import pathlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from r2b_keras import files, recipes


@pytest.fixture(scope="module")
def study(load):
    return load("fine_tuning")


@pytest.fixture
def pictures(study, tmp_path):
    """Twelve pictures of three classes, of which two are written."""
    images = np.arange(12 * 4 * 4 * 3, dtype=np.uint8).reshape(12, 4, 4, 3)
    examples = [(image, number % 3) for number, image in enumerate(images)]
    study.write_pictures(examples, {0: "ant", 2: "bee"}, tmp_path / "all")
    return tmp_path / "all", images


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))


def test_pictures_of_the_wanted_classes_are_written_unchanged(study, pictures):
    folder, images = pictures
    assert names(folder) == [
        f"{c}/000{n}.png" for c in ("ant", "bee") for n in range(4)
    ]
    with study.Image.open(folder / "bee" / "0001.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images[5])


def test_a_folder_that_was_cut_off_is_written_again(study, pictures, tmp_path):
    folder, images = pictures
    (tmp_path / "part.unfinished" / "ant").mkdir(parents=True)
    examples = [(images[0], 0)]
    study.write_pictures(examples, {0: "ant"}, tmp_path / "part")
    assert names(tmp_path / "part") == ["ant/0000.png"]
    study.write_pictures([], {1: "cow"}, tmp_path / "part")
    assert names(tmp_path / "part") == ["ant/0000.png"]


def test_seeds_choose_pictures(study, pictures, tmp_path):
    folder, _ = pictures
    chosen = []
    for name, seed in (("a", 0), ("again", 0), ("b", 1), ("c", 2)):
        study.choose_pictures(folder, 2, seed, tmp_path / name)
        chosen.append(names(tmp_path / name))
        assert [len(list(each.iterdir())) for each in (tmp_path / name).iterdir()] == [
            2,
            2,
        ]
    assert chosen[0] == chosen[1]
    assert len(set(map(tuple, chosen))) > 1
    # Once more into the same folder: the same pictures, no others beside them.
    study.choose_pictures(folder, 2, 0, tmp_path / "a")
    assert names(tmp_path / "a") == chosen[0]


def as_run(study, start, count):
    name, overrides = study.settings(start, count)
    return recipes.apply_overrides(recipes.get(name), overrides)


def test_the_recipe_goes_on_from_the_network_of_the_other_one(study):
    known = recipes.apply_overrides(recipes.get(study.RECIPE), study.known_changes())
    tuned = as_run(study, "fine-tuned", 10)
    assert [stage.epochs for stage in known.stages] == list(study.EPOCHS.values())
    assert tuned.stages == recipes.get(study.FINE_TUNING).stages
    assert tuned.stages[0].student == known.stages[-1].student
    for name in ("image_shape", "mean", "std", "framing"):
        assert getattr(tuned.data, name) == getattr(known.data, name)


@pytest.mark.parametrize("start", ["fine-tuned for longer", "from scratch"])
def test_few_pictures_get_the_steps_of_many(study, start):
    found = [as_run(study, start, n).stages for n in study.PICTURES]
    for count, stages in zip(study.PICTURES, found, strict=True):
        assert sum(stage.epochs for stage in stages) * count == 8000
        assert {stage.batch_size for stage in stages} == {32}


def test_from_scratch_is_the_strong_baseline_on_these_pictures(study):
    found = as_run(study, "from scratch", 10)
    baseline = recipes.get(f"{study.RECIPE}/strong_baseline")
    tuned = as_run(study, "fine-tuned", 10)
    assert found.data == dataclasses.replace(tuned.data, framing=found.data.framing)
    for one, other in zip(found.stages, baseline.stages, strict=True):
        # What is expected of it is of other images.
        assert one.expected is None
        names = ("epochs", "batch_size", "expected")
        same = {name: getattr(other, name) for name in names}
        assert dataclasses.replace(one, **same) == other


def test_the_whole_study(study, monkeypatch, tmp_path):
    """Ninety classes, then ten, of small sets; nothing is trained."""
    monkeypatch.setattr(study, "WORK", tmp_path / "work")
    monkeypatch.setattr(study.trainings, "hold", lambda folder: None)
    monkeypatch.setattr(study, "PICTURES", (1, 2))
    images = np.zeros((400, 4, 4, 3), np.uint8)
    part = SimpleNamespace(images=images, labels=np.arange(400) % 100)
    names = tuple(f"class_{number:02}" for number in range(100))
    source = SimpleNamespace(train=part, test=part, class_names=names)
    monkeypatch.setattr(study.sources, "open_source", lambda config, data_dir: source)
    trained = []

    def train(folder, workdir, *flags):
        assert folder == study.WORK and workdir.is_relative_to(folder)
        (given,) = (f.partition("=")[2] for f in flags if f.startswith("--data_dir="))
        parts = {
            part: len(list(pathlib.Path(given).glob(f"{part}/*/*")))
            for part in ("train", "test")
        }
        start_from = [f.partition("=")[2] for f in flags if "start_from" in f]
        trained.append((workdir.name, parts, start_from))
        return {"stage_0": 0.1, "stage_1": 0.5}

    monkeypatch.setattr(study.trainings, "train", train)
    monkeypatch.setattr(sys, "argv", ["study", f"--output={tmp_path / 'out'}"])
    study.main()
    known, *others = trained
    assert known == ("known", {"train": 360, "test": 360}, [])
    assert len(others) == 2 * 3 * 3
    # With the most pictures those that go on do so alike: trained once.
    assert len({name for name, _, _ in others}) == 2 * 3 * 3 - 3
    assert "fine-tuned_for_longer_1_0" in {name for name, _, _ in others}
    for name, parts, start_from in others:
        count = int(name.split("_")[-2])
        assert parts == {"train": 10 * count, "test": 40}
        last = str(study.WORK / "runs" / "known" / "stage_3" / "model.keras")
        assert start_from == ([] if name.startswith("from_scratch") else [last])
    table = files.read_csv(tmp_path / "out" / "fine_tuning.csv")
    assert len(table) == 18 and {row["top1"] for row in table} == {"0.5000"}
    assert (tmp_path / "out" / "fine_tuning.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_that_fails_does_not_stop_the_others(study, monkeypatch, tmp_path):
    monkeypatch.setattr(study, "WORK", tmp_path / "work")
    monkeypatch.setattr(study.trainings, "hold", lambda folder: None)
    monkeypatch.setattr(study, "make_folders", lambda data_dir: None)
    monkeypatch.setattr(study, "choose_pictures", lambda *arguments: None)

    (study.WORK / "new" / "test").mkdir(parents=True)
    for count, seed in itertools.product(study.PICTURES, study.SEEDS):
        (study.WORK / f"new_{count}_{seed}").mkdir()

    def train(folder, workdir, *flags):
        if workdir.name == "from_scratch_10_1":
            raise subprocess.CalledProcessError(1, "train")
        return {"stage_0": 0.5}

    monkeypatch.setattr(study.trainings, "train", train)
    monkeypatch.setattr(sys, "argv", ["study", f"--output={tmp_path / 'out'}"])
    with pytest.raises(SystemExit, match="said above: from scratch, 10 pictures, seed"):
        study.main()
    table = files.read_csv(tmp_path / "out" / "fine_tuning.csv")
    assert len(table) == 3 * 3 * 3 - 1
    assert (tmp_path / "out" / "fine_tuning.png").exists()


def test_the_chart_has_every_run(study):
    rows = [
        {"pictures": n, "start": start, "seed": seed, "top1": "0.5"}
        for n in study.PICTURES
        for start in study.STARTS
        for seed in study.SEEDS
    ]
    (axes,) = study.draw(rows).axes
    points = [line for line in axes.lines if line.get_linestyle() == "None"]
    assert sum(len(line.get_xdata()) for line in points) == len(rows)
