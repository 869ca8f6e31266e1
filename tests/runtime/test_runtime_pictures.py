"""Pictures as r2b_runtime prepares them: the bits of r2b_keras's predict."""

import os

import numpy as np
import pytest
from PIL import Image

from r2b_keras.converters import pictures as keras_pictures
from r2b_keras.converters.card import ModelCard
from r2b_keras.errors import InputError as KerasInputError
from r2b_runtime import InputError, pictures
from tests.converters import test_pictures as samples
from tests.data import picture_kinds

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (height, width) of the picture and the network's input: see the tests of r2b_keras.
SIZES = samples.SIZES


def card_of(shape, framing, upright=True):
    mean, std = MEAN[: shape[2]], STD[: shape[2]]
    return ModelCard(("a", "b"), shape, mean, std, framing, upright)


def assert_equal(path, card):
    found = pictures.load(path, card)
    expected = keras_pictures.load(path, card)
    assert found.dtype == expected.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("framing", ["whole", "center"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_every_size(tmp_path, size, shape, name, framing):
    for make in (samples.smooth, samples.noisy):
        path = samples.write(tmp_path / name, make(*size))
        assert_equal(path, card_of(shape, framing))


@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_file(tmp_path, channels):
    path = tmp_path / "picture"
    turned = [content for _, content, _ in picture_kinds.TURNED.values()]
    for content in (*picture_kinds.KINDS.values(), *turned):
        path.write_bytes(content)
        for upright in (True, False):
            assert_equal(path, card_of((9, 8, channels), "whole", upright))


def test_the_same_sentences(tmp_path, monkeypatch):
    contents = {
        "empty.png": b"",
        "text.png": b"P6\n1 1\n255\n\0\0\0",
        "cut.jpg": samples.encoded("JPEG")[:-700],
        "short.jpg": samples.encoded("JPEG")[:200],
        "cut.png": samples.encoded("PNG")[:-500],
        "zeros.jpg": b"\xff\xd8\xff" + bytes(500),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    large = samples.write(tmp_path / "large.png", samples.noisy(40, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    paths = [tmp_path / name for name in (*contents, "none.png")]
    for path in (*paths, tmp_path, large):
        with pytest.raises(KerasInputError) as expected:
            keras_pictures.read(path, 3)
        with pytest.raises(InputError) as found:
            pictures.read(os.fspath(path), 3)
        assert str(found.value) == str(expected.value)
