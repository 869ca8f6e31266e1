"""Pictures as a network sees them, against what training's evaluation makes of them."""

import dataclasses
import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import pictures
from r2b_keras.board.card import ModelCard
from r2b_keras.data import DataConfig, decoding
from r2b_keras.data.dataset import ImageDataset
from r2b_keras.data.files import image_size
from r2b_keras.errors import InputError
from tests.data.image_samples import random_images
from tests.data.picture_kinds import (
    BYTES,
    KINDS,
    WEBP_KINDS,
    encode,
    exif,
    png,
    with_exif,
)

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (height, width) of the picture and the network's input: shrinking by less than 2, by
# more than 2 and at its edge, enlarging, one of each, the same size, a single pixel.
SIZES = [
    *(((375, 500), (224, 224, 3)), ((620, 700), (224, 224, 3))),
    *(((512, 512), (224, 224, 3)), ((20, 21), (28, 28, 3)), ((30, 200), (64, 48, 3))),
    *(((64, 96), (64, 96, 3)), ((300, 280), (28, 28, 1)), ((1, 1), (8, 8, 3))),
]


def smooth(height, width):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b) for a, b in ((31, 47), (23, 59), (53, 29))]
    return np.round(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


def write(path, image):
    path.write_bytes(encode(image, "PNG"))
    return path


(NOISE,) = random_images(1, (40, 50, 3))


@pytest.mark.parametrize("framing", ["whole", "center"])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_a_picture_is_that_of_training(tmp_path, size, shape, framing):
    for image in (smooth(*size), *random_images(1, (*size, 3), seed=3)):
        path = write(tmp_path / "picture.png", image)
        expected = decoding.decode_framed(path.read_bytes(), shape, framing).numpy()
        image = pictures.read(path, shape[2])
        found = pictures.frame(image, shape[:2], framing)
        assert found.shape == shape and found.dtype == expected.dtype == np.uint8
        # Without antialiasing the same float32 arithmetic gives the same bits. With
        # it, sums of another order fall on the other side of a half now and then.
        shrinking = 224 / 256 * min(size[0] / shape[0], size[1] / shape[1])
        difference = np.abs(found.astype(int) - expected)
        assert difference.max() <= (framing == "whole" or shrinking > 2)
        assert (difference > 0).mean() < 0.005


def test_load_normalizes_as_training_does(tmp_path):
    path = write(tmp_path / "picture.png", NOISE)
    card = ModelCard(("a", "b"), (64, 48, 3), MEAN, STD, "center")
    image = decoding.decode_framed(path.read_bytes(), (64, 48, 3), "center").numpy()
    found = pictures.load(path, card)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (image / 255 - MEAN) / STD, atol=1e-6)
    dataset = ImageDataset.__new__(ImageDataset)
    dataset.config = DataConfig("folder", (64, 48, 3), MEAN, STD, 0)
    dataset.num_classes = 2
    expected = dataset.normalise(image)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: convert or replace it"),
        (b"P6\n1 1\n255\n\0\0\0", "is neither a JPEG nor a PNG nor a WebP picture"),
        (encode(NOISE, "GIF"), "is neither a JPEG nor a PNG nor a WebP picture"),
        (encode(NOISE, "JPEG")[:200], "is broken"),
        (encode(NOISE, "JPEG")[:-700], "is broken or cut off .*truncated"),
        (encode(NOISE, "JPEG")[:-2], "is broken or cut off .*truncated"),
        (encode(NOISE, "JPEG", progressive=True)[:-500], "is broken or cut off"),
        (encode(NOISE, "PNG")[:20], "is broken"),
        (encode(NOISE, "PNG")[:-500], "is broken or cut off"),
        (b"\xff\xd8\xff" + bytes(500), "is broken"),
        (
            png(BYTES[..., 0], 8, 0, width=50000)[:-40],
            "is broken or cut off",
        ),
    ],
)
def test_what_is_no_sound_picture_is_told(tmp_path, content, words):
    path = tmp_path / "picture.jpg"
    path.write_bytes(content)
    for channels in (1, 3):
        with pytest.raises(InputError, match=words) as problem:
            pictures.read(path, channels)
        assert str(problem.value).startswith(str(path))
        assert "\n" not in str(problem.value) and "object at" not in str(problem.value)


def test_no_file_and_a_folder(tmp_path):
    with pytest.raises(InputError, match="There is no picture .*none.png"):
        pictures.read(tmp_path / "none.png", 3)
    (tmp_path / "link.png").symlink_to("moved.png")
    with pytest.raises(InputError, match="link.png is a link to moved.png, which is"):
        pictures.read(tmp_path / "link.png", 3)
    with pytest.raises(InputError, match="is a folder: name the pictures in it"):
        pictures.read(tmp_path, 3)


