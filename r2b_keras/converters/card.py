"""The model card in a flatbuffer: written with a checksum, and read back."""

import dataclasses
import hashlib
import json
from typing import Any

from r2b_keras.board import card
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import tflite_edit, tflite_file
from r2b_keras.errors import InputError


def attach(flatbuffer: bytes, given: ModelCard) -> bytes:
    """Writes the card into a flatbuffer, in place of one that it may have."""
    return write(tflite_file.parse(flatbuffer), given)


def write(model: tflite_file.Model, given: ModelCard) -> bytes:
    """Writes a network with its card, in place of one that it may have.

    A checksum goes with it, so that a damaged file is told from a good one.
    """
    _detach(model)
    values = dataclasses.asdict(given)
    content = {"format": card.FORMAT, "checksum": _checksum(model, values), **values}
    buffer = tflite_edit.add_buffer(model, json.dumps(content).encode())
    tflite_edit.add_metadata(model, card.NAME, buffer)
    return tflite_file.serialize(model)


def read(flatbuffer: bytes) -> ModelCard | None:
    """Reads the card of a flatbuffer, None where there is none.

    Raises:
      InputError: it is no flatbuffer, it is damaged, or the card is of another format.
    """
    model = tflite_file.parse(flatbuffer)
    content = _detach(model)
    if content is None:
        return None
    values, checksum = card.parse(content)
    if checksum != _checksum(model, values):
        raise InputError(
            "The .tflite file is damaged, its content does not match its checksum: "
            "copy it again, or convert the network again."
        )
    return card.from_fields(values)


def _detach(model: tflite_file.Model) -> bytes | None:
    """Takes the card out of a model and returns its content."""
    buffer = tflite_edit.remove_metadata(model, card.NAME)
    return None if buffer is None else tflite_edit.take_buffer(model, buffer)


def _checksum(model: tflite_file.Model, values: dict[str, Any]) -> str:
    """Of the model without its card, and of what the card says."""
    # As JSON gives them back: lists for tuples.
    said = json.dumps(values, sort_keys=True).encode()
    return hashlib.sha256(tflite_file.serialize(model) + said).hexdigest()
