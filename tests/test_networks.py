"""`Network` refuses what no network can have, and imports no TensorFlow."""

import dataclasses

import numpy as np
import pytest

from r2b_keras.errors import InputError
from r2b_keras.networks import Network


def network(**options):
    return Network("real_to_binary18", **{"binarization": "binary", **options})


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("binarization", "bianry", "one of real, soft, binary_activations, binary"),
        ("stem", "7x7", "one of imagenet, cifar, small"),
        ("stem_activation", "tanh", "one of prelu, relu"),
        ("downsample", "none", "one of real, binary"),
        ("real_layers", "int8", "one of float, integer"),
        (
            "rescaling",
            "gamma",
            "one of none, analytic, channel_scale, outer_product_scale, gate, "
            "gate_and_scale",
        ),
        ("gate_width", "both", "one of out, in"),
        ("activation_binarizer", "sign", "one of ste_sign, approx_sign, swish_sign"),
        ("weight_binarizer", None, "one of ste_sign, approx_sign, swish_sign"),
        ("stem", "quick", "one of imagenet, cifar, small, quicknet"),
        ("width", 0, "a whole number of at least 1"),
        ("width", 16.5, "a whole number of at least 1"),
        ("width", "16", "a whole number of at least 1"),
        ("reduction", -8, "a whole number of at least 1"),
        ("blocks", (), r"the number of blocks in each group, .* \(2, 2, 2, 2\)"),
        ("blocks", 2, r"the number of blocks in each group, .* \(2, 2, 2, 2\)"),
        ("blocks", (2, 0), "a whole number of at least 1"),
        ("pad_value", 0.5, "0 or 1"),
        ("pad_value", -1.0, "0 or 1"),
        ("batch_norm_momentum", 1.0, "at least 0 and below 1"),
        ("batch_norm_momentum", -0.1, "at least 0 and below 1"),
        ("batch_norm_momentum", "0.9", "at least 0 and below 1"),
        ("batch_norm_epsilon", 0.0, "a positive number"),
        ("batch_norm_epsilon", float("nan"), "a positive number"),
        ("batch_norm_epsilon", float("inf"), "a positive number"),
        ("synchronized_batch_norm", 1, "true or false"),
    ],
)
def test_refused(field, value, expected):
    with pytest.raises(
        InputError, match=f"Network.{field} is .*, expected .*{expected}"
    ):
        network(**{field: value})


def test_the_stem_that_wants_a_width_of_fours():
    with pytest.raises(InputError, match="width is 6, expected a multiple of 4 with"):
        network(stem="quicknet", width=6)
    assert network(stem="quicknet", width=12).width == 12


def test_stems_of_equal_maps_have_other_weights():
    """A teacher of another stem can be matched where the maps are as large."""
    stems = [network(stem=stem) for stem in ("imagenet", "quicknet", "small")]
    maps = [stem.map_layout() for stem in stems]
    assert maps[0] == maps[1] != maps[2]
    assert stems[0].weight_layout() != stems[1].weight_layout()


def test_equal_values_are_equal():
    assert network(blocks=[1, 2]) == network(blocks=(1, 2))
    assert hash(network(blocks=[1, 2])) == hash(network(blocks=(1, 2)))
    assert network(width=np.int64(16)) == network(width=16)
    assert network(width=16) != network(width=32)
    with pytest.raises(dataclasses.FrozenInstanceError):
        network().width = 3
