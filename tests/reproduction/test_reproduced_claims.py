"""Which new numbers confirm a claim: every claim is fed wrong ones, and fails."""

import dataclasses
import json
import pathlib
import re

import pytest

from r2b_keras import claims, recipes, train
from r2b_keras.claims import LEAST_SEEDS
from r2b_keras.errors import InputError
from r2b_keras.recipes.measured import FINGERPRINTS, expected
from r2b_keras.reproduction import checkout, comparison, experiments, seeds
from r2b_keras.reproduction.definitions import Experiment, Number, Term
from r2b_keras.reproduction.experiments import EXPERIMENTS, choose, statements
from r2b_keras.trainers.workdir import Workdir

ROOT = pathlib.Path(__file__).parent.parent.parent
RESULTS = ROOT / "results"
CLAIMED = claims.read(RESULTS / seeds.CLAIMS)
RECORDED = seeds.read(RESULTS / seeds.FILE)
STATEMENTS = {statement.text: statement for statement in statements()}
NUMBERS = (
    Number("top-1", "stage_0/result.json", "top1"),
    Number("bytes", "int8.json", "bytes", 16),
)
SMALL, OTHER = (
    Experiment(name, "", True, (), NUMBERS, num_images=100, num_seeds=5)
    for name in ("small", "other")
)
TOP1 = Term("small", "top-1")


@pytest.fixture
def small(monkeypatch):
    """Two experiments and the difference of their accuracies."""
    monkeypatch.setattr(experiments, "EXPERIMENTS", (SMALL, OTHER))
    pair = (TOP1, Term("other", "top-1"))
    monkeypatch.setattr(experiments, "_DIFFERENCES", (pair,))


def known(top1s, others=None, size=1000.0):
    """Numbers of some seeds, from 0 on."""
    found = {TOP1: dict(enumerate(top1s))}
    found[Term("small", "bytes")] = dict.fromkeys(range(len(top1s)), size)
    if others:
        found[Term("other", "top-1")] = dict(enumerate(others))
    return found


def judged(recorded, measured, quick=True):
    chosen = [SMALL, OTHER] if Term("other", "top-1") in measured else [SMALL]
    claimed = {claim.claim: claim for claim in seeds.claims(recorded)}
    tried = [
        statement
        for statement in comparison.to_try(chosen, claimed, quick)
        if all(term in measured for term in statement.terms)
    ]
    return comparison.compare(tried, claimed, recorded, measured)


def with_value(statement, value):
    """New runs in which a statement has this value in each seed."""
    found = {statement.first: dict.fromkeys(range(statement.runs), value)}
    if statement.second:
        found[statement.second] = dict.fromkeys(range(statement.runs), 0.0)
    return found


@pytest.mark.parametrize("text", CLAIMED)
def test_a_wrong_value_fails_every_claim(text):
    claim, statement = CLAIMED[text], STATEMENTS[text]
    assert claim.seeds >= LEAST_SEEDS and claim.runs == statement.runs
    steps = {claim.low - statement.unit: "below", claim.low: "as claimed"}
    steps |= {claim.high + statement.unit: "above", claim.high: "as claimed"}
    for value, word in steps.items():
        (found,) = comparison.compare(
            [statement], CLAIMED, RECORDED, with_value(statement, value)
        )
        assert (found.word, found.fails) == (word, word != "as claimed")


def test_what_pages_call_larger_is_refuted_by_equal_numbers():
    """Each `shown(first, second)` of a page: without an effect the claim fails."""
    found = []
    for template in (ROOT / "docs" / "templates").glob("*.md"):
        found += re.findall(r'\bshown\(\s*"(.+?)",\s*"(.+?)"', template.read_text())
    assert len(found) >= 1, "no page says which is larger, or not by `shown`"
    for pair in found:
        statement = STATEMENTS[" - ".join(pair)]
        assert statement.text in CLAIMED, "of too few seeds to be made again"
        without = with_value(statement, 0.0)
        (verdict,) = comparison.compare([statement], CLAIMED, RECORDED, without)
        assert verdict.fails


