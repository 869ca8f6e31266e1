"""The study of fine-tuning: which pictures its runs get."""

import numpy as np
import pytest

from r2b_keras import recipes


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
    recipe = recipes.get(study.FINE_TUNING)
    return recipes.apply_overrides(recipe, study.changes(start, count))


def test_the_recipe_goes_on_from_the_network_of_the_other_one(study):
    known = recipes.get(study.RECIPE)
    tuned = as_run(study, "fine-tuned", 10)
    assert tuned.stages == recipes.get(study.FINE_TUNING).stages
    assert tuned.stages[0].student == known.stages[-1].student
    for name in ("image_shape", "mean", "std", "framing"):
        assert getattr(tuned.data, name) == getattr(known.data, name)


def test_from_scratch_few_pictures_get_the_steps_of_many(study):
    found = [as_run(study, "from scratch", n).stages[0] for n in study.PICTURES]
    seen = [stage.epochs * n for stage, n in zip(found, study.PICTURES, strict=True)]
    assert seen == [8000] * 3
    baseline = recipes.get(f"{study.RECIPE}/strong_baseline").stages[-1]
    assert [stage.optimizer for stage in found] == 3 * [baseline.optimizer]


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
