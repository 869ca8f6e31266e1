"""The model card as r2b_runtime reads it, against r2b_keras, which writes it."""

import dataclasses
import json

import numpy as np
import pytest

from r2b_keras.converters import card as keras_card
from r2b_keras.converters import tflite_file
from r2b_runtime import InputError, card
from tests.converters.small_flatbuffers import binary, changed, dense

MINIMAL = keras_card.ModelCard(("cat", "dog"), (28, 30, 1), (0.5,), (0.25,))
FULL = keras_card.ModelCard(
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


def refusal(content):
    with pytest.raises(InputError) as caught:
        card.read(content)
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".") and len(message) < 400
    return message


def test_the_constants_are_those_of_r2b_keras():
    for name in ("NAME", "FORMAT", "FRAMINGS"):
        assert getattr(card, name) == getattr(keras_card, name)
    assert card.IDENTIFIER == tflite_file.IDENTIFIER
    ours, theirs = map(dataclasses.fields, (card.ModelCard, keras_card.ModelCard))
    assert [field.name for field in ours] == [field.name for field in theirs]


@pytest.mark.parametrize("given", [MINIMAL, FULL], ids=["minimal", "full"])
@pytest.mark.parametrize("make", [dense, binary])
def test_every_field_is_read_as_it_was_written(given, make):
    content = keras_card.attach(make(), given)
    found = card.read(content)
    assert dataclasses.asdict(found) == dataclasses.asdict(given)
    assert found == card.read(content)


def test_a_file_without_a_card_has_none():
    assert card.read(dense()) is None

    def note(model, graph):
        buffer = tflite_file.add_buffer(model, b"of theirs")
        tflite_file.add_metadata(model, "note", buffer)

    assert card.read(changed(dense(), note)) is None
    content = keras_card.attach(changed(dense(), note), MINIMAL)
    assert dataclasses.asdict(card.read(content)) == dataclasses.asdict(MINIMAL)


@pytest.mark.slow
def test_no_damage_leads_out_of_the_file():
    """Every byte, with a flipped bit and cut off there: a card, none, or a sentence."""
    content = keras_card.attach(binary(), FULL)
    num_read = num_refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for file in (bytes(damaged), content[:place]):
            try:
                found = card.read(file)
            except InputError:
                num_refused += 1
                continue
            num_read += 1
            assert found is None or isinstance(found, card.ModelCard)
    assert num_read > len(content) / 2 and num_refused > len(content) / 2


@pytest.mark.slow
def test_no_offset_leads_out_of_the_file():
    """Every word of the file as the largest, the smallest and other odd offsets."""
    content = np.frombuffer(keras_card.attach(dense(), FULL), np.uint8)
    words = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - len(content), len(content) - 4)
    for place in range(0, len(content) - 4, 4):
        for word in words:
            damaged = content.copy()
            damaged[place : place + 4] = np.frombuffer(np.uint32(word).tobytes(), "u1")
            try:
                card.read(damaged.tobytes())
            except InputError as error:
                assert "\n" not in str(error)


def rewritten(content):
    """A file whose card is other bytes."""

    def apply(model, graph):
        buffer = tflite_file.remove_metadata(model, card.NAME)
        tflite_file.take_buffer(model, buffer)
        new = tflite_file.add_buffer(model, content)
        tflite_file.add_metadata(model, card.NAME, new)

    return changed(keras_card.attach(dense(), FULL), apply)


def with_fields(**fields):
    values = {"format": 1, "checksum": "", **dataclasses.asdict(MINIMAL), **fields}
    kept = {name: value for name, value in values.items() if value is not Ellipsis}
    return rewritten(json.dumps(kept).encode())


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"\xff\xfe{}", b"null", b"7", b'"card"', b"[1, 2]", b"{}"),
        *(b'{"format": 1}', b'{"checksum": ""}', b"[" * 100_000),
    ],
)
def test_a_damaged_card_is_told(content):
    assert "its model card is damaged (" in refusal(rewritten(content))


@pytest.mark.parametrize("content", [b"", b"\x89PNG" * 5, b"TFL3", dense()[:7]])
def test_a_file_that_is_none_is_told(content):
    assert "The file is no .tflite file" in refusal(content)


def test_another_format_is_told():
    assert "has format 2, this r2b_runtime reads" in refusal(with_fields(format=2))


def test_unknown_and_missing_fields_are_told():
    message = refusal(with_fields(licence="MIT", zoo=1))
    assert "this r2b_runtime does not know licence, zoo: update it" in message
    assert "finds too few" in refusal(with_fields(std=...))
    assert card.read(with_fields(stage=...)).stage is None


def test_cards_from_before_orientation_was_looked_at():
    assert card.read(with_fields()).upright is True
    assert card.read(with_fields(upright=...)).upright is False


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        *(
            ("class_names", bad, "a list of names")
            for bad in ([], "ab", None, ["a", 2])
        ),
        *(
            ("image_shape", bad, "expected (height, width, channels), positive")
            for bad in ([28, 28], [28, 28, 2], [28, 0, 1], [28, True, 1], 28, None)
        ),
        *(
            (name, bad, "expected one number for each of the 1 channels")
            for name in ("mean", "std")
            for bad in ([], [0.5, 0.5], [float("nan")], ["0.5"], [None], 0.5)
        ),
        *(("std", bad, "expected positive numbers") for bad in ([0], [-0.5])),
        *(("framing", bad, "whole or center") for bad in ("left", None, ["whole"])),
        *(("upright", bad, "true or false") for bad in (None, 1, "yes")),
    ],
)
def test_fields_of_another_kind_are_named(field, value, words):
    message = refusal(with_fields(**{field: value}))
    assert message.startswith(f"{field} is ") and words in message