def test_claims_are_what_the_seeds_give(tmp_path):
    claims.write(tmp_path / "claims.csv", seeds.claims(RECORDED))
    assert (tmp_path / "claims.csv").read_text() == (
        (RESULTS / seeds.CLAIMS).read_text()
    )
    seeds.write(tmp_path / "seeds.csv", RECORDED)
    assert (tmp_path / "seeds.csv").read_text() == (RESULTS / seeds.FILE).read_text()


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_committed_runs_are_those_of_seed_0_and_of_the_recipe(experiment):
    folder = RESULTS / experiment.name
    for term, value in seeds.of_run(experiment, folder).items():
        assert RECORDED[term][0] == value > 0
    flags = dict(
        argument.removeprefix("--").partition("=")[::2]
        for argument in experiment.steps[0].arguments
        if argument.startswith("--")
    )
    saved = json.loads((folder / "recipe.json").read_text())
    recipe = recipes.get(flags["recipe"])
    if "override" in flags:
        recipe = recipes.apply_overrides(recipe, [flags["override"]])
    completed = recipes.completed(saved)["recipe"]
    assert recipes.differences(completed, recipes.to_dict(recipe)) == []
    assert saved["seed"] == 0
    assert saved["precision"] == flags.get("precision", "float32")


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_committed_runs_are_of_committed_code(experiment):
    checkout.check_run(RESULTS / experiment.name)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda each: each.name)
def test_committed_tables_are_what_training_prints(experiment):
    workdir = Workdir(RESULTS / experiment.name)
    found = (workdir.result(number) for number in range(len(workdir.recipe().stages)))
    text = train.summary(workdir.recipe(), [each for each in found if each], workdir)
    wanted = text[1:].partition("\n\n")[0].splitlines()
    lines = (workdir.path / "table.txt").read_text().splitlines()
    assert not [line for line in wanted if line not in lines]


def test_commands_write_the_files_that_follow_them_read():
    for experiment in EXPERIMENTS:
        converted, written = set(), {"table.txt"}
        for step in experiment.steps:
            flags = dict(each.partition("=")[::2] for each in step.arguments)
            assert flags.get("--model") in {None, *converted}
            assert (
                step.output is None
                or step.output == "table.txt"
                or (step.output not in written)
            )
            converted.add(flags.get("--output"))
            written.add(step.output)
        read = {number.file for number in experiment.numbers}
        assert {name for name in read if "/" not in name} == written - {
            None,
            "table.txt",
        }


def test_every_difference_is_of_numbers_that_there_are():
    known = {Term(each.name, n.title) for each in EXPERIMENTS for n in each.numbers}
    differences = [each for each in statements() if each.second]
    assert len(differences) == len(experiments._DIFFERENCES)
    assert {term for each in differences for term in each.terms} <= known


def test_recipes_expect_what_is_claimed():
    for text, claim in CLAIMED.items():
        place = re.fullmatch(
            r"(digits|fashion_mnist|cifar100_small)(_strong_baseline|_integers)?"
            r": stage (\d), top-1",
            text,
        )
        # Of a chain that goes on, the same stages are claimed as the chain's.
        if place is None or (place[2] == "_integers" and place[3] != "4"):
            continue
        name = place[1] + (place[2] or "").replace("_", "/", 1)
        found = recipes.get(name).stages[int(place[3])].expected
        assert found == expected(name, int(place[3]))
        assert (found.top1, found.low, found.high) == (
            claim.value,
            claim.low,
            claim.high,
        )


MEASURED_WORDS = re.compile(
    r"\d\.\d+ ?%|\b(\d+|two|three|four|five|six|seven|eight|nine|ten) seeds|seed \d"
)


def typed(text):
    """Lines with a figure that only recordings give, those of others left out."""
    return [
        line
        for line in text.splitlines()
        if MEASURED_WORDS.search(line) and not re.search("paper|larq-zoo", line)
    ]


def test_no_figure_of_ours_is_typed_into_a_recipe():
    assert typed("at 98.9 % with it\n78.3 %  paper\nover ten\nten seeds") == [
        "at 98.9 % with it",
        "ten seeds",
    ]
    folder = ROOT / "r2b_keras" / "recipes"
    found = {path.name: typed(path.read_text()) for path in folder.glob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}
    # What recipes of other sets refer to.
    ours, without = "digits: stage 3, top-1", "digits_without_absorb_magnitude"
    assert CLAIMED[f"{ours} - {without}: stage 3, top-1"].low > 0
    gain = "What\n            # the digits gain by it is claimed in results/claims.csv."
    users = {path.name for path in folder.glob("*.py") if gain in path.read_text()}
    assert users == {"chains.py"}


