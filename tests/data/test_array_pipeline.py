"""Batches of a set in memory: order, seeds, resuming, labels, normalisation."""

import dataclasses

import numpy as np
import pytest
from image_samples import MEAN, STD, make_array_dataset, random_images, read_all

from r2b_keras.data import Augmentation, DataConfig, ImageDataset
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.sources import Source
from r2b_keras.errors import InputError

PLAIN = Augmentation()
EVERYTHING = Augmentation(
    flip=True, pad_and_crop=2, rotation_degrees=15, color_jitter=0.3, mixup_alpha=0.2
)
CROPPED = Augmentation(random_resized_crop=True, flip=True)
ALL = (PLAIN, EVERYTHING, CROPPED)


def normalised_by_hand(images):
    return (images / 255.0 - np.array(MEAN)) / np.array(STD)


def image_keys(images) -> list[bytes]:
    return [np.round(image, 3).astype(np.float32).tobytes() for image in images]


@pytest.mark.parametrize("augmentation", ALL)
def test_an_epoch_alone_equals_that_epoch_of_the_whole_run(augmentation):
    dataset = make_array_dataset()
    whole = list(dataset.train(8, augmentation, 5, 0, 4).as_numpy_iterator())
    steps = dataset.steps_per_epoch(8)
    assert steps == 5 and len(whole) == 20
    for first in (1, 3):
        resumed = dataset.train(8, augmentation, 5, first, 4).as_numpy_iterator()
        for expected, found in zip(whole[steps * first :], resumed, strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize("augmentation", ALL)
def test_seeds_and_epochs_differ(augmentation):
    dataset = make_array_dataset()
    images, _ = read_all(dataset.train(8, augmentation, 5, 0, 2))
    others, _ = read_all(dataset.train(8, augmentation, 6, 0, 2))
    assert np.mean(images == others) < 0.5
    assert np.mean(images[:40] == images[40:]) < 0.5


def test_a_plain_epoch_holds_different_training_images_with_their_labels():
    dataset = make_array_dataset()
    examples = dataset._train
    known = dict(
        zip(
            image_keys(normalised_by_hand(examples.images[examples.rows])),
            examples.labels,
            strict=True,
        )
    )
    images, labels = read_all(dataset.train(8, PLAIN, 1, 0, 1))
    keys = image_keys(images)
    assert len(set(keys)) == 40
    assert [known[key] for key in keys] == labels.argmax(1).tolist()
    np.testing.assert_array_equal(np.sort(labels, 1)[:, -2:], [[0, 1]] * 40)


def test_shapes_and_types_are_static():
    images, labels = make_array_dataset().train(8, EVERYTHING, 0, 0, 1).element_spec
    assert images.shape == (8, 6, 7, 3) and labels.shape == (8, 3)
    assert images.dtype == labels.dtype == "float32"


@pytest.mark.parametrize(
    ("augmentation", "kind"),
    [
        (PLAIN, "uint8"),
        (CROPPED, "uint8"),
        (Augmentation(flip=True, pad_and_crop=1, color_jitter=0.3), "uint8"),
        (Augmentation(rotation_degrees=10), "float32"),
        (Augmentation(flip=True, mixup_alpha=0.2), "float32"),
        (EVERYTHING, "float32"),
    ],
)
def test_pixels_are_bytes_unless_rotated_or_mixed(augmentation, kind):
    """And become, normalised on a device, what the network sees, to the bit."""
    dataset = make_array_dataset()
    pixels = dataset.train(8, augmentation, 5, 0, 1, normalised=False)
    assert pixels.element_spec[0].dtype == kind
    images, labels = read_all(pixels)
    assert images.min() >= 0 and images.max() <= 255 and images.max() > 200
    expected, same_labels = read_all(dataset.train(8, augmentation, 5, 0, 1))
    np.testing.assert_array_equal(dataset.normalise(images), expected)
    np.testing.assert_array_equal(labels, same_labels)


def test_evaluation_parts_are_bytes_too():
    dataset = make_array_dataset()
    for part in (dataset.validation, dataset.test):
        images, _ = read_all(part(3, normalised=False))
        assert images.dtype == np.uint8
        np.testing.assert_array_equal(dataset.normalise(images), read_all(part(3))[0])


def test_cardinality_is_known():
    assert make_array_dataset().train(8, PLAIN, 0, 1, 4).cardinality() == 15
    assert make_array_dataset().test(4).cardinality() == 3


@pytest.mark.parametrize("batch_size", [1, 4, 11, 64])
def test_evaluation_gives_every_image_once_in_order(batch_size):
    dataset = make_array_dataset()
    images, labels = read_all(dataset.test(batch_size))
    expected = normalised_by_hand(dataset._test.images)
    np.testing.assert_allclose(images, expected, atol=1e-5)
    np.testing.assert_array_equal(labels, np.eye(3)[np.arange(11) % 3])
    again, _ = read_all(dataset.test(batch_size))
    np.testing.assert_array_equal(images, again)


def test_black_and_white_are_normalised_as_written():
    dataset = make_array_dataset(shape=(6, 7, 1))
    dataset._test.images[0], dataset._test.images[1] = 0, 255
    images, _ = read_all(dataset.test(4))
    np.testing.assert_allclose(images[0], -0.4 / 0.25, rtol=1e-6)
    np.testing.assert_allclose(images[1], 0.6 / 0.25, rtol=1e-6)


def test_padding_is_black_before_normalisation():
    dataset = make_array_dataset(shape=(6, 7, 1))
    dataset._train.images[:] = 255
    images, _ = read_all(dataset.train(8, Augmentation(pad_and_crop=2), 0, 0, 1))
    np.testing.assert_allclose(np.unique(images), [-1.6, 2.4], rtol=1e-6)


def test_mixed_labels_sum_to_one_and_mix():
    _, labels = read_all(make_array_dataset().train(8, EVERYTHING, 0, 0, 1))
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    assert ((labels > 0.01) & (labels < 0.99)).any()


def test_validation_is_fixed_and_apart_from_training():
    dataset = make_array_dataset()
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (42, 8, 11)
    validation, _ = read_all(dataset.validation(3))
    training, _ = read_all(dataset.train(42, PLAIN, 9, 0, 1))
    keys = image_keys(training) + image_keys(validation)
    assert len(set(keys)) == 50
    again, _ = read_all(make_array_dataset().validation(8))
    np.testing.assert_array_equal(validation, again)


def test_fingerprint_follows_the_content():
    dataset, other = make_array_dataset(), make_array_dataset(num_train=51)
    assert dataset.fingerprint == make_array_dataset().fingerprint
    assert len(dataset.fingerprint) == 64
    assert dataset.fingerprint != other.fingerprint


def test_refusals_name_the_numbers():
    with pytest.raises(ValueError, match="validation_size is 50, but idx has only 50"):
        make_array_dataset(validation=50)
    dataset = make_array_dataset(validation=0)
    with pytest.raises(ValueError, match="batch_size is 51: expected 1 to 50"):
        dataset.train(51, PLAIN, 0, 0, 1)
    with pytest.raises(ValueError, match="initial_epoch is 2 of 2 epochs"):
        dataset.train(8, PLAIN, 0, 2, 2)
    with pytest.raises(ValueError, match="validation_size is 0"):
        dataset.validation(8)
    with pytest.raises(ValueError, match="batch_size is 0"):
        dataset.test(0)
    assert dataset.find_broken_image() is None


def test_fingerprint_is_of_images_and_labels_of_every_part():
    shape, sizes = (6, 7, 3), {"train": 12, "test": 6, "validation": 3}

    def fingerprint(change=None, part=None):
        parts = {
            name: ArrayExamples(
                random_images(num, shape, num), np.arange(num) % 3, shape
            )
            for name, num in sizes.items()
        }
        if change is not None:
            parts[part] = change(parts[part])
        config = DataConfig("idx", shape, MEAN, STD, 0)
        return ImageDataset(config, Source(**parts, class_names=("a", "b", "c")))

    def pixel(examples):
        examples.images[-1, -1, -1, -1] ^= 1
        return examples

    def labels(examples):
        return dataclasses.replace(examples, labels=np.roll(examples.labels, 1))

    def turned(examples):
        """The same bytes, of other pictures."""
        images = examples.images.reshape(-1, 7, 6, 3)
        return dataclasses.replace(examples, images=images)

    found = {fingerprint().fingerprint} | {
        fingerprint(change, part).fingerprint
        for change in (pixel, labels, turned)
        for part in sizes
    }
    assert len(found) == 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 8.0}, "batch_size is 8.0, expected a whole number"),
        ({"batch_size": True}, "batch_size is True, expected a whole number"),
        ({"batch_size": "8"}, "batch_size is '8', expected a whole number"),
        ({"seed": 1.5}, "seed is 1.5, expected a whole number"),
        ({"seed": None}, "seed is None, expected a whole number"),
        ({"epochs": 2.0}, "epochs is 2.0, expected a whole number"),
        ({"initial_epoch": 0.5}, "initial_epoch is 0.5, expected a whole number"),
    ],
)
def test_what_is_no_whole_number(changes, words):
    arguments = {"batch_size": 8, "augmentation": PLAIN, "seed": 0, **changes}
    with pytest.raises(InputError, match=words):
        make_array_dataset().train(**arguments)


def test_no_sample_of_fewer_than_no_images():
    dataset = make_array_dataset()
    for arguments, words in (
        ((-1, 8), "num_images is -1"),
        ((5, 0), "batch_size is 0"),
    ):
        with pytest.raises(InputError, match=words):
            dataset.sample(*arguments)
    assert len(read_all(dataset.sample(np.int64(5), 8))[0]) == 5
