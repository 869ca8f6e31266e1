"""Pictures as a network sees them, against what training's evaluation makes of them."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import pictures
from r2b_keras.board.card import ModelCard
from r2b_keras.data import DataConfig, decoding
from r2b_keras.data.dataset import ImageDataset
from r2b_keras.errors import InputError
from tests.data import picture_kinds

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


@pytest.mark.parametrize("framing", ["whole", "center"])
@pytest.mark.parametrize(("size", "shape"), SIZES)
def test_a_picture_is_that_of_training(tmp_path, size, shape, framing):
    for make in (smooth, noisy):
        path = write(tmp_path / "picture.png", make(*size))
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
    path = write(tmp_path / "picture.png", noisy(70, 90))
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


def encoded(kind, **options):
    file = io.BytesIO()
    Image.fromarray(noisy(40, 50)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty: convert or replace it"),
        (b"P6\n1 1\n255\n\0\0\0", "is neither a JPEG nor a PNG nor a WebP picture"),
        (encoded("GIF"), "is neither a JPEG nor a PNG nor a WebP picture"),
        (encoded("JPEG")[:200], "is broken"),
        (encoded("JPEG")[:-700], "is broken or cut off .*truncated"),
        (encoded("JPEG")[:-2], "is broken or cut off .*truncated"),
        (encoded("JPEG", progressive=True)[:-500], "is broken or cut off"),
        (encoded("PNG")[:20], "is broken"),
        (encoded("PNG")[:-500], "is broken or cut off"),
        (b"\xff\xd8\xff" + bytes(500), "is broken"),
        (
            picture_kinds.png(picture_kinds.BYTES[..., 0], 8, 0, width=50000)[:-40],
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
        "from r2b_keras.board import pictures\n"
        "from r2b_keras.board.card import ModelCard\n"
        "for framing in ('whole', 'center'):\n"
        "    card = ModelCard(('a', 'b'), (28, 28, 1), (0.5,), (0.5,), framing)\n"
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
