"""Recipes as plain data: there and back, compared, and printed."""

import dataclasses
import json
import re

import numpy as np
import pytest
from chains import chain, recipe, stage

from r2b_keras import files, recipes
from r2b_keras.errors import InputError
from r2b_keras.recipes import (
    Expected,
    Losses,
    Schedule,
    completed,
    describe,
    differences,
    from_dict,
    to_dict,
)


@pytest.mark.parametrize("name", recipes.names())
def test_a_recipe_comes_back_from_json_as_it_was(name):
    whole = recipes.get(name)
    text = json.dumps(to_dict(whole))
    assert from_dict(json.loads(text)) == whole
    assert differences(to_dict(whole), json.loads(text)) == []


def test_plain_data_is_what_the_fields_say():
    plain = to_dict(chain())
    assert plain["data"]["image_shape"] == [8, 8, 1]
    assert plain["stages"][0]["teacher"] is None
    assert plain["stages"][3]["schedule"] == {
        "kind": "step",
        "drop_epochs": [5, 8],
        "drop_factor": 0.1,
        "warmup_epochs": 1,
        "final_fraction": 0.0,
    }
    assert plain["stages"][1]["expected"] == {
        "top1": 0.5,
        "source": "paper",
        "low": None,
        "high": None,
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda plain: plain.pop("data"),
        lambda plain: plain.update(stages=3),
        lambda plain: plain.update(more=1),
        lambda plain: plain["stages"][0].pop("student"),
        lambda plain: plain["stages"][0].update(losses=3),
        lambda plain: plain["stages"][0].update(losses=[1]),
    ],
)
def test_what_is_no_recipe_is_refused(damage):
    plain = to_dict(chain())
    damage(plain)
    for values in (plain, None, 3, [], "digits"):
        with pytest.raises(InputError, match="This is no recipe of this version"):
            from_dict(values)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda plain: plain.update(more=1), "Recipe has no field 'more'."),
        (lambda plain: plain.pop("data"), "has a field 'data', which is missing."),
        (
            lambda plain: plain["stages"][1].update(epoch=3),
            "Stage has no field 'epoch'.",
        ),
        (lambda plain: plain["stages"][1].update(epochs=0), "epochs is 0, expected"),
    ],
)
def test_a_file_that_is_no_recipe_is_named_with_what_is_wrong(tmp_path, damage, words):
    plain, path = to_dict(chain()), tmp_path / "recipe.json"
    damage(plain)
    files.write_json(path, {"recipe": plain})
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}: ") as error:
        recipes.get(str(path))
    assert words in str(error.value)


def test_fields_that_a_file_is_too_old_for_have_their_defaults():
    plain = to_dict(chain())
    old = json.loads(json.dumps(plain))
    for a_stage in old["stages"]:
        del a_stage["losses"]["temperature"]
    found = completed({"recipe": old, "seed": 3})
    assert found == {"recipe": plain, "seed": 3}
    assert "temperature" not in old["stages"][0]["losses"]


@pytest.mark.parametrize("values", [None, [], {"seed": 3}, {"recipe": {"more": 1}}])
def test_what_holds_no_recipe_stays_as_it_is(values):
    assert completed(values) == values


def test_differences_name_path_and_both_values():
    plain = to_dict(chain())
    other = to_dict(chain())
    other["data"]["mean"] = [0.5]
    other["stages"][3]["teacher"] = None
    other["stages"][3]["optimizer"]["learning_rate"] = 0.002
    assert differences(plain, other) == [
        "data.mean: [0.3] -> [0.5]",
        "stages.3.teacher: 2 -> None",
        "stages.3.optimizer.learning_rate: 0.001 -> 0.002",
    ]


