"""Draws of an epoch: of arrays and of files alike, other ones each time."""

import numpy as np
import pytest
from image_samples import make_array_dataset, random_images, write_image

from r2b_keras.data import (
    Augmentation,
    DataConfig,
    ImageDataset,
    augmentation,
    decoding,
    load,
)
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.seeds import Epochs
from r2b_keras.data.sources import Source
from r2b_keras.environment import tf


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


def examples_of_larger_pictures(kind, folder):
    pictures = random_images(8, (24, 40, 3))
    if kind == "files":
        return of_files(folder, pictures)._train
    return ArrayExamples(pictures, np.arange(8) % 2, (16, 16, 3), "center")


@pytest.mark.parametrize("kind", ["arrays", "files"])
def test_training_sees_the_window_that_evaluation_sees(tmp_path, kind):
    examples = examples_of_larger_pictures(kind, tmp_path)
    size = examples.num_examples
    ((drawn, *_),) = examples.train_batches(Augmentation(), Epochs(range(1), size, 0))
    ((seen, _),) = examples.ordered_batches(size)
    assert {image.tobytes() for image in drawn.numpy()} == {
        image.tobytes() for image in seen.numpy()
    }


def test_crops_of_files_are_cut_as_asked_for(tmp_path, monkeypatch):
    asked, cut = [], decoding.decode_random_crop

    def record(encoded, *options):
        asked.append(options[:3])
        return cut(encoded, *options)

    monkeypatch.setattr(decoding, "decode_random_crop", record)
    examples = examples_of_larger_pictures("files", tmp_path)
    chosen = Augmentation(random_resized_crop=True, crop_area=0.5)
    list(examples.train_batches(chosen, Epochs(range(1), 2, 0)))
    assert asked == [((16, 16, 3), "center", 0.5)]  # traced once


def test_colours_are_changed_after_pixels_were_moved():
    """The black around a shifted picture is part of its contrast."""
    white = tf.fill([20, 8, 8, 3], tf.constant(255, tf.uint8))
    chosen = Augmentation(pad_and_crop=4, color_jitter=0.9)
    found = augmentation.augment(white, chosen, tf.constant([3, 4], tf.int64))
    assert len({pixel.tobytes() for pixel in found.numpy().reshape(-1, 3)}) > 20


def test_no_class_is_held_out_as_a_whole():
    labels = np.array([0] * 6 + [1])
    parts = [ArrayExamples(random_images(7, (4, 4, 1)), labels, (4, 4, 1))] * 2
    config = DataConfig("idx", (4, 4, 1), (0.5,), (0.5,), validation_size=5)
    assert ImageDataset(config, Source(*parts, ("a", "b"))).class_counts == (1, 1)
