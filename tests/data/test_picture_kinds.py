"""One rule for pixels: TensorFlow's pipeline against Pillow's, every kind of file."""

import functools
import struct

import numpy as np
import picture_kinds
import pytest
from picture_kinds import KINDS, RGB, TURNED
from PIL import Image

from r2b_keras.board import exif, pictures
from r2b_keras.data import decoding
from r2b_keras.environment import tf


@functools.cache
def graph(channels):
    """The decoder as the pipelines of training run it."""
    return tf.function(
        lambda encoded: decoding.decode(encoded, channels),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([4], tf.int32)]
)
def decode_window(encoded, window):
    return decoding._decode_window(encoded, lambda _: window)


@functools.cache
def framed(shape, framing):
    """An evaluation's pipeline."""
    return tf.function(
        lambda encoded: decoding.decode_framed(encoded, shape, framing),
        input_signature=[tf.TensorSpec([], tf.string)],
    )


def by_both(content, channels):
    found = graph(channels)(content).numpy()
    expected = pictures.to_channels(pictures.decode(content), channels)
    assert found.dtype == expected.dtype == np.uint8
    return found, expected


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_training_and_boards_see_the_same_bits(kind, channels):
    found, expected = by_both(KINDS[kind], channels)
    assert expected.shape == (20, 30, channels)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", TURNED)
def test_pictures_are_turned_upright(name, channels):
    stored, content, orientation = TURNED[name]
    assert exif.orientation(content) == orientation
    found, expected = by_both(content, channels)
    np.testing.assert_array_equal(found, expected)
    as_stored = pictures.to_channels(pictures.decode(stored), channels)
    # EXIF's table: where the stored picture's first row and first column belong.
    upright = {
        1: lambda image: image,
        2: np.fliplr,
        3: lambda image: np.rot90(image, 2),
        4: np.flipud,
        5: lambda image: np.swapaxes(image, 0, 1),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: np.rot90(np.swapaxes(image, 0, 1), 2),
        8: np.rot90,
    }[orientation]
    np.testing.assert_array_equal(expected, upright(as_stored))
    np.testing.assert_array_equal(
        pictures.to_channels(pictures.decode(content, upright=False), channels),
        as_stored,
    )


@pytest.mark.parametrize(
    "name", [name for name in TURNED if "6" in name or "7" in name]
)
@pytest.mark.parametrize("framing", ["whole", "center"])
def test_windows_of_turned_pictures_are_those_of_upright_ones(name, framing):
    _, content, _ = TURNED[name]
    upright = tf.io.encode_png(pictures.decode(content))
    for shape in ((8, 8, 3), (24, 10, 1)):
        found, expected = (
            framed(shape, framing)(each).numpy() for each in (content, upright)
        )
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("ratio", ["4:4:4", "4:2:2", "4:2:0", "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
def test_any_window_of_a_jpeg_is_cut_from_the_whole(ratio, progressive):
    generator = np.random.default_rng(5)
    image = generator.integers(0, 256, (61, 83, 3), np.uint8)
    content = picture_kinds.encode(
        image, "JPEG", quality=90, subsampling=ratio, progressive=progressive
    )
    whole = pictures.decode(content)
    for _ in range(25):
        top, left = generator.integers(0, (61, 83))
        height, width = generator.integers(1, (62 - top, 84 - left))
        window = [top, left, height, width]
        found = decode_window(content, tf.constant(window, tf.int32))
        expected = whole[top : top + height, left : left + width]
        np.testing.assert_array_equal(found, expected)


def test_lossless_files_hold_what_was_written():
    for kind in ("RGB", "RGBA", "lossless WebP", "RGB with sRGB", "RGB with gAMA of 1"):
        np.testing.assert_array_equal(pictures.decode(KINDS[kind]), RGB)
    upper = (picture_kinds.WORDS[..., :3] >> 8).astype(np.uint8)
    np.testing.assert_array_equal(pictures.decode(KINDS["RGB of 16 bits"]), upper)


def test_grey_is_luma_whatever_a_file_says_of_its_colours():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    chunks = {"none": b"", **picture_kinds.COLOUR_CHUNKS}
    for before in chunks.values():
        found, _ = by_both(picture_kinds.png(red, 8, 2, 4, before), 1)
        assert np.unique(found) == 76  # 0.299 x 255
    levels = np.arange(256, dtype=np.uint8)[:, None]
    np.testing.assert_array_equal(
        pictures.to_channels(np.repeat(levels, 3, 1), 1), levels
    )
    exact = RGB @ [0.299, 0.587, 0.114]
    assert np.abs(pictures.to_channels(RGB, 1)[..., 0] - exact).max() < 0.51


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"II*\0",
        b"XX*\0" + bytes(30),
        picture_kinds.exif(0),
        picture_kinds.exif(9),
        picture_kinds.exif(6)[:-8],
        b"II*\0" + b"\xff" * 20,
    ],
)
def test_exif_that_makes_no_sense_is_passed_over(data):
    jpeg = picture_kinds.JPEG_KINDS["grey JPEG"]
    content = picture_kinds.with_exif(jpeg, data)
    assert exif.orientation(content) == 1
    np.testing.assert_array_equal(*by_both(content, 3))


def test_fill_bytes_before_the_exif_of_a_jpeg():
    """Any number may come before a marker (ITU-T T.81, B.1.1.2)."""
    content = picture_kinds.with_exif(
        picture_kinds.JPEG_KINDS["grey JPEG"], picture_kinds.exif(6)
    )
    for filled in (content[:2] + b"\xff" * count + content[2:] for count in (1, 2, 5)):
        assert exif.orientation(filled) == 6
        np.testing.assert_array_equal(*by_both(filled, 3))


def segment(marker, data):
    return struct.pack(">HH", marker, len(data) + 2) + data


XMP = segment(0xFFE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")


@pytest.mark.parametrize("before", [b"", XMP, segment(0xFFFE, b"a comment")])
def test_the_exif_of_a_phone(before):
    """Maker and model come before the orientation; other segments before all."""
    data = Image.Exif()
    data[0x010F], data[0x0110], data[0x0112], data[0x011A] = "Maker", "Model", 6, 72.0
    content = picture_kinds.encode(RGB, "JPEG", exif=data)
    content = content[:2] + before + content[2:]
    assert exif.orientation(content) == 6
    np.testing.assert_array_equal(*by_both(content, 3))


def test_entries_of_exif_may_lie_anywhere():
    start, place = picture_kinds.exif(6)[:4], struct.pack("<I", 20)
    moved = start + place + bytes(12) + picture_kinds.exif(6)[8:]
    assert exif.of_metadata(b"Exif\0\0" + moved) == 6


@pytest.mark.parametrize("start", [b"", b"Exif\0\0"])
def test_exif_behind_an_odd_chunk_of_webp(start):
    data = start + picture_kinds.exif(6)
    odd = b"ICCP" + struct.pack("<I", 3) + b"abc\0"
    content = b"RIFF\0\0\0\0WEBP" + odd + b"EXIF" + struct.pack("<I", len(data)) + data
    assert exif.orientation(content) == 6


def test_broken_pictures_are_refused_by_both():
    for kind in ("baseline, colours 4:2:0", "RGBA", "WebP", "CMYK"):
        content = KINDS[kind]
        for broken in (content[: len(content) // 2], content[:14], b"no picture"):
            with pytest.raises(ValueError, match="is broken"):
                pictures.decode(broken)
            with pytest.raises(tf.errors.InvalidArgumentError):
                graph(3)(broken)
