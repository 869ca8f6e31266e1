"""Files that no converter writes: refused with a sentence, never a crash.

Each is loaded in a process of its own kind: where it dies, the test says at which file.
"""

import collections
import pathlib
import re
import sys

import answers
import damaged_files
import pytest

PROGRAM = pathlib.Path(damaged_files.__file__)
DAMAGES = damaged_files.damages()


@pytest.fixture(scope="module")
def outcomes():
    """By name: what came of a file, and the message."""
    print(f"seed: {damaged_files.SEED!r}")
    command = [sys.executable, str(PROGRAM)]
    lines = answers.resumed(command, len(DAMAGES))
    return {DAMAGES[int(n)].name: (what, " ".join(rest)) for n, what, *rest in lines}


def sentences(outcomes):
    """By name: what the delegate said, without what LiteRT adds."""
    said = {}
    for name, (what, text) in outcomes.items():
        _, found, text = text.partition("r2b_delegate: ")
        if what == "refused" and found:
            said[name] = re.split(r"Encountered|Node number|Error", text)[0].strip()
    return said


def test_there_is_damage_of_every_kind():
    kinds = collections.Counter(damage.name.split()[0] for damage in DAMAGES)
    assert set(kinds) == set(damaged_files.NAMES.values())
    assert min(kinds.values()) > 50 and sum(kinds.values()) > 1500
    assert collections.Counter(damage.refused for damage in DAMAGES)[True] > 300


def test_nothing_crashes(outcomes):
    crashed = {name: end for name, end in outcomes.items() if end[0] == "crash"}
    assert not crashed
    assert len(outcomes) == len(DAMAGES)


def test_what_is_no_sense_is_refused(outcomes):
    wrong = {
        damage.name: outcomes[damage.name]
        for damage in DAMAGES
        if damage.refused is not None
        and outcomes[damage.name][0] != ("refused" if damage.refused else "ran")
    }
    assert not wrong


def test_refusals_name_the_operator(outcomes):
    """Unless LiteRT refuses first, in its own words."""
    said = sentences(outcomes)
    assert len(said) > 1000
    unnamed = []
    for name, text in said.items():
        operator = name.split()[0]
        assert operator in outcomes[name][1], f"{name}: {outcomes[name]}"
        if operator not in text:
            unnamed.append(name)
            # Constants and scales that contradict their tensors look like structs that
            # are laid out otherwise; there LiteRT names the operator.
            assert "lays its structs out" in text, f"{name}: {text}"
    assert len(unnamed) < 50


def test_refusals_are_sentences(outcomes):
    """One each, without addresses."""
    for name, text in sentences(outcomes).items():
        assert text.endswith(".") and len(text) < 300, f"{name}: {text}"
        assert "0x" not in text and "\n" not in text, f"{name}: {text}"
