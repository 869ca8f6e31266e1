"""When a stage is on track, and whose expectation counts, worked out by hand."""

import dataclasses
import pathlib

import pytest

from r2b_keras import claims, data, files, recipes, train
from r2b_keras.errors import InputError
from r2b_keras.recipes import Expected
from r2b_keras.recipes.measured import FINGERPRINTS, expected
from r2b_keras.reports import provenance, run_record, stages
from r2b_keras.trainers import expectations
from r2b_keras.trainers.library import stage_key
from r2b_keras.trainers.workdir import StageResult, Workdir

RESULTS = pathlib.Path(__file__).parent.parent.parent / "results"
CLAIMED = claims.read(RESULTS / "claims.csv")
DIGITS = recipes.get("digits")
SAME = {"precision": "float32", "data_fingerprint": FINGERPRINTS["digits"]}
MEASURED = Expected(0.9, "measured", low=0.888, high=0.912)


def with_expectations(*expected):
    """The digits as a run's folder may have kept them."""
    stages = zip(DIGITS.stages, expected, strict=True)
    changed = tuple(dataclasses.replace(s, expected=e) for s, e in stages)
    return dataclasses.replace(DIGITS, stages=changed)


def result(number=3, top1=0.9):
    return StageResult(number, "n", "binary", top1, 1.0, 0.9, 1, 1.0, 1024, 1, 1)


@pytest.mark.parametrize(
    ("expected", "top1", "word"),
    [
        (MEASURED, 0.8879, "below expected"),
        (MEASURED, 0.888, "on track"),
        (MEASURED, 0.912, "on track"),
        (MEASURED, 0.9121, "above expected"),
        (MEASURED, 0.0, "below expected"),
        # Nothing says how far a good run may be from another's number.
        (Expected(0.9, "paper"), 0.1, "no interval"),
        (Expected(0.9, "paper"), 1.0, "no interval"),
        (None, 0.1, "no expectation"),
    ],
)
def test_a_stage_is_judged_by_the_interval(expected, top1, word):
    verdict = expectations.judge(top1, expected)
    assert (verdict.word, verdict.expected) == (word, expected)
    margin = pytest.approx(top1 - 0.9) if expected else None
    assert verdict.margin == margin


@pytest.mark.parametrize(
    ("low", "high"), [(0.91, 0.95), (0.8, 0.89), (None, 0.95), (0.8, None), (-0.1, 1.1)]
)
def test_intervals_that_cannot_be(low, high):
    with pytest.raises(InputError, match="expected.low and high"):
        Expected(0.9, "measured", low, high)


def test_intervals_in_words():
    assert expectations.interval(MEASURED) == "88.8-91.2%"
    assert expectations.interval(Expected(0.9, "paper")) == "90.0%"
    assert expectations.interval(None) == "-"


def test_expectations_of_changed_recipes():
    expected = [stage.expected for stage in DIGITS.stages]
    same = with_expectations(*[None] * 4)
    assert [expectations.expectation(same, n, SAME) for n in range(4)] == expected
    # Stage 2 learns from stage 1, which is another one now; stage 0 does not.
    other = recipes.apply_overrides(DIGITS, ["stages.1.epochs=11"])
    assert [stage.expected for stage in other.stages] == [None] * 4
    found = [expectations.expectation(other, number, SAME) for number in range(4)]
    assert found == [expected[0], None, None, None]
    assert provenance.changes(other) == ["stages.1.epochs: 10 -> 11"]
    assert provenance.changes(same) == []


def test_a_mended_expectation_counts_in_folders_made_before():
    """Where the stages are the same; the saved one is for those that are not."""
    old = with_expectations(*[Expected(0.5, "measured")] * 4)
    expected = [stage.expected for stage in DIGITS.stages]
    assert [expectations.expectation(old, n, SAME) for n in range(4)] == expected
    changed = dataclasses.replace(old.stages[1], epochs=11)
    other = dataclasses.replace(old, stages=(old.stages[0], changed, *old.stages[2:]))
    found = [expectations.expectation(other, number, SAME) for number in range(4)]
    assert found == [expected[0], *[Expected(0.5, "measured")] * 3]
    renamed = dataclasses.replace(old, name="mine")
    assert expectations.expectation(renamed, 0, SAME) == Expected(0.5, "measured")


@pytest.mark.parametrize(
    ("top1", "word"), [(0.9889, ""), (0.5, "below expected"), (0.9, "below expected")]
)
def test_training_and_report_judge_alike(tmp_path, top1, word):
    old = with_expectations(*[Expected(0.5, "measured")] * 4)
    files.write_json(tmp_path / "recipe.json", {"recipe": {}, **SAME})
    for recipe in (old, DIGITS):
        text = train.summary(recipe, [result(top1=top1)], Workdir(tmp_path))
        line = text.splitlines()[2]
        assert expectations.interval(DIGITS.stages[3].expected) in line
        assert line.endswith(word or "KiB")
        verdict = expectations.judge(top1, expectations.expectation(recipe, 3, SAME))
        assert verdict.word == (word or "on track")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("top1", [0.90, 0.95, 0.98])
