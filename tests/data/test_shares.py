"""Hosts that share batches: their parts are the batches, and each decodes its own."""

import numpy as np
import pytest
from image_samples import make_array_dataset, random_images, write_image

from r2b_keras.data import Augmentation, DataConfig, decoding, load
from r2b_keras.data.shares import Share
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

CROPPED = Augmentation(random_resized_crop=True)
BATCH = 12


@pytest.fixture
def folder(tmp_path):
    """40 pictures, 20 of each class."""
    for number, image in enumerate(random_images(40, (24, 24, 3))):
        write_image(tmp_path / f"class_{number % 2}" / f"{number}.png", image)
    config = DataConfig("folder", (16, 16, 3), (0.4,) * 3, (0.2,) * 3, 0)
    return load(config, tmp_path)


def batches(dataset, augmentation, share=None):
    options = {} if share is None else {"share": share}
    return list(
        dataset.train(BATCH, augmentation, 5, 1, 3, **options).as_numpy_iterator()
    )


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(
    ("kind", "augmentation"),
    [
        ("arrays", Augmentation()),
        ("files", Augmentation()),
        # Drawn for each example, wherever it is decoded.
        ("files", CROPPED),
    ],
)
def test_parts_together_are_the_batches(folder, kind, augmentation, count):
    dataset = folder if kind == "files" else make_array_dataset()
    whole = batches(dataset, augmentation)
    parts = [batches(dataset, augmentation, Share(i, count)) for i in range(count)]
    assert len(whole) == 2 * dataset.steps_per_epoch(BATCH)
    for expected, *found in zip(whole, *parts, strict=True):
        assert all(len(images) == BATCH // count for images, _ in found)
        for one, others in zip(expected, zip(*found, strict=True), strict=True):
            np.testing.assert_array_equal(one, np.concatenate(others))


def test_a_host_decodes_its_own_images_alone(folder, monkeypatch):
    decoded = tf.Variable(0)
    decode = decoding.decode_framed

    def counted(*arguments):
        decoded.assign_add(1)
        return decode(*arguments)

    monkeypatch.setattr(decoding, "decode_framed", counted)
    found = batches(folder, Augmentation(), Share(1, 3))
    assert decoded.numpy() == sum(len(images) for images, _ in found)


def test_augmentation_differs_between_hosts_and_repeats():
    dataset, jitter = make_array_dataset(), Augmentation(color_jitter=0.5)
    dataset._train.images[:] = 128
    first, again, other = (
        batches(dataset, jitter, Share(index, 2))[0][0] for index in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


def test_a_batch_that_hosts_cannot_share():
    with pytest.raises(
        InputError, match="batch_size is 12, expected a multiple of .*5"
    ):
        batches(make_array_dataset(), Augmentation(), Share(0, 5))
