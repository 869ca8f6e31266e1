"""Attention maps of two networks: the maps, the pictures, and that nothing changes."""

import io

import numpy as np
import pytest
from numpy_losses import numpy_map
from PIL import Image
from small_distillers import outputs, taught
from small_networks import (
    assert_all_equal,
    classes,
    images,
    one_hot,
    plain,
    randomize,
    real_to_binary,
    values,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from r2b_keras.environment import tf
from r2b_keras.trainers.attention_images import (
    GAP,
    AttentionImages,
    attention_maps,
    grid,
)

BLOCKS = ("block_1", "block_2")
# The test networks take two channels, which are no picture.
SHOWN = np.linspace(0, 1, 2 * 5 * 7).reshape(2, 5, 7, 1)


def network(seed, blocks=BLOCKS, **options):
    return randomize(plain(blocks, **options), seed)


def fit(model, *callbacks):
    data = tf.data.Dataset.from_tensor_slices((images(8), one_hot(classes(8))))
    model.fit(data.batch(4), epochs=2, callbacks=callbacks, verbose=0)
    return model


def test_maps_are_those_of_equation_2():
    student, teacher = network(8), network(9, channels=6)
    found = attention_maps(student, teacher, images(3))
    assert list(found) == list(BLOCKS)
    for model, place in ((student, 0), (teacher, 1)):
        for block, features in zip(
            BLOCKS, outputs(model, BLOCKS, images(3)), strict=True
        ):
            maps = found[block][place]
            expected = numpy_map(features)
            expected /= np.linalg.norm(expected, axis=1, keepdims=True)
            np.testing.assert_allclose(maps.reshape(3, -1), expected, atol=1e-6)


def test_networks_infer_for_their_maps():
    """BatchNorm takes and keeps its averages, whatever images are shown."""
    student, teacher = (randomize(real_to_binary(kind)) for kind in ("binary", "soft"))
    before = values([*student.weights, *teacher.weights])
    together = attention_maps(student, teacher, images(3))
    alone = attention_maps(student, teacher, images(3)[:1])
    assert_all_equal(values([*student.weights, *teacher.weights]), before)
    assert list(alone) == list(together) == list(BLOCKS)
    for block, pair in alone.items():
        for one, three in zip(pair, together[block], strict=True):
            np.testing.assert_allclose(one[0], three[0], atol=1e-5)


@pytest.mark.parametrize(
    ("teacher", "shown"),
    [
        (lambda: network(9, strides=2), []),
        (lambda: network(9, ("other", "block_2")), ["block_2"]),
        (lambda: network(9, ("first", "second")), []),
    ],
    ids=["other sizes", "one block alone", "no blocks"],
)
def test_only_blocks_that_fit_are_shown(teacher, shown):
    assert list(attention_maps(network(8), teacher(), images(2))) == shown


def test_what_is_matched_is_shown_whatever_its_name():
    student, teacher = network(8), network(9, ("first", "block_1"))
    pairs = (("block_1", "first"), ("block_2", "block_1"))
    found = attention_maps(student, teacher, images(2), pairs)
    assert list(found) == list(BLOCKS)
    names = ("first", "block_1")
    for (_, maps), features in zip(
        found.values(), outputs(teacher, names, images(2)), strict=True
    ):
        expected = numpy_map(features)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(maps.reshape(2, -1), expected, atol=1e-6)


def test_a_picture_by_hand():
    image = np.array([[[0.0], [1.0]]])  # one row of two pixels
    student = np.array([[0.2, 0.4]])
    teacher = np.array([[0.8, 0.0]])
    picture = grid(image[None], student[None], teacher[None], cell=2)
    assert picture.shape == (2, 3 * 2 + 2 * GAP, 3)
    np.testing.assert_allclose(picture[..., 0], picture[..., 2])
    row = picture[0, :, 0]
    np.testing.assert_allclose(row, [0, 1, 1, 1, 1, 0, 1, 1, 0.25, 0.5])
    np.testing.assert_array_equal(picture[1], picture[0])


@pytest.mark.parametrize("weight", [2.0, 0.0])
def test_pictures_of_each_epoch_change_no_training(tmp_path, weight):
    """Without a weight too: the last stage of the paper listens to logits alone."""
    teacher = network(9, channels=6, name="teacher")

    def model():
        options = {"taps": BLOCKS, "teacher_taps": BLOCKS, "attention_weight": weight}
        optimizer = tf.keras.optimizers.Adam(0.01)
        return taught(network(8), teacher, True, optimizer, **options)

    plainly = fit(model())
    watched = fit(model(), AttentionImages(tmp_path, teacher, images(2), SHOWN))
    assert_all_equal(values(watched.student.weights), values(plainly.student.weights))
    assert_all_equal(
        values(watched.optimizer.variables), values(plainly.optimizer.variables)
    )
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    tags = [f"attention/{block}" for block in BLOCKS]
    assert sorted(events.Tags()["tensors"]) == tags
    for tag in tags:
        written = events.Tensors(tag)
        assert [event.step for event in written] == [0, 1]
        png = written[0].tensor_proto.string_val[2]
        assert Image.open(io.BytesIO(png)).size == (3 * 56 + 2 * GAP, 2 * 56 + GAP)