def test_a_precision_is_judged_by_its_own_claims(tmp_path, precision, top1):
    """Training, reports and `reproduce` say the same of stage 2."""
    identity = {"recipe": recipes.to_dict(DIGITS), **SAME, "precision": precision}
    files.write_json(tmp_path / "recipe.json", identity)
    workdir, found = Workdir(tmp_path), result(2, top1)
    name = {"float32": "digits", "bfloat16": "digits_bfloat16"}.get(precision)
    claim = CLAIMED.get(f"{name}: stage 2, top-1")
    assert (claim is None) == (precision == "float16")
    words = {"below": "below expected", "as claimed": "on track"}
    word = words[claims.place(top1, claim.low, claim.high)] if claim else None
    workdir.stage(2).mkdir()
    workdir.save_result(found)
    verdict = run_record.read(workdir, 359).verdict(2)
    assert verdict.word == (word or "no expectation")
    line = train.summary(DIGITS, [found], workdir).splitlines()[2]
    assert line.endswith("below expected") == (word == "below expected")
    shown = f"{100 * claim.low:.1f}-{claim.high:.1%}" if claim else "-"
    assert f"{top1:.2%} {shown:>12} " in line


def test_changed_stages_of_a_precision_are_not_judged():
    bfloat16 = {**SAME, "precision": "bfloat16"}
    other = recipes.apply_overrides(DIGITS, ["stages.1.epochs=11"])
    found = [expectations.expectation(other, n, bfloat16) for n in range(4)]
    assert found == [expected("digits", 0, "bfloat16"), None, None, None]
    assert found[0] not in (None, DIGITS.stages[0].expected)


@pytest.mark.parametrize("fingerprint", ["0" * 64, None])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_other_images_are_not_judged_by_what_was_measured(fingerprint, precision):
    """Plain MNIST under the names of Fashion-MNIST's files, for one."""
    other = {"precision": precision, "data_fingerprint": fingerprint}
    for recipe in (DIGITS, with_expectations(*[MEASURED] * 4)):
        assert expectations.expectation(recipe, 3, other) is None
    paper = with_expectations(*[Expected(0.9, "paper")] * 4)
    renamed = dataclasses.replace(paper, name="mine")
    assert expectations.expectation(renamed, 3, other) == Expected(0.9, "paper")


def test_fingerprints_are_those_of_the_sets():
    loaded = data.load(DIGITS.data, None)
    assert loaded.fingerprint == FINGERPRINTS["digits"]
    measured = {
        recipes.get(name).data.source
        for name in recipes.names()
        if expected(name, 0) or (RESULTS / name.replace("/", "_")).exists()
    }
    by_name = {source for source in measured if source.startswith("tfds:")}
    assert set(FINGERPRINTS) == measured - by_name
    for path in RESULTS.glob("*/recipe.json"):
        found = files.read_json(path)
        source = found["recipe"]["data"]["source"]
        if source in FINGERPRINTS and "data_fingerprint" in found:
            assert found["data_fingerprint"] == FINGERPRINTS[source]


@pytest.mark.parametrize(
    ("name", "is_judged"), [("cifar100_small", True), ("fashion_mnist", False)]
)
def test_images_of_tensorflow_datasets_are_known_by_their_name(name, is_judged):
    """In whatever order and encoding they were prepared."""
    recipe = recipes.get(name)
    stages = [dataclasses.replace(stage, expected=MEASURED) for stage in recipe.stages]
    other = dataclasses.replace(recipe, stages=tuple(stages), name="mine")
    identity = {"precision": "float32", "data_fingerprint": "0" * 64}
    found = expectations.expectation(other, 3, identity)
    assert found == (MEASURED if is_judged else None)


def test_keys_of_shared_stages_do_not_know_what_is_expected():
    other = with_expectations(*[MEASURED] * 4)
    for number in range(4):
        assert stage_key({}, other, number) == stage_key({}, DIGITS, number)


@pytest.mark.parametrize(
    ("expected", "top1", "words"),
    [
        (MEASURED, 0.91, "1.00 points above {}, within the {}: on track."),
        (MEASURED, 0.89, "1.00 points below {}, within the {}: on track."),
        (MEASURED, 0.88, "2.00 points below {}, outside of the {}: below expected."),
        (MEASURED, 0.90001, "just {}, within the {}: on track."),
        (
            Expected(0.9, "paper"),
            0.885,
            "1.50 points below {}; how far a good run may be from it is not known.",
        ),
    ],
)
def test_margins_in_words(expected, top1, words):
    what = f"what was expected ({expected.source})"
    found = stages.judged(expectations.judge(top1, expected))
    assert found == "That is " + words.format(what, "interval 88.8-91.2%")


def test_what_nobody_expected_in_words():
    words = "Nothing was expected of it beforehand."
    assert stages.judged(expectations.judge(0.9, None)) == words
