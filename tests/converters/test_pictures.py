"""Pictures as a network sees them, against what training's evaluation makes of them."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2b_keras.converters import pictures
from r2b_keras.converters.card import ModelCard
from r2b_keras.data import DataConfig, decoding, image_shapes
from r2b_keras.data.dataset import ImageDataset
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

ROOT = Path(__file__).parent.parent.parent
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


def noisy(height, width):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def write(path, image, **options):
    """Writes with Pillow what has a mode, an array as an RGB or grey picture."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)
    return path


def differences(found, expected):
    assert found.shape == expected.shape and found.dtype == expected.dtype == np.uint8
    return np.abs(found.astype(int) - expected)


@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_the_centre_of_a_png_is_that_of_training(tmp_path, make, size, shape):
    path = write(tmp_path / "picture.png", make(*size))
    expected = decoding.decode_center(path.read_bytes(), shape).numpy()
    image = pictures.read(path, shape[2])
    difference = differences(pictures.frame(image, shape[:2], "center"), expected)
    # Without antialiasing the same float32 arithmetic gives the same bits. With it,
    # sums of another order fall on the other side of a half now and then.
    shrinking = 224 / 256 * min(size[0] / shape[0], size[1] / shape[1])
    assert difference.max() <= (shrinking > 2)
    assert (difference > 0).mean() < 0.005


@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_a_whole_png_is_that_of_training(tmp_path, make, size, shape):
    image = make(*size)
    path = write(tmp_path / "picture.png", image)
    expected = image_shapes.fit_to_shape(image[np.newaxis], shape)[0]
    found = pictures.frame(pictures.read(path, shape[2]), shape[:2], "whole")
    difference = differences(found, expected)
    assert difference.max() <= 1
    # libpng cuts luma off where TensorFlow rounds it, in its own way.
    assert (difference > 0).mean() < (0.3 if shape[2] == 1 else 0.005)


