"""Overrides that would do nothing are refused, and none that does something."""

import pathlib
import re

import pytest

from r2b_keras import networks, recipes
from r2b_keras.errors import InputError
from r2b_keras.recipes import needs

ROOT = pathlib.Path(__file__).parent.parent.parent
DIGITS = recipes.get("digits")


def check(*overrides, named=DIGITS, others=()):
    recipe = recipes.apply_overrides(named, overrides)
    recipes.require_heeded(named, recipe, overrides, others)
    return recipe


@pytest.mark.parametrize(
    ("override", "need"),
    [
        ("stages.0.losses.temperature=4", "losses.logit_matching above 0"),
        ("stages.0.losses.attention_form=squared_mean", "losses.attention above 0"),
        ("stages.3.losses.taps=block_1=block_2", "losses.attention above 0"),
        ("stages.0.optimizer.momentum=0.5", "the optimizer.name 'sgd'"),
        ("stages.3.optimizer.decay=decoupled", "optimizer.weight_decay above 0"),
        ("stages.3.optimizer.groups=logits/*:1:5", "optimizer.weight_decay above 0"),
        ("stages.0.schedule.drop_factor=0.5", "the schedule.kind 'step'"),
        ("stages.0.augmentation.crop_area=0.5", "augmentation.random_resized_crop"),
        ("stages.0.student.reduction=4", "a student.rescaling with a gate"),
        ("stages.2.student.weight_binarizer=swish_sign", "student.binarization"),
        ("stages.0.teacher=a.keras", "losses.attention or losses.logit_matching"),
        ("stages.*.optimizer.momentum=0.5", "the optimizer.name 'sgd'"),
        (" stages . * . schedule . drop_factor = 0.5", "the schedule.kind 'step'"),
    ],
)
def test_what_does_nothing(override, need):
    with pytest.raises(InputError, match="is of no use without") as caught:
        check(override)
    every = "*" in override.partition("=")[0]
    whose = "no stage has" if every else f"stage {override[7]} does not have"
    assert f"Override {override!r} " in str(caught.value)
    assert need in str(caught.value) and f"which {whose}: " in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["stages.*.losses.temperature=4"],
        ["stages.*.student.reduction=4"],
        ["stages.*.student.weight_binarizer=approx_sign"],
        ["stages.3.losses.temperature=4"],
        ["stages.1.losses.taps=block_1=block_1"],
        ["stages.*.optimizer.momentum=0.5", "stages.2.optimizer.name=sgd"],
        ["stages.3.optimizer.groups=logits/*:10,*:0:0"],
        ["stages.0.teacher=a.keras", "stages.0.losses.logit_matching=1"],
        # What is turned off, or is as it was, needs nothing.
        ["stages.0.losses.temperature=1", "stages.0.losses.taps=none"],
        ["stages.0.losses.label_smoothing=0", "stages.0.losses.class_weights=none"],
        [f"stages.3.losses.{x}=0" for x in ("attention", "logit_matching")]
        + ["stages.3.teacher=none"],
        ["stages.0.epochs=3", "data.validation_size=10"],
    ],
)
def test_what_does_something(overrides):
    check(*overrides)


def test_what_a_recipe_has_by_itself_is_left_alone():
    named = recipes.apply_overrides(DIGITS, ["stages.0.losses.temperature=4"])
    check("stages.0.epochs=3", named=named)
    check("stages.0.losses.temperature=4", named=named)
    with pytest.raises(InputError, match="of no use"):
        check("stages.0.losses.temperature=5", named=named)


def test_recipes_that_are_made_of_it_may_heed():
    override = "stages.0.losses.label_smoothing=0.1"
    deaf = ["stages.0.losses.cross_entropy=0", "stages.0.losses.logit_matching=1"]
    named = recipes.apply_overrides(DIGITS, [*deaf, "stages.0.teacher=a.keras"])
    with pytest.raises(InputError, match=r"losses.cross_entropy above 0, which"):
        check(override, named=named)
    check(override, named=named, others=[DIGITS])


def test_a_rescaling_of_ones_own_may_read_the_gates_options(monkeypatch):
    own = networks.Rescaling("my_code:rescale", absorbs_magnitude=True)
    monkeypatch.setitem(networks.RESCALINGS, "mine", own)
    check("stages.*.student.rescaling=mine", "stages.*.student.reduction=4")


def test_each_need_is_of_a_field():
    values = recipes.to_dict(DIGITS)["stages"][0]
    for field in needs.NEEDS:
        found = values
        for key in field.split("."):
            found = found[key]


def test_overrides_that_pages_show():
    """With parts of the package in place of one's own; the recipe has all stages."""
    known = {"my_scale": "channel_scale", "my_noise:0.1": "none"}
    shown = set()
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / ".ci/run"):
        text = page.read_text(encoding="utf-8")
        found = re.findall(r"--override='?(stages\.[\d*][^\s'`]*=\w[^\s'`)]*)", text)
        shown |= {override.rstrip(",") for override in found}
    assert len(shown) > 10
    for override in sorted(shown):
        path, _, value = override.partition("=")
        check(f"{path}={known.get(value, value)}")
