"""The study of the student's options: what each changes and shares with others."""

import pytest

from r2b_keras import recipes
from r2b_keras.trainers.library import stage_key


@pytest.fixture(scope="module")
def study(load):
    return load("student_options")


def keys(study, name):
    """Of the four stages in a library."""
    recipe = recipes.apply_overrides(recipes.get(study.RECIPE), study.overrides(name))
    return [stage_key({"seed": 0}, recipe, number) for number in range(4)]


def test_what_options_share_with_the_chain(study):
    """Trained once: the stages before the first one that an option changes."""
    chain = keys(study, study.CHAIN)
    shared = {
        name: sum(
            one == other for one, other in zip(chain, keys(study, name), strict=True)
        )
        for name in study.OPTIONS
    }
    assert shared == {
        study.CHAIN: 4,
        "shifts before PReLU": 1,
        "thresholds by the mean": 1,
        "clip of 1.5": 2,
        "centred filters": 3,
        "ReCU's filters": 3,
        study.ALL: 1,
        "smoothed labels, 0.1": 3,
    }


def test_every_option_of_the_block_is_tried(study):
    """All that later papers have added, but the stem, which is for larger pictures."""
    plain = recipes.get(study.RECIPE).stages[3].student
    found = recipes.apply_overrides(
        recipes.get(study.RECIPE), study.overrides(study.ALL)
    )
    changed = {
        name
        for name in plain.__dataclass_fields__
        if getattr(found.stages[3].student, name) != getattr(plain, name)
    }
    assert changed == {
        *("prelu_shifts", "thresholds", "activation_clip"),
        *("weight_standardization", "weight_quantile"),
    }
    epochs = [stage.epochs for stage in found.stages]
    assert epochs[1:] == list(study.EPOCHS.values())


def test_differences_are_taken_seed_by_seed(study):
    shift = "shifts before PReLU"
    rows = [
        {"option": name, "seed": seed, "stage_3": top1}
        for name, found in (
            (study.CHAIN, (0.50, 0.52, 0.51)),
            (shift, (0.52, 0.55, 0.52)),
            ("thresholds by the mean", (0.50, 0.51)),
            ("clip of 1.5", (0.50, 0.51, 0.52)),
            ("centred filters", (0.50,)),
        )
        for seed, top1 in enumerate(found)
    ]
    first, second, third = study.compare(rows)
    # 2, 3 and 1 points: by these two rows alone the interval is 2.48. The thresholds,
    # which leave the chain where the shifts do, tell more of the noise.
    assert first == {
        "option": shift,
        "seeds": 3,
        "points": "+2.00",
        "interval": "1.98",
        "p_holm": "0.147",
    }
    assert (second["option"], second["seeds"]) == ("thresholds by the mean", 2)
    assert second["points"] == "-0.50"
    # 0, -1 and 1 points, of two rows that share more: 4.3027 * 1 / sqrt(3).
    assert (third["option"], third["interval"]) == ("clip of 1.5", "2.48")
