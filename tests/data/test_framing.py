"""Which part of a picture the network sees, and in what shape its pixels are."""

import numpy as np
import pytest
from image_samples import read_all, smooth_image, write_image

from r2b_keras.board import pictures
from r2b_keras.data import Augmentation, DataConfig, decoding, load
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.seeds import Epochs
from r2b_keras.environment import tf

HEIGHT, WIDTH = 240, 320
IMAGENET = (224, 224, 3)
CASES = [
    *(((32, 32, 3), framing) for framing in ("whole", "center")),
    *(((32, 64, 3), framing) for framing in ("whole", "center")),
    *(((64, 32, 3), framing) for framing in ("whole", "center")),
]


def ramps():
    """A picture whose red tells the column (by 0.75) and whose green tells the row."""
    red, green = np.meshgrid(np.arange(WIDTH) * 0.75, np.arange(HEIGHT))
    return np.stack([red, green, np.zeros_like(red)], -1).astype(np.uint8)


def window_of(image):
    """Width and height, in the picture's pixels, of the window in an image."""
    rows, columns = image.shape[:2]
    span = image[-1, -1].astype(float) - image[0, 0]
    # Between the first and the last pixel's centres lies all but one of the pixels.
    return span[0] / 0.75 * columns / (columns - 1), span[1] * rows / (rows - 1)


def crops_of_a_file(shape, framing, least_area=0.08):
    content = tf.io.encode_png(ramps())
    return [
        decoding.decode_random_crop(
            content, shape, framing, least_area, tf.constant([seed, 7])
        )
        for seed in range(150)
    ]


def crops_of_an_array(shape, framing, least_area=0.08):
    examples = ArrayExamples(
        np.stack([ramps()] * 150), np.arange(150) % 2, shape, framing
    )
    augmentation = Augmentation(random_resized_crop=True, crop_area=least_area)
    batches = examples.train_batches(augmentation, Epochs(range(1), 150, 0))
    return next(iter(batches))[0]


@pytest.mark.parametrize("crops", [crops_of_a_file, crops_of_an_array])
@pytest.mark.parametrize(("shape", "framing"), CASES)
def test_pixels_have_one_shape_in_training_and_evaluation(crops, shape, framing):
    def pixel_aspect(image):
        """How wide a pixel of the network is in the picture, over how high."""
        width, height = window_of(np.asarray(image))
        return (width / shape[1]) / (height / shape[0])

    framed = decoding.decode_framed(tf.io.encode_png(ramps()), shape, framing)
    evaluated = pixel_aspect(framed)
    assert evaluated == pytest.approx(
        1 if framing == "center" else WIDTH / shape[1] / (HEIGHT / shape[0]), rel=0.03
    )
    found = crops(shape, framing)
    windows = [window_of(np.asarray(image)) for image in found]
    # A window that touches the border was cut to fit.
    uncut = [w < 0.97 * WIDTH and h < 0.97 * HEIGHT for w, h in windows]
    relative = [
        pixel_aspect(image) / evaluated
        for image, whole in zip(found, uncut, strict=True)
        if whole
    ]
    assert len(relative) > 30
    # Windows are measured to about two pixels of at least 40.
    assert min(relative) > 0.75 * 0.93 and max(relative) < 4 / 3 * 1.07
    assert np.exp(np.mean(np.log(relative))) == pytest.approx(1, abs=0.08)
    assert min(relative) < 0.87 and max(relative) > 1.15
    aspect = WIDTH / HEIGHT if framing == "whole" else shape[1] / shape[0]
    area = np.prod(windows, axis=1) / (HEIGHT * WIDTH)
    largest = min(1, WIDTH / HEIGHT / aspect, aspect * HEIGHT / WIDTH)
    assert 0.06 < area.min() < 0.2 and 0.6 * largest < area.max() < 1.05


