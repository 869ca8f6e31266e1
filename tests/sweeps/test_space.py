"""Spaces: what is read, and every sentence about what cannot be tuned."""

import json

import pytest

from r2b_keras import recipes
from r2b_keras.errors import InputError
from r2b_keras.sweeps import space

DIGITS = recipes.get("digits")


def parse(content, stage=3, recipe=DIGITS):
    return space.parse(content, "space.json", recipe, stage)


def refusal(content, stage=3, recipe=DIGITS) -> str:
    with pytest.raises(InputError) as problem:
        parse(content, stage, recipe)
    message = str(problem.value)
    assert message[-1] in ".?" and "\n" not in message and len(message) < 500
    return message


def test_fields_are_named_for_the_stage_that_is_tuned():
    found = parse(
        {
            "stage.optimizer.learning_rate": {"log": [5e-4, 1e-2]},
            "stages.2.epochs": {"int": [2, 20]},
            "stages.*.student.reduction": {"choice": [4, 8]},
            "stage.losses.logit_matching": {"linear": [0, 3]},
        }
    ).fields
    assert [field.path for field in found] == [
        "stages.3.optimizer.learning_rate",
        "stages.2.epochs",
        "stages.*.student.reduction",
        "stages.3.losses.logit_matching",
    ]
    assert [field.ends() for field in found] == [
        ("0.0005", "0.01"),
        ("2", "20"),
        ("4", "8"),
        ("0", "3"),
    ]


def test_values_are_written_as_overrides_have_them():
    values = (True, None, [], [3, 6], 0.00012345678, 2.0, 8, "ste_sign")
    texts = ["true", "none", "none", "3,6", "0.000123457", "2", "8", "ste_sign"]
    assert list(map(space.as_text, values)) == texts


def test_values_are_rounded_inside_their_range():
    (field,) = parse(
        {"stage.optimizer.learning_rate": {"log": [1e-3, 0.012345]}}
    ).fields
    assert space.rounded(field, 0.00123456) == 0.001235
    assert space.rounded(field, 0.0123449) == 0.01234
    # Rounding up would leave the range.
    assert space.rounded(field, 0.0123451) == 0.012345
    # And so would rounding down.
    (field,) = parse(
        {"stage.optimizer.learning_rate": {"log": [0.0012344, 0.1]}}
    ).fields
    assert space.rounded(field, 0.00123441) == 0.0012344


@pytest.mark.parametrize("name", recipes.names())
def test_there_is_a_default_space_for_every_stage(name):
    recipe = recipes.get(name)
    for stage in range(len(recipe.stages)):
        found = space.load(space.default_file(recipe, stage), recipe, stage)
        first = {field.path: field.ends()[0] for field in found.fields}
        changed = space.change(recipe, first)
        assert changed.stages[stage] != recipe.stages[stage]
        assert json.loads(found.to_text()) == found.content


def test_the_recipes_own_value_has_to_be_a_number_too():
    """It is trial 0's; no range could hold it."""
    overrides = ["stages.3.teacher=none", "stages.3.losses.logit_matching=0"]
    untaught = recipes.apply_overrides(DIGITS, overrides)
    content = {LOGITS: {"linear": [0.1, 1]}, "stage.teacher": {"int": [0, 2]}}
    assert len(parse(content).fields) == 2
    assert "no number: stages.3.teacher is None" in refusal(content, 3, untaught)


@pytest.mark.parametrize("content", [{}, [], None, "stage.epochs"])
def test_no_fields(content):
    assert "names no fields" in refusal(content)


def test_no_such_file_and_no_json(tmp_path):
    path = tmp_path / "space.json"
    with pytest.raises(InputError, match="no file .*space.json.*--list_space"):
        space.load(path, DIGITS, 3)
    path.write_text("{")
    with pytest.raises(InputError, match="space.json is not valid JSON"):
        space.load(path, DIGITS, 3)


@pytest.mark.parametrize("stage", [-1, 4])
def test_no_such_stage(stage):
    assert "stages 0 to 3" in refusal({"stage.epochs": {"int": [1, 2]}}, stage)
    with pytest.raises(InputError, match="stages 0 to 3"):
        space.default_file(DIGITS, stage)


INT, LOGITS = {"int": [1, 5]}, "stage.losses.logit_matching"


