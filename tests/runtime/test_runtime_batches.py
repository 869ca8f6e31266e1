"""Batches in r2b_runtime.Interpreter: images that change each other's scores."""

import numpy as np
import pytest
from graph_files import GraphFile

from r2b_runtime import Interpreter, refusals
from tests.converters.small_flatbuffers import refusal


def images(num, shape):
    return np.random.default_rng(0).normal(size=(num, *shape)).astype(np.float32)


def mixing(share, size=1.0):
    """Three numbers, minus a share of the mean of the batch, all times a size."""
    file = GraphFile()
    image = file.input("float", (1, 3))
    mean, part, result = (file.tensor("float", (1, 3)) for _ in range(3))
    axis = file.constant("packed", np.zeros(1))
    file.builtin("MEAN", [image, axis], mean, keepDims=True)
    factor = file.constant("float", np.full(1, share))
    file.builtin("MUL", [mean, factor], part)
    file.builtin("SUB", [image, part], result)
    scaled = file.tensor("float", (1, 3))
    factor = file.constant("float", np.full(1, size))
    file.builtin("MUL", [result, factor], scaled)
    return file.content(scaled)


@pytest.mark.parametrize("share", [1.0, 0.01])
def test_networks_that_mix_the_images_of_a_batch_are_refused(share):
    x = images(3, (3,))
    alone = Interpreter(mixing(share)).predict(x)
    np.testing.assert_allclose(alone, (1 - share) * x, rtol=1e-5)
    message = refusal(Interpreter, mixing(share), batch_size=2)
    assert "does not run batches of 2 images" in message
    assert "change each other's scores" in message


def test_the_last_image_of_a_batch_is_looked_at_too():
    """Each less half of the first, which alone keeps its score."""
    file, shape = GraphFile(), (1, 3)
    image = file.input("float", shape)
    place = [file.constant("packed", np.array(x)) for x in ([0, 0], [1, 3])]
    first = file.builtin("SLICE", [image, *place], file.tensor("float", shape))
    half = file.constant("float", np.full(1, 0.5))
    part = file.builtin("MUL", [first, half], file.tensor("float", shape))
    result = file.builtin("SUB", [image, part], file.tensor("float", shape))
    message = refusal(Interpreter, file.content(result), batch_size=2)
    assert "change each other's scores" in message


def gated(bias):
    """Probabilities of a map whose gate, [N, C], takes another image's where N = W."""
    file = GraphFile()
    image = file.input("float", (1, 4, 4, 3))
    axes = file.constant("packed", np.array([1, 2]))
    means, gate, pooled, scores = (file.tensor("float", (1, 3)) for _ in range(4))
    file.builtin("MEAN", [image, axes], means, keepDims=False)
    file.builtin("LOGISTIC", [means], gate)
    scaled = file.tensor("float", (1, 4, 4, 3))
    file.builtin("MUL", [image, gate], scaled)
    file.builtin("MEAN", [scaled, axes], pooled, keepDims=False)
    biased = file.tensor("float", (1, 3))
    file.builtin("ADD", [pooled, file.constant("float", np.array(bias))], biased)
    file.builtin("SOFTMAX", [biased], scores, beta=1.0)
    return file.content(scores)


@pytest.mark.parametrize("bias", [[0.0, 0.0, 0.0], [0.0, 0.0, 40.0]])
def test_images_are_told_apart_by_what_probabilities_were_made_of(bias):
    """However sure of one class they are."""
    message = refusal(Interpreter, gated(bias), batch_size=4)
    assert "change each other's scores" in message
    # Of another number of images the gate does not fit the map.
    assert "does not run batches of 3" in refusal(
        Interpreter, gated(bias), batch_size=3
    )
    assert Interpreter(gated(bias)).predict(images(2, (4, 4, 3))).shape == (2, 3)


def test_scores_that_are_no_probabilities_may_be_nearly_0():
    """As hard sigmoids give them, which logarithms would tell apart."""
    expected = np.array([[0, 0.2, 0.9], [0.5, 0, 1]], np.float32)
    assert refusals.alike(expected + np.float32(6e-8), expected)
    assert not refusals.alike(expected + np.float32(2e-3), expected)
    sure = np.array([[1, 1e-12]], np.float32)
    assert refusals.alike(sure, sure)
    assert not refusals.alike(np.array([[1, 2e-12]], np.float32), sure)


def test_a_network_for_one_batch_alone_says_so():
    file = GraphFile()
    image, scores = file.input("float", (3, 2, 2, 3)), file.tensor("float", (3, 12))
    shape = file.constant("packed", np.array([3, 12]))
    file.builtin("RESHAPE", [image, shape], scores)
    message = refusal(Interpreter, file.content(scores))
    assert "was made for batches of 3, convert it for one image" in message


def test_images_are_told_apart_by_small_scores_too():
    """As a flat softmax over a thousand classes has them."""
    message = refusal(Interpreter, mixing(0.01, size=3e-4), batch_size=2)
    assert "change each other's scores" in message


@pytest.mark.parametrize(("axes", "shape"), [((0, 1, 2), (5,)), ((0, 2), (4, 5))])
def test_scores_that_are_not_of_each_image(axes, shape):
    """Means over all images, of which predict would take a part for each."""
    file = GraphFile()
    image = file.input("float", (1, 4, 3, 5))
    mean = file.constant("packed", np.array(axes))
    content = file.content(
        file.builtin("MEAN", [image, mean], file.tensor("float", shape))
    )
    message = refusal(Interpreter, content)
    assert f"gives the shape {shape} for 1 images, expected (1, K)" in message
