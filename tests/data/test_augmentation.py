"""Every augmentation against an independent NumPy computation."""

import itertools

import numpy as np
import pytest
import scipy.stats
from image_samples import random_images

from r2b_keras.data import Augmentation, augmentation
from r2b_keras.environment import tf

SEED = tf.constant([3, 4], tf.int64)


def moved_by_hand(image, flip, dx, dy, pad):
    """Flip, pad with black, cut out a window: by slicing."""
    image = image[:, ::-1] if flip else image
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    height, width = image.shape[:2]
    return padded[pad + dy : pad + dy + height, pad + dx : pad + dx + width]


@pytest.mark.parametrize("shape", [(8, 8, 1), (7, 11, 3), (28, 28, 1)])
@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_flip_and_crop_are_exact_moves_of_pixels(shape, pad, flip):
    images = random_images(40, shape)
    chosen = Augmentation(flip=flip, pad_and_crop=pad)
    flips, shifts, angles = (
        each.numpy() for each in augmentation.draw_moves(40, chosen, SEED)
    )
    moved = augmentation.move(images, chosen, SEED).numpy()
    expected = [
        moved_by_hand(image, f, int(dx), int(dy), pad)
        for image, f, dx, dy in zip(images, flips, *shifts, strict=True)
    ]
    np.testing.assert_array_equal(moved, expected)
    assert not angles.any()
    assert set(flips) == ({0.0, 1.0} if flip else {0.0})
    assert set(shifts.ravel()) == set(range(-pad, pad + 1))


def rotated_by_hand(image, flip, dx, dy, angle):
    """Bilinear, outside black: rotate about the centre, then shift, then flip."""
    height, width = image.shape[:2]
    padded = np.pad(image.astype(np.float64), ((50, 50), (50, 50), (0, 0)))
    result = np.zeros(image.shape)
    for y in range(height):
        for x in range(width):
            cx, cy = x - (width - 1) / 2, y - (height - 1) / 2
            sx = np.cos(angle) * cx - np.sin(angle) * cy + (width - 1) / 2 + dx
            sy = np.sin(angle) * cx + np.cos(angle) * cy + (height - 1) / 2 + dy
            sx = width - 1 - sx if flip else sx
            left, top = int(np.floor(sx)), int(np.floor(sy))
            for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
                weight = (1 - abs(sy - top - i)) * (1 - abs(sx - left - j))
                result[y, x] += weight * padded[top + i + 50, left + j + 50]
    return result


def test_rotation_with_flip_and_crop():
    images = random_images(12, (9, 12, 3))
    chosen = Augmentation(flip=True, pad_and_crop=2, rotation_degrees=40)
    flips, shifts, angles = (
        each.numpy() for each in augmentation.draw_moves(12, chosen, SEED)
    )
    assert np.abs(angles).max() <= np.radians(40)
    assert angles.min() < -0.2 and angles.max() > 0.2
    moved = augmentation.move(images, chosen, SEED).numpy()
    expected = [
        rotated_by_hand(image, f, dx, dy, angle)
        for image, f, dx, dy, angle in zip(images, flips, *shifts, angles, strict=True)
    ]
    # float32 positions are off by about 1e-6 pixels, times a step of up to 255.
    np.testing.assert_allclose(moved, expected, atol=5e-3)