def test_too_many_pixels_are_refused_before_memory_is(tmp_path, monkeypatch):
    path = write(tmp_path / "large.png", NOISE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    assert pictures.read(path, 3).shape == (40, 50, 3), "no warning up to twice that"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(InputError, match="has too many pixels"):
        pictures.read(path, 3)


def test_training_refuses_as_many_pixels(tmp_path, monkeypatch):
    path = write(tmp_path / "large.png", NOISE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    assert image_size(path) == (40, 50)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(InputError, match=r"large.png has too many pixels \(Image size"):
        image_size(path)


def test_memory_that_a_picture_does_not_fit_into(tmp_path, monkeypatch):
    card = ModelCard(("a", "b"), (8, 8, 3), MEAN, STD)
    path = write(tmp_path / "large.png", NOISE)
    words = "has too many pixels for this machine's memory: make it smaller."

    def full(*arguments):
        raise MemoryError

    for name in ("frame", "decode"):
        monkeypatch.setattr(pictures, name, full)
        with pytest.raises(InputError) as error:
            pictures.load(path, card)
        assert str(error.value) == f"{path} {words}"
    for picture in (NOISE, Image.fromarray(NOISE)):
        with pytest.raises(InputError) as error:
            pictures.prepare(picture, card)
        assert str(error.value) == f"The picture {words}"


def test_threads_that_decode_leave_warnings_as_they_were():
    before = list(warnings.filters)
    content = WEBP_KINDS["WebP"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pictures.decode, [content] * 200))
    assert warnings.filters == before


def test_broken_images_of_pillow(tmp_path):
    card = ModelCard(("a", "b"), (8, 8, 3), (0.0,) * 3, (1.0,) * 3, "whole")
    path = tmp_path / "cut.jpg"
    path.write_bytes(encode(NOISE, "JPEG")[:-400])
    with Image.open(path) as cut:
        with pytest.raises(InputError, match="of the mode RGB cannot be read"):
            pictures.prepare(cut, card)
    closed = Image.open(write(tmp_path / "closed.png", NOISE))
    closed.close()
    with pytest.raises(InputError, match="cannot be read"):
        pictures.prepare(closed, card)


def test_images_of_pillow_without_pixels():
    card = ModelCard(("a", "b"), (8, 8, 3), (0.0,) * 3, (1.0,) * 3, "whole")
    with pytest.raises(InputError, match=r"of the shape \(5, 0, 3\), expected"):
        pictures.prepare(Image.new("RGB", (0, 5)), card)


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_levels_of_an_unknown_range_are_refused(kind):
    """Whether 255 or 65,535 is white cannot be told from them."""
    card = ModelCard(("a", "b"), (8, 8, 1), (0.0,), (1.0,), "whole")
    image = Image.fromarray(NOISE[..., 0].astype(kind))
    with pytest.raises(InputError, match=f"has the mode {image.mode}, numbers of 32"):
        pictures.prepare(image, card)


def test_16_bits_are_the_same_by_path_and_by_image(tmp_path):
    card = ModelCard(("a", "b"), (8, 8, 1), (0.0,), (1.0,), "whole")
    path = tmp_path / "deep.png"
    path.write_bytes(KINDS["grey of 16 bits"])
    with Image.open(path) as deep:
        found = pictures.prepare(deep, card)
    np.testing.assert_array_equal(found, pictures.load(path, card))
    assert found.max() > found.min()


@pytest.mark.parametrize("size", [(64, 96), (96, 48), (64, 48)])
def test_an_array_is_taken_as_it_is_only_where_both_sides_fit(size):
    card = ModelCard(("a", "b"), (64, 48, 3), (0.0,) * 3, (1.0,) * 3, "whole")
    (image,) = random_images(1, (*size, 3))
    found = pictures.prepare(image, card)
    expected = pictures.frame(image, (64, 48), "whole") / 255
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.shape == (64, 48, 3)


def test_images_of_pillow_stay_as_they_are_where_the_card_says_so():
    content = with_exif(encode(NOISE, "JPEG"), exif(6))
    card = ModelCard(("a", "b"), (8, 8, 3), (0.0,) * 3, (1.0,) * 3, "whole")
    for upright in (False, True):
        card = dataclasses.replace(card, upright=upright)
        stored = pictures.decode(content, upright)
        with Image.open(io.BytesIO(content)) as image:
            found = pictures.prepare(image, card)
        np.testing.assert_array_equal(found, pictures.prepare(stored, card))
