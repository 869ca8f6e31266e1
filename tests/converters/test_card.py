"""The model card: written and read back, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest

from r2b_keras.board.card import NAME, NO_CHECKSUM, ModelCard, checksum_of
from r2b_keras.converters import card, tflite_edit, tflite_file
from r2b_keras.errors import InputError
from tests.converters.small_flatbuffers import binary, changed, dense, refusal

MINIMAL = ModelCard(("cat", "dog"), (28, 30, 1), (0.5,), (0.25,))
FULL = ModelCard(
    class_names=("Katze", "grüne Gurke", "犬", 'a "b"\n'),
    image_shape=(224, 224, 3),
    mean=(0.485, 0.456, 0.1 + 0.2),
    std=(1 / 3, 1e-7, 2),
    framing="center",
    recipe="digits",
    stage=3,
    accuracy=0.9944289,
    network={"name": "real_to_binary18", "blocks": [2, 2], "bias": None},
    real_weights="int8",
    versions={"tensorflow": "2.19.0", "larq": "0.13.3"},
)


@pytest.mark.parametrize("given", [MINIMAL, FULL], ids=["minimal", "full"])
@pytest.mark.parametrize("make", [dense, binary])
def test_a_card_is_read_as_it_was_written(given, make):
    content = card.attach(make(), given)
    assert card.read(content) == given
    assert tflite_file.count_operators(content) == tflite_file.count_operators(make())


def test_a_file_without_a_card_has_none():
    assert card.read(dense()) is None


def test_without_its_card_a_file_is_what_it_was():
    model = tflite_file.parse(card.attach(dense(), FULL))
    buffer = tflite_edit.remove_metadata(model, NAME)
    tflite_edit.take_buffer(model, buffer)
    assert tflite_file.serialize(model) == dense()


def test_an_empty_list_of_metadata_is_as_good_as_none():
    model = tflite_file.parse(dense())
    model.metadata = []
    assert card.read(card.attach(tflite_file.serialize(model), FULL)) == FULL


def test_a_second_card_takes_the_place_of_the_first():
    once = card.attach(binary(), MINIMAL)
    twice = card.attach(card.attach(binary(), FULL), MINIMAL)
    assert twice == once
    assert card.attach(once, MINIMAL) == once
    model = tflite_file.parse(twice)
    assert [entry.name for entry in model.metadata] == [NAME.encode()]


def test_other_metadata_stay():
    def note(model, graph):
        tflite_edit.add_metadata(
            model, "note", tflite_edit.add_buffer(model, b"of theirs")
        )

    content = card.attach(card.attach(changed(dense(), note), FULL), MINIMAL)
    assert card.read(content) == MINIMAL
    model = tflite_file.parse(content)
    buffer = tflite_edit.remove_metadata(model, "note")
    assert tflite_edit.take_buffer(model, buffer) == b"of theirs"


def test_every_flipped_bit_is_found():
    """Of weights, tables, padding and card alike."""
    content = card.attach(binary(), FULL)
    original = np.frombuffer(content, np.uint8)
    num_without = 0
    for place in range(0, original.size, 3):
        damaged = original.copy()
        damaged[place] ^= np.uint8(1 << place % 8)
        damaged = damaged.tobytes()
        try:
            found = card.read(damaged)
        except InputError:
            continue
        # The entry's name: then the file has no card.
        num_without += 1
        assert found is None, place
    assert num_without < 0.05 * original.size / 3


def rewritten(content):
    """A file whose card is other bytes, or what a function makes of the old ones."""

    def apply(model, graph):
        buffer = tflite_edit.remove_metadata(model, NAME)
        old = tflite_edit.take_buffer(model, buffer)
        new = content(old) if callable(content) else content
        tflite_edit.add_metadata(model, NAME, tflite_edit.add_buffer(model, new))

    return changed(card.attach(dense(), FULL), apply)


def with_fields(**fields):
    """A file whose card has other fields, and a checksum that fits; None removes."""

    def change(old):
        values = {**json.loads(old), **fields}
        values = {name: values[name] for name in values if name not in removed}
        return json.dumps(values).encode()

    removed = {name for name in fields if fields[name] is Ellipsis}
    fields = {name: fields[name] for name in fields if name not in removed}
    if "checksum" in fields:
        return rewritten(change)
    fields["checksum"] = NO_CHECKSUM
    made = rewritten(change)
    checksum = checksum_of(made, _content(made), NO_CHECKSUM)
    return made.replace(NO_CHECKSUM.encode(), checksum.encode(), 1)


def _content(flatbuffer):
    """Of the card in a file."""
    model = tflite_file.parse(flatbuffer)
    buffer = tflite_edit.remove_metadata(model, NAME)
    return tflite_edit.take_buffer(model, buffer)


def test_changed_words_of_a_card_are_found():
    """A mean that reads 0.785 in place of 0.485 is sound JSON."""
    damaged = rewritten(lambda old: old.replace(b"0.485", b"0.785"))
    assert "does not match its checksum" in refusal(card.read, damaged)
    assert "does not match" in refusal(card.read, with_fields(checksum="0" * 64))
    assert card.read(with_fields(mean=[0.785, 0.5, 0.5])).mean == (0.785, 0.5, 0.5)


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_another_format_is_told(version):
    message = refusal(card.read, with_fields(format=version))
    assert f"has format {version!r}, this r2b_keras reads format 1" in message


def test_unknown_and_missing_fields_are_told():
    message = refusal(card.read, with_fields(licence="MIT", zoo=1))
    assert "this r2b_keras does not know licence, zoo: update it" in message
    message = refusal(card.read, with_fields(std=...))
    assert "class_names" in message and "finds too few" in message
    assert card.read(with_fields(stage=...)).stage is None


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe{}", b"null", b"7", b'"card"', b"[1, 2]", b"{}"),
        *(b'{"format": 1}', b'{"checksum": ""}', b"[" * 100_000),
    ],
)
def test_a_damaged_card_is_told(content):
    message = refusal(card.read, rewritten(content))
    assert message.startswith("The model card in the .tflite file is damaged (")


@pytest.mark.parametrize("content", [b"", b"\x89PNG", dense()[:-100]])
def test_a_damaged_file_is_told(content):
    assert ".tflite file" in refusal(card.read, content)
    assert ".tflite file" in refusal(card.attach, content, MINIMAL)


NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        *(("class_names", bad, "expected a list of names") for bad in ((), "ab", None)),
        ("class_names", ("cat", 2), "expected a list of names"),
        *(
            ("image_shape", bad, "expected (height, width, channels), positive")
            for bad in ((28, 28), (28, 28, 2), (28, 0, 1), (28, -28, 3), (28.0, 28, 1))
        ),
        ("image_shape", (28, True, 1), "positive"),
        ("image_shape", (28, None, 1), "positive"),
        ("image_shape", 28, "positive"),
        *(
            (name, bad, "expected one number for each of the 1 channels")
            for name in ("mean", "std")
            for bad in ((), (0.5, 0.5), (NAN,), (-INFINITY,), ("0.5",), (None,), 0.5)
        ),
        *(("std", bad, "expected positive numbers") for bad in ((0,), (-0.5,))),
        *(
            ("framing", bad, "one of whole, center")
            for bad in ("left", None, ["whole"])
        ),
        *(("upright", bad, "true or false") for bad in (None, 1, "yes")),
        ("real_weights", "int4", "one of float32, float16, int8"),
        ("input_type", "int8", "one of float32, uint8"),
        ("recipe", 3, "a name or None"),
        *(("stage", bad, "a number or None") for bad in ("3", 3.0, True)),
        *(("accuracy", bad, "from 0 to 1") for bad in (NAN, 99.4, -0.1, "0.9", True)),
        ("network", "resnet18", "the network's options or None"),
        ("versions", ["2.19"], "versions by package"),
        ("versions", None, "versions by package"),
    ],
)
def test_fields_of_another_kind_are_named(field, value, words):
    message = refusal(dataclasses.replace, MINIMAL, **{field: value})
    assert message.startswith(f"{field} is {value!r}, expected ") and words in message
    # The same from a file, whose JSON has lists for tuples.
    fields = {"image_shape": [28, 30, 1], "mean": [0.5], "std": [0.5], field: value}
    message = refusal(card.read, with_fields(**fields))
    assert message.startswith(f"{field} is ") and words in message


def test_lists_become_tuples():
    made = ModelCard(["a", "b"], [8, 8, 1], [0], [1])
    assert made == ModelCard(("a", "b"), (8, 8, 1), (0,), (1,))
    assert isinstance(made.mean, tuple)
