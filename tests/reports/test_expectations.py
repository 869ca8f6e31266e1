"""When a stage is on track, and whose expectation counts, worked out by hand."""

import dataclasses

import pytest

from r2b_keras import recipes, train
from r2b_keras.recipes import Expected
from r2b_keras.reports import provenance, summary
from r2b_keras.trainers import expectations
from r2b_keras.trainers.library import stage_key
from r2b_keras.trainers.workdir import StageResult, Workdir

DIGITS = recipes.get("digits")
SPREAD = Expected(0.9, "measured", deviation=0.004)


def with_expectations(*expected):
    """The digits as a run's folder may have kept them."""
    stages = zip(DIGITS.stages, expected, strict=True)
    changed = tuple(dataclasses.replace(s, expected=e) for s, e in stages)
    return dataclasses.replace(DIGITS, stages=changed)


def result(number=3, top1=0.9):
    return StageResult(number, "n", "binary", top1, 1.0, 0.9, 1, 1.0, 1024, 1, 1)


def test_tolerance_is_three_deviations_over_seeds():
    """The number of test images does not matter: they are the same in every run."""
    for num_images in (400, 100_000):
        assert expectations.tolerance(SPREAD, num_images) == pytest.approx(0.012)
    for top1, word in ((0.95, "on track"), (0.888, "on track"), (0.8879, "below ")):
        assert expectations.judge(top1, SPREAD, 400).word.startswith(word)
    verdict = expectations.judge(0.89, SPREAD, 400)
    assert verdict.expected is SPREAD
    assert verdict.margin == pytest.approx(-0.01)


def test_no_accuracy_is_finer_than_an_image():
    equal = Expected(0.9, "measured", deviation=0.0)
    assert expectations.tolerance(equal, 400) == 1 / 400


def test_without_a_spread_the_test_images_stand_in():
    # 2 * sqrt(0.9 * 0.1 / 400) = 0.03.
    expected = Expected(0.9, "paper")
    assert expectations.tolerance(expected, 400) == pytest.approx(0.03, rel=1e-12)
    for top1, word in ((0.95, "on track"), (0.8701, "on track"), (0.87, "on track")):
        assert expectations.judge(top1, expected, 400).word == word
    assert expectations.judge(0.8675, expected, 400).word == "below expected"
    none = expectations.judge(0.1, None, 400)
    assert (none.word, none.margin, none.tolerance) == ("no expectation", None, None)


def test_a_perfect_expectation_allows_one_mistake():
    expected = Expected(1.0, "paper")
    assert expectations.judge(358 / 359, expected, 359).word == "on track"
    assert expectations.judge(357 / 359, expected, 359).word == "below expected"


def test_expectations_of_changed_recipes():
    expected = [stage.expected for stage in DIGITS.stages]
    same = with_expectations(*[None] * 4)
    assert [expectations.expectation(same, n) for n in range(4)] == expected
    # Stage 2 learns from stage 1, which is another one now; stage 0 does not.
    other = recipes.apply_overrides(DIGITS, ["stages.1.epochs=11"])
    assert [stage.expected for stage in other.stages] == [None] * 4
    found = [expectations.expectation(other, number) for number in range(4)]
    assert found == [expected[0], None, None, None]
    assert provenance.changes(other) == ["stages.1.epochs: 10 -> 11"]
    assert provenance.changes(same) == []


def test_a_mended_expectation_counts_in_folders_made_before():
    """Where the stages are the same; the saved one is for those that are not."""
    old = with_expectations(*[Expected(0.5, "measured")] * 4)
    expected = [stage.expected for stage in DIGITS.stages]
    assert [expectations.expectation(old, n) for n in range(4)] == expected
    changed = dataclasses.replace(old.stages[1], epochs=11)
    other = dataclasses.replace(old, stages=(old.stages[0], changed, *old.stages[2:]))
    found = [expectations.expectation(other, number) for number in range(4)]
    assert found == [expected[0], *[Expected(0.5, "measured")] * 3]
    renamed = dataclasses.replace(old, name="mine")
    assert expectations.expectation(renamed, 0) == Expected(0.5, "measured")


def test_training_and_report_expect_the_same(tmp_path):
    old = with_expectations(*[Expected(0.5, "measured")] * 4)
    lines = [
        train.summary(recipe, [result()], Workdir(tmp_path)) for recipe in (old, DIGITS)
    ]
    assert lines[0] == lines[1]
    assert f"{DIGITS.stages[3].expected.top1:.2%}" in lines[0]


def test_keys_of_shared_stages_do_not_know_what_is_expected():
    other = with_expectations(*[SPREAD] * 4)
    for number in range(4):
        assert stage_key({}, other, number) == stage_key({}, DIGITS, number)


def test_recipes_saved_without_deviations_are_read():
    plain = recipes.to_dict(DIGITS)
    for stage in plain["stages"]:
        del stage["expected"]["deviation"]
    read = recipes.from_dict(plain)
    assert [stage.expected.deviation for stage in read.stages] == [None] * 4
    assert recipes.differences(plain, recipes.to_dict(DIGITS)) == []


@pytest.mark.parametrize(
    ("top1", "words"),
    [
        (0.95, "That is 5.00 points above what was expected: on track."),
        (
            0.89,
            "That is 1.00 points below what was expected, within its tolerance of "
            "1.20 points: on track.",
        ),
        (
            0.88,
            "That is 2.00 points below what was expected, more than its tolerance of "
            "1.20 points.",
        ),
        (0.90001, "That is just what was expected: on track."),
    ],
)
def test_margins_in_words(top1, words):
    assert summary.judged(expectations.judge(top1, SPREAD, 400)) == words


def test_no_expectation_in_words():
    words = "Nothing was expected of it beforehand."
    assert summary.judged(expectations.judge(0.9, None, 400)) == words
