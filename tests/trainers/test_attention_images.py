"""Attention maps in TensorBoard: the maps, the pictures, and that nothing changes."""

import io

import numpy as np
import pytest
from PIL import Image
from small_distillers import (
    TAPS,
    TEACHER_TAPS,
    compiled,
    outputs,
    student_network,
    taught,
    teacher_network,
)
from small_networks import (
    assert_all_equal,
    classes,
    images,
    one_hot,
    plain,
    values,
)
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from r2b_keras.environment import tf
from r2b_keras.trainers.attention_images import GAP, AttentionImages, grid

# The test networks take two channels, which are no picture.
SHOWN = np.linspace(0, 1, 2 * 5 * 7).reshape(2, 5, 7, 1)


def numpy_map(features):
    squares = np.square(features).sum(-1)
    return squares / np.sqrt(np.square(squares).sum((1, 2), keepdims=True))


def fit(model, *callbacks):
    data = tf.data.Dataset.from_tensor_slices((images(8), one_hot(classes(8))))
    model.fit(data.batch(4), epochs=2, callbacks=callbacks, verbose=0)
    return model


def test_maps_are_those_of_equation_2():
    model = taught()
    found = model.attention_maps(images(3))
    own = outputs(model.student, TAPS, images(3))
    theirs = outputs(teacher_network(), TEACHER_TAPS, images(3))
    assert list(found) == list(TAPS)
    for tap, mine, other in zip(TAPS, own, theirs, strict=True):
        np.testing.assert_allclose(found[tap][0], numpy_map(mine), atol=1e-6)
        np.testing.assert_allclose(found[tap][1], numpy_map(other), atol=1e-6)
        # Eq. 2 compares maps of norm 1.
        norms = np.sqrt(np.square(found[tap][0]).sum((1, 2)))
        np.testing.assert_allclose(norms, 1, atol=1e-6)


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


def test_pictures_are_written_each_epoch(tmp_path):
    fit(taught(), AttentionImages(tmp_path, images(2), SHOWN))
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    tags = [f"attention/{tap}" for tap in TAPS]
    assert sorted(events.Tags()["tensors"]) == sorted(tags)
    for tag in tags:
        written = events.Tensors(tag)
        assert [event.step for event in written] == [0, 1]
        png = written[0].tensor_proto.string_val[2]
        assert Image.open(io.BytesIO(png)).size == (3 * 56 + 2 * GAP, 2 * 56 + GAP)


def test_maps_that_no_loss_compares_are_shown(tmp_path):
    """As in the last stage of the paper, which listens to the logits alone."""
    model = taught(attention_weight=0.0)
    assert model.tap_pairs == ()
    assert model.map_pairs == tuple(zip(TAPS, TEACHER_TAPS, strict=True))
    matched = taught().attention_maps(images(3))
    for tap, (own, other) in model.attention_maps(images(3)).items():
        np.testing.assert_array_equal(own, matched[tap][0])
        np.testing.assert_array_equal(other, matched[tap][1])
    fit(model, AttentionImages(tmp_path, images(2), SHOWN))
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0}).Reload()
    assert sorted(events.Tags()["tensors"]) == [f"attention/{tap}" for tap in TAPS]


def test_only_taps_that_fit_are_shown():
    """A teacher of other sizes, and one that has the second tap alone."""
    teacher = plain(("first", "second"), channels=6, strides=2)
    same = plain(("other", "second"), channels=6, name="teacher")
    for other, pairs in ((teacher, ()), (same, (("tap_2", "second"),))):
        model = taught(teacher=other, attention_weight=0.0)
        assert model.map_pairs == pairs
        assert list(model.attention_maps(images(2))) == [own for own, _ in pairs]
    missing = taught(attention_weight=0.0, taps=("none", "tap_2"))
    assert missing.map_pairs == (("tap_2", "second"),)


@pytest.mark.parametrize("weight", [2.0, 0.0])
def test_training_stays_the_same_to_the_bit(tmp_path, weight):
    def model():
        optimizer = tf.keras.optimizers.Adam(0.01)
        return taught(eager=False, optimizer=optimizer, attention_weight=weight)

    plainly = fit(model())
    watched = fit(model(), AttentionImages(tmp_path, images(2), SHOWN))
    assert list(tmp_path.iterdir())
    assert_all_equal(values(watched.student.weights), values(plainly.student.weights))
    assert_all_equal(
        values(watched.optimizer.variables), values(plainly.optimizer.variables)
    )


def test_nothing_without_a_teacher(tmp_path):
    model = compiled(student_network())
    assert model.map_pairs == () and model.attention_maps(images(2)) == {}
    fit(model, AttentionImages(tmp_path, images(2), SHOWN))
    assert not list(tmp_path.iterdir())
