"""The model card as r2b_runtime finds it in files that r2b_keras wrote."""

import dataclasses

import numpy as np
import pytest

from r2b_keras.converters import tflite_edit
from r2b_keras.converters.card import attach
from r2b_runtime import InputError, metadata
from r2b_runtime.board.card import ModelCard
from tests.converters.small_flatbuffers import binary, changed, dense, refusal
from tests.converters.test_card import FULL, MINIMAL, rewritten


def note(model, graph):
    buffer = tflite_edit.add_buffer(model, b"of theirs")
    tflite_edit.add_metadata(model, "note", buffer)


@pytest.mark.parametrize("given", [MINIMAL, FULL], ids=["minimal", "full"])
@pytest.mark.parametrize("file", [dense(), binary(), changed(dense(), note)])
def test_every_field_is_read_as_it_was_written(given, file):
    assert metadata.read_card(file) is None
    found = metadata.read_card(attach(file, given))
    assert isinstance(found, ModelCard)
    assert dataclasses.asdict(found) == dataclasses.asdict(given)


@pytest.mark.slow
def test_no_damage_leads_out_of_the_file():
    """Every byte, with a flipped bit and cut off there: a card, none, or a sentence."""
    content = attach(binary(), FULL)
    num_read = num_refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for file in (bytes(damaged), content[:place]):
            try:
                found = metadata.read_card(file)
            except InputError:
                num_refused += 1
                continue
            num_read += 1
            assert found is None or isinstance(found, ModelCard)
    assert num_read > len(content) / 2 and num_refused > len(content) / 2


@pytest.mark.slow
def test_no_offset_leads_out_of_the_file():
    """Every word of the file as the largest, the smallest and other odd offsets."""
    content = np.frombuffer(attach(dense(), FULL), np.uint8)
    words = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - len(content), len(content) - 4)
    for place in range(0, len(content) - 4, 4):
        for word in words:
            damaged = content.copy()
            damaged[place : place + 4] = np.frombuffer(np.uint32(word).tobytes(), "u1")
            try:
                metadata.read_card(damaged.tobytes())
            except InputError as error:
                assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        *((bad, "The file is no .tflite file") for bad in (b"", b"PNG" * 5, b"TFL3")),
        (dense()[:7], "The file is no .tflite file"),
        (dense()[:8], "The .tflite file is damaged (an offset"),
        (rewritten(b"{"), "model card in the .tflite file is damaged ("),
        (
            rewritten(b'{"format": 2, "checksum": ""}'),
            "this r2b_runtime reads format 1",
        ),
    ],
)
def test_damage_is_told(content, words):
    assert words in refusal(metadata.read_card, content)
