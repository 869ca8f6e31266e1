"""Changes of a recipe by `path=value`: what they do, and what they say when refused."""

import pytest
from chains import chain

from r2b_keras.errors import InputError
from r2b_keras.recipes import apply_overrides, describe, differences, to_dict


def value_at(recipe, path):
    value = recipe
    for key in path.split("."):
        value = value[int(key)] if key.isdigit() else getattr(value, key)
    return value


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("stages.3.epochs", "20", 20),
        ("stages.3.optimizer.learning_rate", "2", 2.0),
        ("stages.3.optimizer.learning_rate", "5e-3", 0.005),
        ("stages.3.optimizer.name", "sgd", "sgd"),
        ("stages.2.start_from", "1", 1),
        ("stages.3.start_from", "1", 1),
        ("stages.0.augmentation.flip", "false", False),
        ("stages.0.augmentation.random_resized_crop", "True", True),
        ("stages.3.schedule.drop_epochs", "4,6,9", (4, 6, 9)),
        ("stages.3.schedule.drop_epochs", "(4, 6)", (4, 6)),
        ("stages.3.schedule.drop_epochs", "4", (4,)),
        ("stages.3.schedule.drop_epochs", "[4,6]", (4, 6)),
        ("stages.3.optimizer.groups", "[bs]*:0.5", ("[bs]*:0.5",)),
        ("stages.3.optimizer.groups", "([bs]*:0.5)", ("[bs]*:0.5",)),
        ("stages.3.optimizer.groups", "[ab]*:.5,[cd]*:2", ("[ab]*:.5", "[cd]*:2")),
        ("stages.3.optimizer.groups", "()", ()),
        ("stages.1.losses.taps", "[a]=b,c=[d]", ("[a]=b", "c=[d]")),
        ("data.image_shape", "9, 7, 1", (9, 7, 1)),
        ("data.mean", "0.5", (0.5,)),
        ("data.validation_size", "0", 0),
        ("data.source", "tfds:mnist", "tfds:mnist"),
        ("stages.1.losses.temperature", " 4 ", 4.0),
    ],
)
def test_a_value_gets_the_type_of_its_field(path, text, expected):
    value = value_at(apply_overrides(chain(), [f"{path}={text}"]), path)
    assert value == expected
    assert type(value) is type(expected)


def test_only_the_named_field_changes_and_the_recipe_stays():
    recipe = chain()
    before = to_dict(recipe)
    changed = apply_overrides(recipe, ["stages.3.losses.temperature=4"])
    assert to_dict(recipe) == before
    assert differences(before, to_dict(changed)) == [
        "stages.3.losses.temperature: 1.0 -> 4.0"
    ]


def test_none_takes_a_link_away():
    changed = apply_overrides(
        chain(), ["stages.3.start_from=none", "stages.3.absorb_magnitude=false"]
    )
    assert changed.stages[3].start_from is None
    assert changed.stages[3].absorb_magnitude is False


def test_a_star_changes_every_stage():
    changed = apply_overrides(chain(), ["stages.*.batch_size=7"])
    assert [stage.batch_size for stage in changed.stages] == [7, 7, 7, 7]


def test_of_two_changes_of_a_field_the_later_one_holds():
    early = apply_overrides(chain(), ["stages.2.epochs=30", "stages.*.epochs=20"])
    late = apply_overrides(chain(), ["stages.*.epochs=20", "stages.2.epochs=30"])
    assert [stage.epochs for stage in early.stages] == [20, 20, 20, 20]
    assert [stage.epochs for stage in late.stages] == [20, 20, 30, 20]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize(
    "overrides",
    [
        ["stages.3.schedule.kind=cosine", "stages.3.schedule.drop_epochs=none"],
        ["data.image_shape=8,8,3", "data.mean=0.3,0.3,0.3", "data.std=0.3,0.3,0.3"],
        ["stages.3.epochs=2", "stages.3.schedule.drop_epochs=1"],
        ["stages.2.student.width=16", "stages.3.student.width=16"],
        ["stages.1.losses.attention=0", "stages.1.losses.logit_matching=0"]
        + ["stages.1.teacher=none"],
    ],
)
def test_changes_that_depend_on_each_other_are_made_at_once(overrides, order):
    changed = apply_overrides(chain(), overrides[::order])
    assert len(differences(to_dict(chain()), to_dict(changed))) == len(overrides)


def test_a_changed_recipe_expects_nothing():
    recipe = chain()
    assert recipe.stages[1].expected is not None
    changed = apply_overrides(recipe, ["stages.0.epochs=11"])
    assert [stage.expected for stage in changed.stages] == [None] * 4


def test_no_change_gives_the_same_recipe():
    assert apply_overrides(chain(), []) == chain()
    assert apply_overrides(chain(), ["stages.0.epochs=10"]) == chain()