@pytest.mark.parametrize("channels", [1, 3])
def test_colour_jitter_one_step_after_the_other(channels):
    images = random_images(9, (5, 6, channels)).astype(np.float32)
    factors = augmentation.draw_factors(9, 0.4, SEED).numpy()
    assert factors.min() >= 0.6 and factors.max() <= 1.4 and np.ptp(factors) > 0.5
    weights = {1: [1.0], 3: [0.299, 0.587, 0.114]}[channels]
    expected = []
    for image, brightness, contrast, saturation in zip(images, *factors, strict=True):
        image = brightness * image
        mean = (image @ weights).mean()
        image = mean + contrast * (image - mean)
        grey = (image @ weights)[..., np.newaxis]
        image = grey + saturation * (image - grey) if channels == 3 else image
        expected.append(np.clip(image, 0, 255))
    jittered = augmentation.jitter_colors(tf.constant(images), 0.4, SEED).numpy()
    np.testing.assert_allclose(jittered, expected, atol=1e-3)
    assert (jittered == 255).any(), "nothing was clipped: the test shows too little"


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0])
def test_mix_up_given_its_share(alpha):
    images = random_images(5, (4, 4, 1)).astype(np.float32)
    labels = np.eye(5, dtype=np.float32)[[0, 0, 1, 2, 4]]
    share = augmentation.draw_share(alpha, SEED).numpy()
    assert 0 <= share <= 1
    mixed_images, mixed_labels = augmentation.mix_up(images, labels, alpha, SEED)
    for i in range(5):
        np.testing.assert_allclose(
            mixed_images[i], share * images[i] + (1 - share) * images[i - 1], atol=1e-4
        )
        np.testing.assert_allclose(
            mixed_labels[i], share * labels[i] + (1 - share) * labels[i - 1], atol=1e-6
        )
    np.testing.assert_allclose(mixed_labels.numpy().sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_beta_distributed(alpha):
    """Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1))."""
    num = 2000
    seeds = tf.stack([tf.range(num), tf.ones(num, tf.int32)], axis=1)

    @tf.function
    def draw_all():
        return tf.map_fn(
            lambda seed: augmentation.draw_share(alpha, seed), seeds, tf.float32
        )

    shares = draw_all().numpy()
    variance = 1 / (4 * (2 * alpha + 1))
    # Four standard errors; the variance of the variance is at most 1/16 of a share.
    assert abs(shares.mean() - 0.5) < 4 * np.sqrt(variance / num)
    assert abs(shares.var() - variance) < 4 * 0.125 / np.sqrt(num)


NUM_DRAWS = 4000


def assert_uniform(values, low, high):
    """Over the whole range, and each image's draw apart from its neighbour's."""
    found = scipy.stats.kstest(values, "uniform", (low, high - low))
    assert found.pvalue > 1e-3
    assert_unrelated(values[1:], values[:-1])


def assert_unrelated(one, other):
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(len(one))


def test_moves_are_uniform_and_unrelated():
    chosen = Augmentation(flip=True, pad_and_crop=4, rotation_degrees=30)
    flips, (right, down), angles = (
        each.numpy() for each in augmentation.draw_moves(NUM_DRAWS, chosen, SEED)
    )
    limit = np.radians(30)
    assert_uniform(angles, -limit, limit)
    for values, options in ((flips, 2), (right, 9), (down, 9)):
        _, counts = np.unique(values, return_counts=True)
        assert len(counts) == options
        assert scipy.stats.chisquare(counts).pvalue > 1e-3
        assert_unrelated(values[1:], values[:-1])
    for one, other in itertools.combinations((flips, right, down, angles), 2):
        assert_unrelated(one, other)


def test_windows_are_uniform_and_unrelated():
    """Where no window is cut, up to an area of 3/4."""
    ramps = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1) / 7
    images = np.broadcast_to(ramps, (NUM_DRAWS, 8, 8, 2)).astype(np.float32)
    crops = augmentation.crop_and_resize(images, 1.0, 0.25, SEED).numpy()
    left, top = crops[:, 0, 0].T
    wide, tall = crops[:, -1, -1].T - (left, top)
    small = wide * tall < 0.74
    assert scipy.stats.binomtest(int(small.sum()), NUM_DRAWS, 0.49 / 0.75).pvalue > 1e-3
    left, top, wide, tall = (values[small] for values in (left, top, wide, tall))
    draws = {
        "area": (wide * tall, 0.25, 0.74),
        "aspect": (np.log(wide / tall), np.log(3 / 4), np.log(4 / 3)),
        "left": (left / (1 - wide), 0, 1),
        "top": (top / (1 - tall), 0, 1),
    }
    for values, low, high in draws.values():
        assert_uniform(values, low, high)
    for one, other in itertools.combinations(draws, 2):
        assert_unrelated(draws[one][0], draws[other][0])


@pytest.mark.parametrize("least", [0.08, 0.5])
def test_random_resized_crop_of_a_batch(least):
    """On ramps in x and y the corners of the result tell the window."""
    height, width, num = 20, 30, 200
    ramps = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
    images = np.broadcast_to(ramps, (num, height, width, 2)).astype(np.float32)
    crops = augmentation.crop_and_resize(images, 1.0, least, SEED).numpy()
    assert crops.shape == images.shape
    left, top = crops[:, 0, 0].T
    right, bottom = crops[:, -1, -1].T
    expected = np.linspace(crops[:, 0, 0], crops[:, -1, -1], height, axis=1)
    np.testing.assert_allclose(crops[:, :, 0, 1], expected[..., 1], atol=1e-3)
    wide, tall = (right - left) / (width - 1), (bottom - top) / (height - 1)
    area, aspect = wide * tall, wide / tall
    # A window is cut where it is longer than the image.
    assert area.min() > 0.75 * least and area.max() <= 1 + 1e-5
    assert area.min() < least + 0.12 and area.max() > 0.8
    uncut = (wide < 0.999) & (tall < 0.999)
    assert uncut.sum() > (100 if least < 0.1 else 20)
    assert area[uncut].min() > least - 1e-3
    assert np.all((aspect > 0.7499) & (aspect < 1.3334) | ~uncut)
    assert left.min() >= -1e-4 and bottom.max() <= height - 1 + 1e-4


def test_nothing_asked_nothing_done():
    images = random_images(3, (5, 5, 3))
    result = augmentation.augment(tf.constant(images), Augmentation(), SEED)
    np.testing.assert_array_equal(result, images.astype(np.float32))


def test_levels_are_rounded_not_cut_off():
    chosen = Augmentation(color_jitter=0.4)
    images = tf.constant(random_images(6, (5, 5, 3)))
    found = augmentation.augment(images, chosen, SEED)
    exact = augmentation.augment(tf.cast(images, tf.float32), chosen, SEED)
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, np.round(exact))
    assert (np.floor(exact) != np.round(exact)).any()
