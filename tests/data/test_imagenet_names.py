"""ImageNet's class names: all of them, each once, in the order of the labels."""

import re

from r2b_keras.data import imagenet


def test_a_name_for_every_class():
    names = imagenet.names()
    assert len(names) == len(set(names.values())) == 1000
    assert list(names) == sorted(names)
    for number, name in names.items():
        assert re.fullmatch(r"n\d{8}", number)
        assert re.fullmatch(r"[A-Za-z][A-Za-z' .()-]*", name), name


def test_well_known_labels():
    """Indices that everybody quotes."""
    names = list(imagenet.names().values())
    for index, name in (
        *((0, "tench"), (1, "goldfish"), (207, "golden retriever")),
        *((281, "tabby"), (285, "Egyptian cat"), (388, "giant panda")),
        *((134, "crane (bird)"), (517, "crane (machine)"), (954, "banana")),
        (999, "toilet tissue"),
    ):
        assert names[index] == name


def test_other_names_stay():
    assert imagenet.readable(["n02123045", "cat", "n00000000"]) == (
        *("tabby", "cat", "n00000000"),
    )