def resized_by_hand(image, height, width):
    """Bilinear between pixel centres, edges repeated."""

    def weights(out, size):
        centres = np.clip((np.arange(out) + 0.5) * size / out - 0.5, 0, size - 1)
        return np.maximum(1 - np.abs(centres[:, None] - np.arange(size)), 0)

    down, across = weights(height, image.shape[0]), weights(width, image.shape[1])
    return np.einsum("yh,xw,hwc->yxc", down, across, image, optimize=True)


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        *(((375, 500), IMAGENET), ((100, 120), IMAGENET), ((224, 224), IMAGENET)),
        *(((300, 290), IMAGENET), ((140, 200), (64, 96, 3)), ((90, 150), (96, 64, 3))),
    ],
)
def test_the_centre_against_numpy(size, shape):
    image = smooth_image(*size, seed=1)
    scale = 224 / 256 * min(size[0] / shape[0], size[1] / shape[1])
    height, width = round(scale * shape[0]), round(scale * shape[1])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    window = image[top : top + height, left : left + width]
    found = decoding.decode_framed(tf.io.encode_png(image), shape, "center").numpy()
    # Half a level of rounding, and float32.
    np.testing.assert_allclose(found, resized_by_hand(window, *shape[:2]), atol=0.51)


def test_large_pictures_are_antialiased():
    """Stripes of one pixel become even grey, not stripes of another width."""
    image = np.zeros((1300, 1300, 3), np.uint8)
    image[:, ::2] = 255
    found = decoding.decode_framed(tf.io.encode_png(image), IMAGENET, "center").numpy()
    assert np.abs(found.astype(int) - 127).max() < 20


@pytest.mark.parametrize("framing", ["whole", "center"])
def test_a_picture_of_another_size_changes_nothing_for_the_others(tmp_path, framing):
    """Whether a set fits into memory follows from sizes, and framing never does."""
    config = DataConfig("folder", (64, 64, 3), (0.0,) * 3, (1.0,) * 3, 0, framing)
    generator = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            for number in range(3):
                image = generator.integers(0, 256, (64, 64, 3), np.uint8)
                write_image(tmp_path / part / name / f"{number}.png", image)
    before, _ = read_all(load(config, tmp_path).test(6))
    image = generator.integers(0, 256, (64, 65, 3), np.uint8)
    write_image(tmp_path / "train" / "dog" / "x.png", image)
    after, _ = read_all(load(config, tmp_path).test(6))
    np.testing.assert_array_equal(before, after)
    paths = sorted((tmp_path / "test").rglob("*.png"))
    expected = [
        pictures.frame(pictures.decode(path.read_bytes()), (64, 64), framing)
        for path in paths
    ]
    np.testing.assert_allclose(before, np.array(expected) / 255, atol=1e-6)


def test_framing_is_the_recipes_and_has_a_default_by_source():
    def framing(source, *given):
        return DataConfig(source, (8, 8, 1), (0,), (1,), 0, *given).framing

    assert framing("folder") == framing("tfds:imagenet2012") == "center"
    assert framing("digits") == framing("tfds:cifar10") == "whole"
    assert framing("folder", "whole") == "whole"
    with pytest.raises(ValueError, match="framing is 'left', expected one of whole"):
        framing("folder", "left")


@pytest.mark.parametrize("crops", [crops_of_a_file, crops_of_an_array])
def test_windows_have_the_least_area(crops):
    def shares(least_area):
        size = ramps().shape
        sides = [
            window_of(np.asarray(x)) for x in crops((8, 8, 3), "whole", least_area)
        ]
        return [wide * tall / (size[0] * size[1]) for wide, tall in sides]

    # Windows are whole pixels, and cut where they are longer than the picture.
    assert min(shares(0.08)) < 0.3 < 0.7 * 0.64 < min(shares(0.64))


def test_windows_of_a_wide_panorama():
    """Side times side is beyond 32 bits: a window of the whole would be one column."""
    panorama = np.zeros((8, 60000, 3), np.uint8)
    panorama[:, ::2] = 200
    content = tf.io.encode_png(panorama)
    crops = [
        decoding.decode_random_crop(
            content, (8, 8, 3), "whole", 0.5, tf.constant([seed, 7])
        ).numpy()
        for seed in range(4)
    ]
    # Of many columns the mean, of one its own value.
    assert all(abs(crop.mean() - 100) < 20 for crop in crops)
