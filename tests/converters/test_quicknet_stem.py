"""The stem of QuickNet, converted with real and with integer layers."""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.board import pictures
from r2b_keras.converters import convert, integer_sites, tflite_file, verification
from r2b_keras.environment import tf
from tests.converters import binary_networks as nets
from tests.networks import build_model


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
