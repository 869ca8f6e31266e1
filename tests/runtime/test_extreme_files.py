"""Small files that ask for much memory: refused with a sentence, or run within little.

What a file asks for is wrapped around no integer, and no memory is taken of which its
tensors give no reason.
"""

import collections
import pathlib
import sys

import answers
import extreme_files
import pytest

PROGRAM = pathlib.Path(extreme_files.__file__)
# Twice what the delegate grants to padding that no tensor is as large as.
LIMIT_MB = 128


@pytest.fixture(scope="module")
def outcomes():
    """By number: what came of a file, MB that it took, and the message."""
    print(f"seed: {extreme_files.SEED!r}")
    count = extreme_files.NUM_FILES + len(extreme_files.OTHERS)
    lines = answers.resumed([sys.executable, str(PROGRAM)], count)
    return {int(n): (what, int(mb), " ".join(rest)) for n, what, mb, *rest in lines}


def outcome_of(outcomes, name):
    """Of one of `OTHERS`."""
    return outcomes[extreme_files.NUM_FILES + list(extreme_files.OTHERS).index(name)]


def test_nothing_crashes_and_both_ends_occur(outcomes):
    assert len(outcomes) == extreme_files.NUM_FILES + len(extreme_files.OTHERS)
    counts = collections.Counter(what for what, *_ in outcomes.values())
    assert set(counts) == {"ran", "refused"} and min(counts.values()) > 100


def test_no_small_file_takes_much_memory(outcomes):
    small = list(outcomes)[:-1]  # without the one of 19 MB
    largest = max(small, key=lambda n: outcomes[n][1])
    assert outcomes[largest][1] < LIMIT_MB, f"{largest}: {outcomes[largest]}"


def test_refusals_are_sentences(outcomes):
    """What is not the delegate's goes on to LiteRT, which has its own words."""
    said = [text for what, _, text in outcomes.values() if what == "refused"]
    ours = [text.split("r2b_delegate: ")[1] for text in said if "r2b_delegate" in text]
    assert len(ours) > 80
    for text in ours:
        sentence = text.split("Encountered")[0]
        assert sentence.startswith(("Lce", "CONV_2D", "the operators")), text
        assert sentence.endswith("."), text
    wanted = "more padding than there is memory for"
    assert any(wanted in text for text in ours if text.startswith("Lce"))
    assert wanted in outcome_of(outcomes, "framing")[2]
    assert "many times the memory of the constants" in outcome_of(outcomes, "biased")[2]
    assert "of each channel's numbers" in outcome_of(outcomes, "widening")[2]


@pytest.mark.parametrize("name", ["scaling", "mapping"])
def test_what_runs_without_the_memory_runs(outcomes, name):
    assert outcome_of(outcomes, name)[0] == "ran"
