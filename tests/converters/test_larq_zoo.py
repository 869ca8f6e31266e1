"""larq-zoo's weights in our network: the same outputs.

`larq_zoo_fixture.json` holds what larq-zoo's own network gave for random weights.
"""

import numpy as np
import pytest
import scipy.special
from larq_zoo_checks import (
    BIAS,
    FIXTURE,
    KERNEL,
    SHAPES,
    STEM,
    WITHOUT_TOP,
    our_values,
    sparse_file,
)
from larq_zoo_weights import (
    IMAGE_SHAPE,
    images,
    is_binary,
    random_weights,
    write_file,
)

from r2b_keras.environment import lq, tf
from r2b_keras.models import build_network, larq_zoo
from r2b_keras.models.saved import is_weights_only
from r2b_keras.trainers.handover import hand_over
from r2b_keras.trainers.trained import load_trained
from r2b_keras.trainers.workdir import Workdir


@pytest.fixture(scope="module")
def weights():
    return random_weights(SHAPES, FIXTURE["seed"])


@pytest.fixture(scope="module")
def loaded(weights, tmp_path_factory):
    """Our network from a file of all the random weights, 48 MB."""
    path = tmp_path_factory.mktemp("larq_zoo") / "r2b_weights.h5"
    write_file(path, weights)
    yield larq_zoo.load_weights(path, IMAGE_SHAPE)
    path.unlink()


def test_random_weights_are_worth_comparing(weights):
    """Gammas of both signs, statistics off 0 and 1, outputs that are not saturated."""
    gammas = [weights[name] for name in weights if name.endswith("/gamma")]
    assert len(gammas) == 20
    for gamma in gammas:
        assert -1.5 < gamma.min() < -0.5
        assert 0.5 < gamma.max() < 1.5
    for name in weights:
        if name.endswith("/moving_variance"):
            assert weights[name].min() > 0.2
            assert weights[name].std() > 0.3
        if name.endswith("/moving_mean"):
            assert weights[name].std() > 0.2
    probabilities = FIXTURE["probabilities"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert probabilities.max() < 0.5
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.1
    assert probabilities[0].argmax() != probabilities[1].argmax()


def test_the_weights_are_one_to_one(loaded):
    """As many weights as larq-zoo says, under its names, in its shapes."""
    ours = our_values(loaded)
    assert {name: ours[name].shape for name in ours} == SHAPES
    assert len(ours) == len(loaded.weights) == 151
    assert loaded.count_params() == 11_995_624
    assert sum(np.prod(SHAPES[name]) for name in SHAPES) == 11_995_624


def test_every_weight_has_the_value_in_the_file(loaded, weights):
    ours = our_values(loaded)
    for name in weights:
        np.testing.assert_array_equal(ours[name], weights[name], err_msg=name)


def test_same_outputs_as_larq_zoo(loaded):
    """To 1e-5, on two images and random weights.

    The two differ in the order of float32's sums only. In principle that can turn a
    sign: the fixture's seed keeps every value that one is taken of 1e-5 away from 0,
    and those next to 0 differ by less than 1e-6.
    """
    assert FIXTURE["smallest_input_of_a_sign"] > 1e-5
    logits = loaded(images(FIXTURE["seed"]), training=False).numpy()
    expected = FIXTURE["probabilities"]
    found = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    # The small ones as well: of a thousand classes, most are below 1e-3.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0)


def test_signs_of_the_weights_are_enough(loaded, weights):
    """A file of binary kernels, as larq can write them, is the same network."""
    binary = [name for name in weights if is_binary(name)]
    assert len(binary) == 16
    x = images(FIXTURE["seed"])
    expected = loaded(x, training=False).numpy()
    named = larq_zoo.named_weights(loaded)
    try:
        for name in binary:
            named[name].assign(np.sign(weights[name]))
        np.testing.assert_array_equal(loaded(x, training=False), expected)
    finally:
        for name in binary:
            named[name].assign(weights[name])


def test_network_is_the_one_that_its_value_describes(loaded):
    convolutions = [
        layer for layer in loaded.layers if isinstance(layer, lq.layers.QuantConv2D)
    ]
    assert len(convolutions) == 16
    for layer in convolutions:
        assert layer.input_quantizer.precision == layer.kernel_quantizer.precision == 1
    assert loaded.name == "real_to_binary18_binary"
    assert loaded.input_shape == (None, *IMAGE_SHAPE)
    assert loaded.output_shape == (None, 1000)


@pytest.mark.parametrize("shapes", [WITHOUT_TOP, SHAPES], ids=["notop", "top"])
def test_new_classifier(shapes, tmp_path):
    """Fresh weights for as many classes as asked for, the file's in all the others."""
    values = {STEM: np.full(SHAPES[STEM], 0.5, "float32")}
    if BIAS in shapes:
        values[BIAS] = np.ones(SHAPES[BIAS], "float32")
    path = sparse_file(tmp_path, shapes, **values)
    model = larq_zoo.load_weights(path, new_classifier=7)
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 7)
    ours = our_values(model)
    assert ours[KERNEL].shape == (512, 7)
    assert ours[KERNEL].std() > 0.01
    assert not ours[BIAS].any()
    for name in WITHOUT_TOP:
        assert (ours[name] == (0.5 if name == STEM else 0)).all(), name


@pytest.mark.usefixtures("built_once")
def test_number_of_classes_is_the_file_s(tmp_path):
    shapes = {**SHAPES, KERNEL: (512, 12), BIAS: (12,)}
    bias = np.arange(12, dtype="float32")
    path = sparse_file(tmp_path, shapes, **{BIAS: bias})
    model = larq_zoo.load_weights(path, IMAGE_SHAPE)
    assert model.output_shape == (None, 12)
    np.testing.assert_array_equal(our_values(model)[BIAS], bias)


def test_a_stage_starts_from_the_file(tmp_path):
    path = sparse_file(tmp_path, SHAPES, **{STEM: np.ones(SHAPES[STEM], np.float32)})
    source = load_trained(Workdir(tmp_path), str(path), IMAGE_SHAPE)
    student = build_network(larq_zoo.NETWORK, IMAGE_SHAPE, 5)
    new = hand_over(source, student, new_classifier=True)
    assert "1000 classes, these images 5" in new
    np.testing.assert_array_equal(student.get_layer("stem_conv").kernel, 1)
    assert np.std(student.get_layer("logits").kernel) > 0


def test_networks_and_weights_are_told_apart(tmp_path):
    network = tf.keras.Sequential(
        [tf.keras.Input((2, 2, 1)), tf.keras.layers.Flatten()]
    )
    with pytest.warns(UserWarning, match="HDF5"):
        network.save(tmp_path / "whole.h5")
    network.save(tmp_path / "whole.keras")
    network.save_weights(tmp_path / "weights.h5")
    names = ("weights.h5", "whole.h5", "whole.keras", "missing.h5")
    found = [is_weights_only(tmp_path / name) for name in names]
    assert found == [True, False, False, False]
