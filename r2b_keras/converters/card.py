"""The model card in a flatbuffer: written with a checksum, and read back."""

import dataclasses
import json

from r2b_keras.board import card
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import tflite_edit, tflite_file


def attach(flatbuffer: bytes, given: ModelCard) -> bytes:
    """Writes the card into a flatbuffer, in place of one that it may have."""
    return write(tflite_file.parse(flatbuffer), given)


def write(model: tflite_file.Model, given: ModelCard) -> bytes:
    """Writes a network with its card, in place of one that it may have.

    A checksum goes with it, so that a damaged file is told from a good one.
    """
    detach(model)
    known = {"format": card.FORMAT, "checksum": card.NO_CHECKSUM}
    content = json.dumps({**known, **dataclasses.asdict(given)}).encode()
    buffer = tflite_edit.add_buffer(model, content)
    tflite_edit.add_metadata(model, card.NAME, buffer)
    flatbuffer = tflite_file.serialize(model)
    checksum = card.checksum_of(flatbuffer, content, card.NO_CHECKSUM)
    signed = content.replace(card.NO_CHECKSUM.encode(), checksum.encode(), 1)
    return flatbuffer.replace(content, signed, 1)


def read(flatbuffer: bytes) -> ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    content = detach(tflite_file.parse(flatbuffer))
    return None if content is None else card.read(flatbuffer, content)


def detach(model: tflite_file.Model) -> bytes | None:
    """Takes the card out of a model and returns its content, None without one.

    Before a network is changed, which would no longer have the card's checksum.
    """
    buffer = tflite_edit.remove_metadata(model, card.NAME)
    return None if buffer is None else tflite_edit.take_buffer(model, buffer)