def test_few_seeds_are_no_claim(small):
    recorded = known([0.9, 0.91, 0.92, 0.93])
    assert seeds.claims(recorded) == []
    (same, *_), (other, *_) = (
        judged(recorded, known([value])) for value in (0.9, 0.91)
    )
    assert (same.text, same.fails) == ("equal", False)
    assert (other.text, other.fails) == ("no claim", False)
    assert seeds.claims(known([0.9, 0.91, 0.92, 0.93, 0.94]))


def test_accuracies_and_sizes(small):
    recorded = known([0.90, 0.91, 0.92, 0.93, 0.94])
    # 4.6041 * 0.015811 * sqrt(6 / 5) = 0.07975 to either side of 0.92.
    for value, text in (
        (0.90, "equal"),
        (0.85, "as claimed"),
        (0.84, "BELOW"),
        (0.9997, "as claimed"),
        (1.0, "ABOVE"),
    ):
        top1, size = judged(recorded, known([value]))
        assert (top1.text, size.text) == (text, "equal")
    for size, text in ((1016, "as claimed"), (1017, "ABOVE"), (983, "BELOW")):
        assert judged(recorded, known([0.9], size=size))[1].text == text


def test_differences_are_taken_seed_by_seed(small):
    ours, theirs = [0.90, 0.80, 0.95, 0.85, 0.91], [0.80, 0.69, 0.86, 0.75, 0.81]
    recorded = known(ours, theirs)
    claimed = {claim.claim: claim for claim in seeds.claims(recorded)}
    claim = claimed["small: top-1 - other: top-1"]
    # 0.10, 0.11, 0.09, 0.10, 0.10: the seeds' own spread does not count, and the unit,
    # one image of 100, is wider than 4.6041 * 0.00707 * sqrt(2 / 5) is not.
    assert (claim.value, claim.runs) == (pytest.approx(0.1), 5)
    assert claim.high - claim.value == pytest.approx(
        4.6041 * 0.0070711 * 0.632456, 1e-4
    )
    equal = judged(recorded, known(ours, theirs), quick=False)[-1]
    assert equal.text == "equal"
    none = judged(recorded, known(ours, ours), quick=False)[-1]
    assert none.text == "BELOW"
    # The mean of all five counts, whatever the first of them says.
    first = judged(recorded, known(ours, [theirs[0], *ours[1:]]), quick=False)[-1]
    assert first.text == "BELOW" and first.measured == pytest.approx(0.02)
    # A quick comparison has one seed, which says nothing about a difference.
    assert len(judged(recorded, known(ours, theirs))) == 3


def test_seeds_that_are_needed(small):
    recorded = known([0.9] * 5, [0.8] * 5)
    claimed = {claim.claim: claim for claim in seeds.claims(recorded)}
    for quick, count in ((False, 5), (True, 1)):
        tried = comparison.to_try([SMALL, OTHER], claimed, quick)
        assert comparison.seeds_needed(SMALL, tried) == range(count)
    tried = comparison.to_try([SMALL], claimed, False)
    assert comparison.seeds_needed(SMALL, tried) == range(1)


def test_seeds_of_other_code_are_forgotten(small):
    measured = known([0.9, 0.91, 0.92])
    found = {TOP1: 0.9, Term("small", "bytes"): 1000.0}
    seeds.add(measured, SMALL, 0, found)
    assert measured == known([0.9, 0.91, 0.92])
    seeds.add(measured, SMALL, 3, {TOP1: 0.93, Term("small", "bytes"): 1000.0})
    assert measured == known([0.9, 0.91, 0.92, 0.93])
    # A size is the converter's and no sign that training has changed; nor the reverse.
    size = Term("small", "bytes")
    seeds.add(measured, SMALL, 0, {**found, size: 1016.0})
    assert measured[size] == {0: 1016.0, 1: 1000.0, 2: 1000.0, 3: 1000.0}
    seeds.add(measured, SMALL, 0, {**found, size: 1033.0})
    assert measured == {**known([0.9, 0.91, 0.92, 0.93]), size: {0: 1033.0}}
    assert not seeds.has(measured, SMALL, 1)
    seeds.add(measured, SMALL, 0, {size: 1033.0, TOP1: 0.89})
    assert measured == known([0.89], size=1033.0)