def test_differences_go_below_what_holds_the_recipe():
    plain = to_dict(chain())
    assert differences({"recipe": plain, "seed": 0}, {"recipe": plain, "seed": 1}) == [
        "seed: 0 -> 1"
    ]
    changed = to_dict(chain())
    changed["stages"][0]["epochs"] = 3
    assert differences({"recipe": plain}, {"recipe": changed}) == [
        "recipe.stages.0.epochs: 10 -> 3"
    ]


def test_other_numbers_of_stages_are_one_short_difference():
    one, two = recipe(stage()), recipe(stage(), stage())
    assert differences(to_dict(one), to_dict(two)) == ["stages: 1 of them -> 2 of them"]


def test_a_key_that_only_one_has_is_a_difference():
    assert differences({"a": 1}, {"a": 1, "b": 2}) == ["b: None -> 2"]
    assert differences({"a": 1, "b": 2}, {"a": 1}) == ["b: 2 -> None"]


def test_other_words_about_a_recipe_are_no_difference():
    """A workdir stays usable when a summary or an expected accuracy is mended."""
    old = recipe(stage(), summary="old")
    new = recipe(
        dataclasses.replace(stage(), expected=Expected(0.9, "measured")), summary="new"
    )
    assert differences(to_dict(old), to_dict(new)) == []


def test_a_recipe_is_printed_with_every_field_on_its_own_line():
    lines = describe(chain()).splitlines()
    assert lines[0] == "name: r"
    assert "  image_shape: 8,8,1" in lines
    assert "    teacher: none" in lines
    assert "    absorb_magnitude: true" in lines
    assert "      drop_epochs: 5,8" in lines
    assert "      drop_epochs: none" in lines
    assert "      rescaling: (default)" in lines
    assert "      top1: 0.5" in lines
    assert lines.index("  3:") > lines.index("  2:") > lines.index("stages:")
    assert all(line == line.rstrip() for line in lines)


def test_recipes_are_read_from_files(tmp_path):
    changed = recipes.apply_overrides(recipes.get("digits"), ["stages.3.epochs=7"])
    path = tmp_path / "best_recipe.json"
    files.write_json(path, {"recipe": recipes.to_dict(changed), "seed": 3, "trial": 1})
    assert recipes.get(str(path)) == changed
    assert recipes.run_settings(str(path)) == {"seed": 3}
    assert recipes.run_settings("digits") == {}


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "recipe.json").mkdir()
    with pytest.raises(InputError, match="There is no file .*recipe.json, expected a"):
        recipes.get(str(tmp_path / "recipe.json"))


@pytest.mark.parametrize("content", [None, "[]", '{"seed": 3}', "{"])
def test_files_without_a_recipe_are_refused(tmp_path, content):
    path = tmp_path / "recipe.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        recipes.get(str(path))


def test_numbers_of_numpys_are_written_as_pythons():
    ours = dataclasses.replace(stage(), epochs=np.int64(3), batch_size=np.int32(8))
    ours = dataclasses.replace(
        ours, losses=Losses(temperature=np.float32(0.5), cross_entropy=np.float64(2))
    )
    plain = dataclasses.replace(
        stage(), epochs=3, batch_size=8, losses=Losses(2.0, temperature=0.5)
    )
    assert json.dumps(to_dict(ours)) == json.dumps(to_dict(plain))


def test_lists_and_single_words_become_tuples():
    whole = recipes.get("digits")
    again = dataclasses.replace(whole, stages=list(whole.stages))
    assert again == whole and hash(again) == hash(whole)
    one, other = (Schedule("step", drop_epochs=each) for each in ([1, 2], (1, 2)))
    assert one == other and hash(one) == hash(other)
    one = Losses(class_weights="balanced", taps="block_1=block_2")
    assert one == Losses(class_weights=("balanced",), taps=("block_1=block_2",))


def test_a_recipe_is_read_from_a_path(tmp_path):
    path = tmp_path / "recipe.json"
    files.write_json(path, {"recipe": to_dict(recipes.get("digits"))})
    assert recipes.get(path) == recipes.get(str(path)) == recipes.get("digits")
