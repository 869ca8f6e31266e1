"""The ImageNet path: JPEG files at 224x224, whole pipeline and single windows."""

import numpy as np
import pytest
from image_samples import read_all, smooth_image, write_image

from r2b_keras.data import Augmentation, DataConfig, decoding, load
from r2b_keras.environment import tf

SHAPE = (224, 224, 3)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIZES = ((375, 500), (500, 375), (240, 250), (100, 120), (1200, 900), (224, 224))
IMAGENET = Augmentation(random_resized_crop=True, flip=True, color_jitter=0.4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("jpegs")
    for part, num in (("train", 12), ("test", 3)):
        for k in range(num):
            image = smooth_image(*SIZES[k % len(SIZES)], seed=k)
            write_image(root / part / f"class_{k % 3}" / f"{k}.jpeg", image)
    return root


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
        *(((375, 500), SHAPE), ((100, 120), SHAPE), ((224, 224), SHAPE)),
        *(((300, 290), SHAPE), ((140, 200), (64, 96, 3)), ((90, 150), (96, 64, 3))),
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
    found = decoding.decode_framed(tf.io.encode_png(image), SHAPE, "center").numpy()
    assert np.abs(found.astype(int) - 127).max() < 20


@pytest.mark.parametrize("seed", range(8))
def test_the_decoded_window_of_a_jpeg_is_that_of_the_whole_image(seed):
    """The same picture as PNG is decoded whole and then cut."""
    jpeg = tf.io.encode_jpeg(smooth_image(375, 500, seed), quality=95)
    png = tf.io.encode_png(decoding.decode(jpeg, 3))
    found, expected = (
        decoding.decode_random_crop(
            content, SHAPE, "center", tf.constant([seed, 0])
        ).numpy()
        for content in (jpeg, png)
    )
    np.testing.assert_array_equal(found, expected)


def test_whole_pipeline_at_224(pictures):
    dataset = load(DataConfig("folder", SHAPE, MEAN, STD, 3), pictures)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (9, 3, 3)
    images, labels = read_all(dataset.train(4, IMAGENET, 0, 0, 2))
    assert images.shape == (16, *SHAPE) and labels.shape == (16, 3)
    pixels = (images * STD + MEAN) * 255
    assert pixels.min() > -0.01 and pixels.max() < 255.01 and np.ptp(pixels) > 200
    again, _ = read_all(dataset.train(4, IMAGENET, 0, 1, 2))
    np.testing.assert_array_equal(images[8:], again)


def test_evaluation_at_224(pictures):
    dataset = load(DataConfig("folder", SHAPE, MEAN, STD, 3), pictures)
    images, labels = read_all(dataset.test(2))
    content = (pictures / "test" / "class_1" / "1.jpeg").read_bytes()
    expected = decoding.decode_framed(content, SHAPE, "center").numpy() / 255
    np.testing.assert_allclose(images[1], (expected - MEAN) / STD, atol=1e-5)
    np.testing.assert_array_equal(labels, np.eye(3))