def test_what_is_compared_with_other_code_is_forgotten(small):
    """Else a difference would be of new numbers less old ones."""
    both = [0.9] * 5, [0.8] * 5
    found = {TOP1: 0.95, Term("small", "bytes"): 1000.0}
    partner, size = (Term("other", title) for title in ("top-1", "bytes"))
    for value, stays in ((0.9, True), (0.95, False)):
        measured = known(*both)
        measured[size] = {0: 7.0}
        seeds.add(measured, SMALL, 0, {**found, TOP1: value})
        assert (partner in measured) == stays and measured[size] == {0: 7.0}
        text = f"{TOP1.text} - {partner.text}"
        assert (text in {claim.claim for claim in seeds.claims(measured)}) == stays


def test_one_changed_accuracy_tells_of_other_code(monkeypatch):
    """Two runs of other code may end equal by chance, where stages before did not."""
    numbers = tuple(
        Number(title, "stage.json", title) for title in ("stage 0, top-1", "top-1")
    )
    small = dataclasses.replace(SMALL, numbers=numbers)
    monkeypatch.setattr(experiments, "EXPERIMENTS", (small, OTHER))
    first, last, partner = (
        Term("small", "stage 0, top-1"),
        TOP1,
        Term("other", "top-1"),
    )
    monkeypatch.setattr(experiments, "_DIFFERENCES", ((last, partner),))
    measured = {term: dict.fromkeys(range(5), 0.9) for term in (first, last, partner)}
    seeds.add(measured, small, 0, {first: 0.91, last: 0.9})
    assert measured == {first: {0: 0.91}, last: {0: 0.9}}


def test_a_run_on_other_images_is_refused(small, tmp_path):
    (tmp_path / "stage_0").mkdir()
    (tmp_path / "stage_0" / "result.json").write_text('{"top1": 0.5}')
    (tmp_path / "int8.json").write_text('{"bytes": 7}')
    run = {"recipe": {"data": {"source": "digits"}}}
    for fingerprint in ("0" * 64, None):
        saved = run | {"data_fingerprint": fingerprint}
        (tmp_path / "recipe.json").write_text(json.dumps(saved))
        with pytest.raises(InputError, match=f"digits here .* {fingerprint}, expected"):
            seeds.of_run(SMALL, tmp_path)
    saved = run | {"data_fingerprint": FINGERPRINTS["digits"]}
    (tmp_path / "recipe.json").write_text(json.dumps(saved))
    assert seeds.of_run(SMALL, tmp_path)[TOP1] == 0.5


def test_the_table(small):
    recorded = known([0.90, 0.91, 0.92, 0.93, 0.94])
    lines = comparison.to_text(judged(recorded, known([0.5]))).splitlines()
    assert lines[0].split() == ["recorded", "low", "high", "measured"]
    wanted = ["small:", "top-1", "92.00%", "84.03%", "99.97%", "50.00%", "BELOW"]
    assert lines[1].split() == wanted
    wanted = ["small:", "bytes", "1,000", "984", "1,016", "1,000", "equal"]
    assert lines[2].split() == wanted


def test_missing_numbers_are_told(tmp_path):
    with pytest.raises(InputError, match="There is no file .*result.json"):
        seeds.of_run(SMALL, tmp_path)
    (tmp_path / "stage_0").mkdir()
    # JSON as Python reads it has numbers that compare with none.
    for there in ('"top5": 1', '"top1": "1"', '"top1": true', '"top1": NaN'):
        (tmp_path / "stage_0" / "result.json").write_text(f"{{{there}}}")
        with pytest.raises(InputError, match="'top1', expected a finite one: restore"):
            seeds.of_run(SMALL, tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,2\n",
        "experiment,number,seed,value\ndigits,x,0,nan\n",
        "experiment,number,seed,value\ndigits,x,0,-inf\n",
    ],
)
def test_what_is_no_table_of_seeds(tmp_path, text):
    (tmp_path / "seeds.csv").write_text(text)
    with pytest.raises(InputError, match="seeds.csv is no table of seeds"):
        seeds.read(tmp_path / "seeds.csv")


def test_what_quick_and_names_choose():
    assert choose([], quick=False) == list(EXPERIMENTS)
    quick = [experiment.name for experiment in choose([], quick=True)]
    assert quick == ["digits", "digits_strong_baseline"]
    pair = ["digits", "digits_without_absorb_magnitude"]
    assert [experiment.name for experiment in choose(pair, quick=False)] == pair
    with pytest.raises(InputError, match="Unknown experiment 'mnist'"):
        choose(["mnist"], quick=False)
    with pytest.raises(InputError, match="alone: name digits with it"):
        choose(pair[1:], quick=False)