REFUSED = [
    (
        "stages.3.epochs",
        "has no '=': expected key=value, for example stages.3.epochs=10.",
    ),
    ("=10", "has no '=': expected key=value, for example stages.3.epochs=10."),
    (
        "stages.3.epoch=10",
        "Stage has no field 'epoch', expected one of student, epochs, batch_size, "
        "teacher, start_from, absorb_magnitude, optimizer, schedule, losses, "
        "augmentation, keep, patience, average; did you mean 'epochs'?",
    ),
    (
        "stage.3.epochs=10",
        "Recipe has no field 'stage', expected one of data, stages; did you mean "
        "'stages'?",
    ),
    ("x=10", "Recipe has no field 'x', expected one of data, stages."),
    (
        "stages.3.schedule.dropepochs=1",
        "Schedule has no field 'dropepochs', expected one of kind, drop_epochs, "
        "drop_factor, warmup_epochs, final_fraction; did you mean 'drop_epochs'?",
    ),
    ("stages.4.epochs=10", "there is no stage '4', expected 0 to 3, or * for all."),
    ("stages.-1.epochs=10", "there is no stage '-1', expected 0 to 3, or * for all."),
    ("stages.epochs=10", "there is no stage 'epochs', expected 0 to 3, or * for all."),
    ("stages.²=10", "there is no stage '²', expected 0 to 3, or * for all."),
    (
        "stages.3=10",
        "stage 3 is not one value: name a field of it, for example stages.3.epochs.",
    ),
    (
        "stages=10",
        "stages is not one value: name a field of it, for example stages.0.epochs.",
    ),
    (
        "stages.3.losses=0",
        "losses is not one value: name a field of it, for example "
        "losses.cross_entropy.",
    ),
    ("stages.3.epochs.x=1", "'epochs' is a single value and has no field 'x'."),
    ("data.mean.0=1", "'mean' is a single value and has no field '0'."),
    ("name=other", "'name' describes the recipe and is no setting of it."),
    (
        "stages.1.expected.top1=0.9",
        "'expected' describes the recipe and is no setting of it.",
    ),
    ("stages.3.epochs=2.5", "epochs got '2.5', expected a whole number."),
    ("stages.3.epochs=none", "epochs got 'none', expected a whole number."),
    (
        "stages.3.optimizer.learning_rate=fast",
        "learning_rate got 'fast', expected a number.",
    ),
    (
        "stages.0.student.batch_norm_epsilon=nan",
        "batch_norm_epsilon got 'nan', expected a number.",
    ),
    ("stages.0.augmentation.flip=yes", "flip got 'yes', expected true or false."),
    (
        "stages.3.schedule.drop_epochs=4,x",
        "drop_epochs got 'x', expected a whole number.",
    ),
    ("stages.*.epochs=0", "epochs is 0, expected a whole number of at least 1."),
    (
        "stages.3.teacher=3",
        "stages.3.teacher is 3, expected an earlier stage (0 to 2), a file or none.",
    ),
    (
        "data.validation_size=-1",
        "validation_size is -1, expected a whole number of at least 0.",
    ),
]


@pytest.mark.parametrize(("override", "message"), REFUSED)
def test_a_bad_override_is_refused_in_one_sentence(override, message):
    with pytest.raises(InputError) as error:
        apply_overrides(chain(), [override])
    head, _, rest = str(error.value).partition(repr(override))
    assert (head, rest.lstrip(": ")) == ("Override ", message)


def test_a_refusal_names_the_overrides_that_led_to_it_and_no_others():
    overrides = ["data.validation_size=9", "stages.3.epochs=4", "stages.3.batch_size=2"]
    with pytest.raises(InputError) as error:
        apply_overrides(chain(), overrides)
    assert str(error.value) == (
        "Overrides 'stages.3.epochs=4' and 'stages.3.batch_size=2': "
        "schedule.drop_epochs is (5, 8), expected all to be before the end of the "
        "stage at epoch 4."
    )


@pytest.mark.parametrize("key", ["4", "03", "-1", "3.", "x", ""])
def test_stages_that_there_are_not(key):
    with pytest.raises(InputError, match="there is no stage|has no field|is not one"):
        apply_overrides(chain(), [f"stages.{key}.epochs=3"])


def test_every_setting_can_be_overridden_with_what_is_printed_for_it():
    """`--dry_run` prints values in the form that overrides take."""
    recipe = chain()
    path, found = [], {}
    for line in describe(recipe).splitlines():
        name, _, value = line.strip().partition(":")
        path[(len(line) - len(line.lstrip())) // 2 :] = [name]
        described = {"summary", "expected"} & set(path) or path == ["name"]
        if value and not described:
            found[".".join(path)] = value.strip()
    assert len(found) > 100 and "(default)" in found.values()
    for name, value in found.items():
        assert apply_overrides(recipe, [f"{name}={value}"]) == recipe, name