@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_a_whole_jpeg_is_that_of_training(tmp_path, make, size, shape):
    path = write(tmp_path / "picture.jpg", make(*size), quality=90)
    found = pictures.frame(pictures.read(path, shape[2]), shape[:2], "whole")
    image = decoding.decode(path.read_bytes(), shape[2]).numpy()
    expected = image_shapes.fit_to_shape(image[np.newaxis], shape)[0]
    difference = differences(found, expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005


@pytest.mark.parametrize("make", [smooth, noisy])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_the_centre_of_a_jpeg_is_that_of_training(tmp_path, make, size, shape):
    """Training decodes the window alone, without the colours beside it.

    They are stored at half resolution, so that the first and the last two columns of
    the window differ: by 34 levels in noise, by 3 in a smooth picture.
    """
    path = write(tmp_path / "picture.jpg", make(*size), quality=90)
    expected = decoding.decode_center(path.read_bytes(), shape).numpy()
    image = pictures.read(path, shape[2])
    difference = differences(pictures.frame(image, shape[:2], "center"), expected)
    shrinking = 224 / 256 * min(size[0] / shape[0], size[1] / shape[1])
    edge = int(np.ceil(2 / shrinking))
    inside = difference[:, edge:-edge]
    assert inside.max(initial=0) <= (shrinking > 2)
    assert (inside > 0).mean() < 0.005 if inside.size else shape[1] <= 2 * edge
    assert difference.max() <= (3 if make is smooth else 34)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_a_jpeg_equals_tensorflows_accurate_decoder(tmp_path, channels, subsampling):
    path = write(tmp_path / "a.jpg", noisy(61, 83), quality=85, subsampling=subsampling)
    expected = tf.io.decode_jpeg(
        path.read_bytes(), channels=channels, dct_method="INTEGER_ACCURATE"
    )
    np.testing.assert_array_equal(pictures.read(path, channels), expected)


def png(samples, depth, kind, width=30, palette=b"", transparency=b""):
    """A PNG file of any depth and kind, chunk by chunk."""

    def chunk(name, data):
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", width, len(samples), depth, kind, 0, 0, 0)
    rows = samples.astype(">u2" if depth == 16 else "u1")
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    content += chunk(b"PLTE", palette) if palette else b""
    content += chunk(b"tRNS", transparency) if transparency else b""
    data = b"".join(b"\0" + row.tobytes() for row in rows)
    return content + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


RANDOM = np.random.default_rng(4)
BYTES = RANDOM.integers(0, 256, (20, 30, 4))
WORDS = RANDOM.integers(0, 2**16, (20, 30, 4))
PALETTE = RANDOM.bytes(3 * 256)
PNG_KINDS = {
    "grey": png(BYTES[..., 0], 8, 0),
    "grey with a transparent one": png(BYTES[..., 0], 8, 0, transparency=b"\0\x07"),
    "grey and alpha": png(BYTES[..., :2], 8, 4),
    "grey of 1 bit": png(BYTES[:, :4, 0], 1, 0),
    "grey of 4 bits": png(BYTES[:, :15, 0], 4, 0),
    "grey of 16 bits": png(WORDS[..., 0], 16, 0),
    "grey and alpha of 16 bits": png(WORDS[..., :2], 16, 4),
    "RGB": png(BYTES[..., :3], 8, 2),
    "RGB with a transparent one": png(BYTES[..., :3], 8, 2, transparency=b"\0\x07" * 3),
    "RGBA": png(BYTES, 8, 6),
    "RGB of 16 bits": png(WORDS[..., :3], 16, 2),
    "RGBA of 16 bits": png(WORDS, 16, 6),
    "palette": png(BYTES[..., 0], 8, 3, palette=PALETTE),
    "palette of 4 bits": png(BYTES[:, :15, 0], 4, 3, palette=PALETTE[:48]),
    "palette with transparent ones": png(
        BYTES[..., 0], 8, 3, palette=PALETTE, transparency=PALETTE[:256]
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", PNG_KINDS)
def test_every_kind_of_png_is_decoded_as_tensorflow_does(tmp_path, kind, channels):
    path = tmp_path / "picture.png"
    path.write_bytes(PNG_KINDS[kind])
    expected = tf.io.decode_png(PNG_KINDS[kind], channels=channels).numpy()
    difference = differences(pictures.read(path, channels), expected)
    # Colours of 16 bits: libpng makes them grey before it drops the lower 8.
    assert difference.max() <= (channels == 1 and kind.startswith("RGB"))
    if "16" not in kind:
        assert difference.max() == 0


def test_grey_and_cmyk_jpegs(tmp_path):
    grey = write(tmp_path / "grey.jpg", noisy(20, 30)[..., 0], quality=90)
    for channels in (1, 3):
        expected = tf.io.decode_jpeg(
            grey.read_bytes(), channels=channels, dct_method="INTEGER_ACCURATE"
        )
        np.testing.assert_array_equal(pictures.read(grey, channels), expected)
    cmyk = write(tmp_path / "cmyk.jpg", Image.fromarray(smooth(20, 30)).convert("CMYK"))
    expected = tf.io.decode_jpeg(
        cmyk.read_bytes(), channels=3, dct_method="INTEGER_ACCURATE"
    ).numpy()
    # Two ways to round a product of two bytes.
    assert differences(pictures.read(cmyk, 3), expected).max() <= 1
    assert pictures.read(cmyk, 1).shape == (20, 30, 1)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_orientation_is_left_alone_unless_asked_for(tmp_path, suffix):
    orientation = Image.Exif()
    orientation[0x0112] = 6  # to be turned clockwise by a quarter
    path = write(tmp_path / f"turned.{suffix}", smooth(20, 30), exif=orientation)
    stored = pictures.read(path, 3)
    assert stored.shape == tf.io.decode_image(path.read_bytes()).shape == (20, 30, 3)
    np.testing.assert_array_equal(
        pictures.read(path, 3, upright=True), np.rot90(stored, -1)
    )
    plain = write(tmp_path / f"plain.{suffix}", smooth(20, 30))
    np.testing.assert_array_equal(pictures.read(plain, 3, upright=True), stored)


def test_load_normalizes_as_training_does(tmp_path):
    path = write(tmp_path / "picture.png", noisy(70, 90))
    card = ModelCard(("a", "b"), (64, 48, 3), MEAN, STD, "center")
    image = decoding.decode_center(path.read_bytes(), (64, 48, 3)).numpy()
    found = pictures.load(path, card)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (image / 255 - MEAN) / STD, atol=1e-6)
    dataset = ImageDataset.__new__(ImageDataset)
    dataset.config = DataConfig("folder", (64, 48, 3), MEAN, STD, 0)
    dataset.num_classes = 2
    expected = dataset.normalise(image)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_constants_are_those_of_training():
    assert pictures.CENTRAL_SHARE == decoding.CENTRAL_SHARE
    assert pictures.LARGEST_PLAIN_SHRINKING == decoding.LARGEST_PLAIN_SHRINKING


def encoded(kind, **options):
    file = io.BytesIO()
    Image.fromarray(noisy(40, 50)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: convert or replace it"),
        (b"P6\n1 1\n255\n\0\0\0", "is neither a JPEG nor a PNG picture"),
        (encoded("GIF"), "is neither a JPEG nor a PNG picture"),
        (encoded("JPEG")[:200], "is broken"),
        (encoded("JPEG")[:-700], "is broken or cut off .*truncated"),
        (encoded("JPEG")[:-2], "is broken or cut off .*truncated"),
        (encoded("JPEG", progressive=True)[:-500], "is broken or cut off"),
        (encoded("PNG")[:20], "is broken"),
        (encoded("PNG")[:-500], "is broken or cut off"),
        (b"\xff\xd8\xff" + bytes(500), "is broken"),
        (png(BYTES[..., 0], 8, 0, width=50000)[:-40], "is broken or cut off"),
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
    with pytest.raises(InputError, match="is a folder: name the pictures in it"):
        pictures.read(tmp_path, 3)


def test_too_many_pixels_are_refused_before_memory_is(tmp_path, monkeypatch):
    path = write(tmp_path / "large.png", noisy(40, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    assert pictures.read(path, 3).shape == (40, 50, 3), "no warning up to twice that"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)
    with pytest.raises(InputError, match="has too many pixels"):
        pictures.read(path, 3)


def test_no_tensorflow_is_imported(tmp_path):
    path = write(tmp_path / "picture.jpg", smooth(90, 100))
    code = (
        "import sys\n"
        "from r2b_keras.converters import pictures\n"
        "from r2b_keras.converters.card import ModelCard\n"
        "for framing in ('whole', 'center'):\n"
        "    card = ModelCard(('a',), (28, 28, 1), (0.5,), (0.5,), framing)\n"
        f"    assert pictures.load({str(path)!r}, card).shape == (28, 28, 1)\n"
        "heavy = {'tensorflow', 'tf_keras', 'keras', 'larq', 'larq_compute_engine'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.stdout == "[]\n", result.stderr
