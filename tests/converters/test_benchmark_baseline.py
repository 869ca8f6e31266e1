"""The real-valued network beside a binary one."""

import numpy as np
import pytest

from r2b_keras.converters import benchmark_baseline, card, engines
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.errors import InputError
from r2b_keras.networks import Network
from tests.networks import build_model

LAYOUT = {"width": 8, "blocks": (1, 1), "stem": "small"}


def card_with(network):
    names = tuple("abcde")
    return card.ModelCard(names, (12, 9, 3), (0.5,) * 3, (0.5,) * 3, network=network)


@pytest.fixture(scope="module")
def binary():
    model = build_model("real_to_binary18", "binary", (12, 9, 3), 5, **LAYOUT)
    network = {"name": "real_to_binary18", "binarization": "binary", "reduction": 4}
    return card.attach(convert(model), card_with({**network, **LAYOUT}))


def test_baseline_has_the_layout_of_the_card(binary):
    flatbuffer = benchmark_baseline.float_baseline(binary)
    assert flatbuffer == benchmark_baseline.float_baseline(binary)
    expected = convert(build_model("resnet18", "real", (12, 9, 3), 5, **LAYOUT))
    assert count_operators(flatbuffer) == count_operators(expected)
    assert len(flatbuffer) == pytest.approx(len(expected), rel=0.01)
    # Two convolutions a block, one in its shortcut, and the stem.
    assert count_operators(flatbuffer)["CONV_2D"] == 1 + 2 * 2 + 1
    assert not set(count_operators(flatbuffer)) & set(engines.LCE_OPERATORS)
    engine = engines.load(flatbuffer, "litert")
    assert engine.input_shape == (1, 12, 9, 3)
    assert engine.num_classes == 5
    images = np.random.default_rng(0).normal(size=(2, 12, 9, 3)).astype(np.float32)
    scores = np.abs(engine.predict(images))
    # Neither denormal, which takes longer, nor on the way to infinity.
    assert 1e-4 < scores.min() and scores.max() < 1e4


@pytest.mark.parametrize("others", [{}, {"name": "other", "reduction": 4}])
def test_layout(others):
    known = LAYOUT | {"blocks": [3, 4]} | others
    expected = Network("resnet18", "real", **LAYOUT | {"blocks": (3, 4)})
    assert benchmark_baseline.layout(card_with(known)) == expected


@pytest.mark.parametrize("known", [None, {}, {"name": "other", "width": 32}])
def test_without_a_layout_there_is_no_baseline(binary, known):
    """One of another width and stem would be compared with."""
    words = "does not say its network's width, blocks, stem, .*--workdir it was trained"
    with pytest.raises(InputError, match=words):
        benchmark_baseline.float_baseline(card.attach(binary, card_with(known)))
    with pytest.raises(InputError, match=words):
        benchmark_baseline.layout(None)