@pytest.mark.parametrize(
    ("name", "ranges", "words"),
    [
        # No such field.
        ("stage.optimizer.learning_rat", INT, "did you mean 'learning_rate'"),
        ("stages.3.epoch", INT, "did you mean 'epochs'"),
        ("stages.9.epochs", INT, "there is no stage '9'"),
        ("stage", INT, "'stage' is no field of a stage"),
        ("data.validation_size", INT, "all trials of a sweep have the same data"),
        ("learning_rate", INT, "expected stage.FIELD"),
        ("stage.optimizer", INT, "is not one value"),
        ("stage.summary", INT, "'summary'"),
        # Not one range, or of no known kind.
        ("stage.epochs", 5, "'stage.epochs' has"),
        ("stage.epochs", [1, 5], "'stage.epochs' has"),
        ("stage.epochs", {}, "'stage.epochs' has"),
        ("stage.epochs", {"int": [1, 5], "choice": [1]}, "'stage.epochs' has"),
        ("stage.epochs", {"integer": [1, 5]}, "expected one of linear, log, int, cho"),
        # Impossible ends and choices.
        (LOGITS, {"log": [0, 0.1]}, "above 0"),
        (LOGITS, {"log": [-0.1, 0.1]}, "above 0"),
        (LOGITS, {"linear": [2, 1]}, "low end to be below"),
        (LOGITS, {"linear": [1, 1]}, "low end to be below"),
        (LOGITS, {"linear": [1]}, "two numbers"),
        (LOGITS, {"linear": [1, 2, 3]}, "two numbers"),
        (LOGITS, {"linear": ["1", 2]}, "two numbers"),
        (LOGITS, {"linear": [False, True]}, "two numbers"),
        (LOGITS, {"linear": [0, float("inf")]}, "two numbers"),
        (LOGITS, {"linear": 3}, "two numbers"),
        (LOGITS, {"int": [1, 2.5]}, "two whole numbers"),
        (LOGITS, {"linear": [0, 0.12345678]}, "at most 6 digits"),
        (LOGITS, {"choice": []}, "different values"),
        (LOGITS, {"choice": [1, 1]}, "different values"),
        (LOGITS, {"choice": 1}, "different values"),
        (LOGITS, {"choice": [{"a": 1}]}, "different values"),
        # What the recipe itself refuses, at either end, or the field's own kind.
        (LOGITS, {"choice": ["much"]}, "expected a number"),
        (LOGITS, {"choice": [0.00123456789, 0.01]}, "at most 6 digits"),
        (LOGITS, {"linear": [2, 10**320]}, "two numbers"),
        (LOGITS, {"linear": [-1, 1]}, "losses.logit_matching is -1.0"),
        ("stage.epochs", {"linear": [1, 5]}, "expected 'int' or 'choice'"),
        ("stage.epochs", {"log": [1, 5]}, "expected 'int' or 'choice'"),
        ("stage.optimizer.learning_rate", {"int": [1, 3]}, "own value is 0.0"),
        ("stage.epochs", {"int": [0, 5]}, "epochs is 0"),
        ("stage.student.name", {"linear": [1, 5]}, "Network.name is '1', expected"),
        ("stages.*.student.blocks", {"int": [1, 2]}, "expected 'choice'"),
        ("stage.absorb_magnitude", {"int": [0, 1]}, "expected true or false"),
        ("stage.optimizer.momentum", {"linear": [0.5, 1]}, "below 1"),
        ("stage.student.width", {"choice": ["wide"]}, "a whole number"),
    ],
)
def test_what_cannot_vary(name, ranges, words):
    message = refusal({name: ranges})
    assert words in message and message.startswith("space.json: ")


def test_stages_that_must_be_alike():
    reduction = {"choice": [4, 8]}
    message = refusal({"stage.student.reduction": reduction})
    assert "as in stage 2, its start_from: give both stages the same" in message
    parse({"stages.*.student.reduction": reduction})


def test_two_names_for_one_field():
    epochs = {"int": [1, 5]}
    message = refusal({"stages.*.epochs": epochs, "stage.epochs": epochs})
    assert "both name stages.3.epochs" in message


def test_stages_without_effect():
    epochs = {"int": [2, 5]}
    assert "no effect on stage 1" in refusal({"stages.2.epochs": epochs}, stage=1)
    # A teacher to whom no loss listens.
    recipe = recipes.apply_overrides(DIGITS, ["stages.3.losses.logit_matching=0"])
    alone = recipes.apply_overrides(recipe, ["stages.2.losses.attention=0"])
    alone = recipes.apply_overrides(alone, ["stages.2.losses.logit_matching=0"])
    assert "no effect" in refusal({"stages.1.epochs": epochs}, recipe=alone)
    # One that the space itself turns on.
    parse(
        {
            "stages.1.epochs": epochs,
            "stages.2.losses.logit_matching": {"linear": [0, 1]},
        },
        recipe=alone,
    )


BARE = [f"stages.3.losses.{name}=0" for name in ("attention", "logit_matching")]
GATE = {"choice": [4, 8]}


