"""What papers since have added to the block, converted.

Files of it with something wrong are in `test_mutations`, too.
"""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.board import pictures
from r2b_keras.converters import (
    convert,
    integer_sites,
    score_comparison,
    tflite_file,
    verification,
)
from r2b_keras.environment import lq, tf
from r2b_keras.models.binarizers import StandardizedSign
from r2b_keras.models.layers import ChannelShift, InstanceThreshold
from tests.converters import binary_networks as nets
from tests.converters import mutations
from tests.models.student_options import TODAY
from tests.networks import build_model

SHAPE = (8, 8, 3)


def build(**options):
    """Weights off the middle, so that it matters what is done before their sign."""
    tf.keras.utils.set_random_seed(3)
    options = {"width": 32, "blocks": (1, 1), "stem": "cifar", **options}
    model = build_model("real_to_binary18", "binary", SHAPE, 5, **options)
    for layer in quantized(model):
        kernel = layer.get_weights()[0]
        offset = 0.5 * kernel.std() * np.sign(kernel.mean((0, 1, 2)))
        layer.set_weights([kernel + offset])
    return nets.randomize(model)


def quantized(model):
    return [x for x in model.layers if isinstance(x, lq.layers.QuantConv2D)]


def check_equal(model, flatbuffer):
    images = nets.random_images(SHAPE, 40)
    expected = model.predict_on_batch(images)
    for engine in ("lce_indirect", "r2b_runtime"):
        found = verification.verify(model, flatbuffer, images, engine)
        assert found.accepted and found.agreement == 1.0, found.to_text()
        # What depends on the image does so in a batch, too.
        scores = nets.run(flatbuffer, images, engine, batch_size=4)
        assert not score_comparison.differs(expected, scores).any()
    assert mutations.num_filters(flatbuffer) == len(quantized(model)) == 4


@pytest.fixture(scope="module")
def today():
    model = build(**TODAY)
    return model, convert(model)


def test_converted_it_computes_the_same(today):
    check_equal(*today)


@pytest.mark.parametrize("real_layers", ["float", "integer"])
def test_the_stem_of_quicknet(real_layers):
    shape, normalisation = (33, 30, 3), models.Normalisation((0.5,) * 3, (0.25,) * 3)
    options = {"width": 16, "blocks": (1,), "stem": "quicknet"}
    network = ("real_to_binary18", "binary", shape, 5, normalisation)
    tf.keras.utils.set_random_seed(3)
    model = build_model(*network, real_layers=real_layers, **options)
    nets.randomize(model)
    pixels = np.random.default_rng(2).integers(0, 256, (12, *shape), np.uint8)
    images = pictures.normalize(pixels, normalisation)
    model(images, training=True)  # the ranges of integer layers
    flatbuffer = convert(model)
    sites = integer_sites.sites(tflite_file.parse(flatbuffer))
    # Of the picture, of the stem's pointwise convolution, and of the classifier.
    is_integer = real_layers == "integer"
    assert [site.steps is None for site in sites] == [True, False, False] * is_integer
    kinds = tflite_file.count_operators(flatbuffer)
    assert kinds["DEPTHWISE_CONV_2D"] == 1 and kinds["LceBconv2d"] == 2
    for engine in ("lce_indirect", "r2b_runtime"):
        found = verification.verify(model, flatbuffer, images, engine)
        assert found.accepted, found.to_text()


def test_gate_and_threshold_share_their_means(today):
    """One for each of four half blocks, and one before the classifier."""
    assert tflite_file.count_operators(today[1])["MEAN"] == 5


def test_shifts_that_are_merged_into_a_convolution():
    model = build(prelu_shifts=True, rescaling="channel_scale")
    check_equal(model, convert(model))


def test_filters_are_the_signs_of_the_transformed_weights(today):
    """Those of the weights themselves are others."""
    num_turned = 0
    for layer in quantized(today[0]):
        assert isinstance(layer.kernel_quantizer, StandardizedSign)
        with lq.context.quantized_scope(True):
            signs = np.array(tf.convert_to_tensor(layer.kernel))
        kernel = layer.get_weights()[0]
        centred = kernel - kernel.mean((0, 1, 2))
        np.testing.assert_array_equal(signs, np.where(centred >= 0, 1, -1))
        num_turned += np.sum(signs != np.where(kernel >= 0, 1, -1))
    assert num_turned > 1000


def test_a_broken_file_is_refused(today):
    model, flatbuffer = today
    reference = verification.Reference(model, nets.random_images(SHAPE, 12))
    for number in range(4):
        # A sum of 288 or more, moved by 2 at one channel.
        broken = mutations.with_filter_bit(flatbuffer, number, seed=number)
        assert not reference.compare(broken, "lce_indirect").accepted
    own = (ChannelShift, InstanceThreshold)
    added = [layer for layer in model.layers if isinstance(layer, own)]
    assert len(added) == 8
    for layer in added:
        (values,) = layer.get_weights()
        # A threshold is added: what is stored of its share is the negative.
        stored = values if isinstance(layer, ChannelShift) else -values
        (index,) = mutations.constants_equal_to(flatbuffer, stored)
        broken = mutations.with_real_constant(flatbuffer, index, "rolled")
        assert not reference.compare(broken, "lce_indirect").accepted
