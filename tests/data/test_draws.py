"""Draws of an epoch: of arrays and of files alike, other ones each time."""

import numpy as np
import pytest
from image_samples import make_array_dataset, random_images, write_image

from r2b_keras.data import Augmentation, DataConfig, load


def of_files(folder, pictures, framing="center"):
    for number, picture in enumerate(pictures):
        write_image(folder / f"class_{number % 2}" / f"{number:02}.png", picture)
    size = (16, 16, 3)
    return load(DataConfig("folder", size, (0.0,) * 3, (1.0,) * 3, 0, framing), folder)


def equal_pictures(kind, folder):
    if kind == "files":
        ramp = np.tile(np.arange(24, dtype=np.uint8)[:, None, None] * 10, (1, 24, 3))
        return of_files(folder, [ramp] * 40, "whole")
    dataset = make_array_dataset()
    dataset._train.images[:] = np.arange(7, dtype=np.uint8)[:, None] * 30
    return dataset


def batch(dataset, augmentation, seed=0, epoch=0, step=0):
    batches = dataset.train(8, augmentation, seed, epoch, epoch + 1)
    return list(batches.as_numpy_iterator())[step][0]


@pytest.mark.parametrize("kind", ["arrays", "files"])
@pytest.mark.parametrize(
    "augmentation",
    [Augmentation(flip=True, color_jitter=0.4), Augmentation(random_resized_crop=True)],
    ids=["colours", "crops"],
)
def test_draws_differ_between_images_steps_epochs_and_seeds(
    tmp_path, kind, augmentation
):
    """Of equal pictures: only the draws tell one batch from another."""
    dataset = equal_pictures(kind, tmp_path)
    places = ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    found = [batch(dataset, augmentation, *place) for place in places]
    assert len({each.tobytes() for each in found}) == 4
    assert len({image.tobytes() for image in found[0]}) > 4


def test_a_flip_alone_mirrors_some():
    dataset = equal_pictures("arrays", None)
    plain = batch(dataset, Augmentation())
    flipped = batch(dataset, Augmentation(flip=True))
    same, mirrored = (
        (flipped == other).all(axis=(1, 2, 3)) for other in (plain, plain[:, :, ::-1])
    )
    assert same.any() and mirrored.any() and (same ^ mirrored).all()


def test_what_an_epoch_leaves_out_changes():
    """42 images in batches of 8: the two that are left out are others each time."""
    batches = make_array_dataset().train(8, Augmentation(), 0, 0, 5)
    images = [image for each, _ in batches.as_numpy_iterator() for image in each]
    assert len({image.tobytes() for image in images}) == 42


def test_files_come_in_a_new_order_each_epoch(tmp_path):
    dataset = of_files(tmp_path, random_images(40, (24, 24, 3)))
    orders = set()
    for seed, epoch in ((0, 0), (0, 1), (1, 0)):
        batches = dataset.train(8, Augmentation(), seed, epoch, epoch + 1)
        found = [labels.argmax(1) for _, labels in batches.as_numpy_iterator()]
        order = np.concatenate(found)
        assert np.flatnonzero(np.diff(order)).size > 4  # not class after class
        orders.add(order.tobytes())
    assert len(orders) == 3