@pytest.mark.parametrize(
    ("name", "ranges", "overrides", "also", "need"),
    [
        (
            "losses.temperature",
            {"choice": [1, 4]},
            BARE,
            {"losses.logit_matching": {"linear": [0, 1]}},
            "losses.logit_matching above 0",
        ),
        (
            "losses.attention_form",
            {"choice": ["norm", "squared_mean"]},
            BARE,
            {"losses.attention": {"linear": [0, 1]}},
            "losses.attention above 0",
        ),
        (
            "student.reduction",
            GATE,
            [
                "stages.*.student.rescaling=analytic",
                "stages.3.absorb_magnitude=false",
                "stages.3.start_from=none",
            ],
            {"student.rescaling": {"choice": ["analytic", "gate"]}},
            "a student.rescaling with a gate",
        ),
        (
            "augmentation.crop_area",
            {"linear": [0.2, 0.8]},
            ["stages.3.augmentation.pad_and_crop=0"],
            {"augmentation.random_resized_crop": {"choice": [False, True]}},
            "augmentation.random_resized_crop",
        ),
        (
            "losses.taps",
            {"choice": ["block_1=block_1", "block_2=block_2"]},
            ["stages.3.losses.attention=0"],
            {"losses.attention": {"choice": [0, 1]}},
            "losses.attention above 0",
        ),
        (
            "losses.label_smoothing",
            {"linear": [0, 0.2]},
            ["stages.3.losses.cross_entropy=0"],
            {"losses.cross_entropy": {"choice": [0, 1]}},
            "losses.cross_entropy above 0",
        ),
        (
            "losses.class_weights",
            {"choice": ["balanced", "none"]},
            ["stages.3.losses.cross_entropy=0"],
            {"losses.cross_entropy": {"choice": [0, 1]}},
            "losses.cross_entropy above 0",
        ),
        (
            "optimizer.momentum",
            {"linear": [0.5, 0.9]},
            [],
            {"optimizer.name": {"choice": ["adam", "sgd"]}},
            "the optimizer.name 'sgd'",
        ),
        (
            "optimizer.decay",
            {"choice": ["l2", "decoupled"]},
            ["stages.3.optimizer.weight_decay=0"],
            {"optimizer.weight_decay": {"linear": [0, 0.1]}},
            "optimizer.weight_decay above 0",
        ),
        (
            "schedule.final_fraction",
            {"linear": [0, 0.5]},
            ["stages.3.schedule.kind=constant"],
            {"schedule.kind": {"choice": ["constant", "linear"]}},
            "the schedule.kind 'cosine' or 'linear'",
        ),
        (
            "student.weight_binarizer",
            {"choice": ["ste_sign", "approx_sign"]},
            ["stages.3.student.binarization=soft", "stages.3.absorb_magnitude=false"],
            {"student.binarization": {"choice": ["soft", "binary"]}},
            "the student.binarization 'binary'",
        ),
    ],
)
def test_fields_that_do_nothing_alone(name, ranges, overrides, also, need):
    recipe = recipes.apply_overrides(DIGITS, overrides)
    content = {f"stage.{name}": ranges}
    message = refusal(content, recipe=recipe)
    assert f"'stage.{name}' does nothing without {need}" in message
    # With another field of the space that turns it on in some trials, it does.
    parse({**content, **{f"stage.{k}": v for k, v in also.items()}}, recipe=recipe)


def test_xnor_nets_factor_has_a_binarizer_of_its_own():
    names = ["ste_sign", "approx_sign"]
    content = {"stage.student.weight_binarizer": {"choice": names}}
    own = ["stages.*.student.rescaling=analytic"]
    recipe = recipes.apply_overrides(DIGITS, own)
    assert "rescaling other than 'analytic'" in refusal(content, recipe=recipe)


def test_a_gate_by_the_networks_default():
    baseline = recipes.get("digits/strong_baseline")
    width = {"stages.*.student.gate_width": {"choice": ["in", "out"]}}
    assert "a gate" in refusal(width, stage=1, recipe=baseline)
    parse(width)
    # The first teacher is a real ResNet, which has none.
    assert "a gate" in refusal({"stage.student.reduction": GATE}, stage=0)


def test_of_many_corners_a_sample_is_tried():
    many = {
        f"stages.{stage}.optimizer.{name}": ranges
        for stage in range(4)
        for name, ranges in {
            "learning_rate": {"log": [1e-3, 1e-2]},
            "weight_decay": {"log": [1e-6, 1e-3]},
            "momentum": {"linear": [0.5, 0.9]},
        }.items()
    }
    sgd = recipes.apply_overrides(DIGITS, ["stages.*.optimizer.name=sgd"])
    assert len(parse(many, recipe=sgd).fields) == 12  # 4096 corners
    # One end of one field is refused, with all others where they are.
    many["stages.2.optimizer.momentum"] = {"linear": [0.5, 1]}
    assert "optimizer.momentum is 1.0" in refusal(many, recipe=sgd)
