"""Factors and offsets of each pixel, behind binary convolutions."""

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters import engines, position_factors, tflite_file, verify
from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.layers import ChannelScale, OuterProductScale

layers = tf.keras.layers
MAP = (4, 5, 32)


class Offset(layers.Layer):
    """Adds a number to each pixel and channel."""

    def build(self, input_shape):
        self.map = self.add_weight(name="map", shape=input_shape[1:])
        self.map.assign(np.random.default_rng(0).normal(size=self.map.shape))

    def call(self, inputs):
        return inputs + self.map


class One(OuterProductScale):
    """Has not learned yet."""


# What follows a convolution: its name, the layers, and the operators that it is then.
CASES = {
    "nothing": ([], {}),
    "factor of a channel": ([ChannelScale, nets.batch_norm], {}),
    "factor": ([OuterProductScale], {"MUL": 1}),
    "factor of 1": ([One], {}),
    "factor and BatchNorm": (
        [OuterProductScale, nets.batch_norm],
        {"MUL": 1, "ADD": 1},
    ),
    "offset": ([Offset], {"ADD": 1}),
    "offset and factor of a channel": ([Offset, ChannelScale], {"ADD": 1}),
    "offset and factor": ([Offset, OuterProductScale], {"MUL": 1, "ADD": 1}),
    "factor and offset": ([OuterProductScale, Offset], {"MUL": 1, "ADD": 1}),
}
UNTOUCHED = ("nothing", "factor of a channel")


def make(cases):
    image = tf.keras.Input(MAP)
    outputs = []
    for case in cases:
        x = nets.binary_convolution(6)(image)
        for layer in CASES[case][0]:
            x = layer()(x)
        outputs.append(x)
    return nets.randomize(nets.one_output(image, outputs)), outputs


def names(content):
    return [
        tflite_file.operator_name(content, operator)
        for operator in content.subgraphs[0].operators
    ]


@pytest.fixture(scope="module")
def converted():
    """All cases in one network, and what the converter makes of it by itself."""
    model, outputs = make(CASES)
    return model, outputs, flatbuffers._convert_as_it_is(model)


def test_factors_and_offsets_have_operators_of_their_own(converted):
    model, outputs, raw = converted
    flatbuffer = position_factors.take_out(raw)
    before, after = tflite_file.parse(raw), tflite_file.parse(flatbuffer)
    found = names(after)
    wanted = [operators for _, operators in CASES.values()]
    for kind in ("MUL", "ADD"):
        assert found.count(kind) == sum(counts.get(kind, 0) for counts in wanted)
    # Right behind their convolutions, which come in any order; nothing else is new.
    groups = " ".join(found).split("LceBconv2d")[1:]
    behind = [[x for x in group.split() if x in ("MUL", "ADD")] for group in groups]
    assert sorted(behind) == sorted(list(counts) for counts in wanted)
    assert [x for x in found if x not in ("MUL", "ADD")] == names(before)
    graph = after.subgraphs[0]
    for operator in graph.operators:
        if tflite_file.operator_name(after, operator) == "LceBconv2d":
            shapes = [list(graph.tensors[i].shape) for i in operator.inputs[2:4]]
            assert shapes == [[6], [6]]


def test_all_engines_agree_with_keras(converted):
    model, outputs, raw = converted
    with pytest.raises(InputError):
        engines.load(raw)  # What all this is for.
    flatbuffer = position_factors.take_out(raw)
    images = nets.random_images(MAP)
    expected = nets.parts(model.predict_on_batch(images), outputs)
    for name in nets.lce_engines():
        for batch_size in (1, 3):
            found = nets.run(flatbuffer, images, name, batch_size)
            for case, got, wanted in zip(
                CASES, nets.parts(found, outputs), expected, strict=True
            ):
                # Sums are whole numbers up to 288; then a few roundings of float32.
                np.testing.assert_allclose(
                    got,
                    wanted,
                    rtol=1e-6,
                    atol=1e-6 * np.abs(wanted).max(),
                    err_msg=f"{name}, {case}",
                )


def test_without_maps_the_bytes_stay():
    model, _ = make(UNTOUCHED)
    raw = flatbuffers._convert_as_it_is(model)
    assert position_factors.take_out(raw) is raw


def test_a_second_time_changes_nothing(converted):
    flatbuffer = position_factors.take_out(converted[2])
    assert position_factors.take_out(flatbuffer) is flatbuffer


def test_network_with_outer_product_scales():
    """XNOR-Net++'s factors, alone behind the convolution and before a PReLU."""
    shape = (8, 9, 3)
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
    model = models.build(
        "strong_baseline18",
        "binary",
        shape,
        5,
        rescaling="outer_product_scale",
        **options,
    )
    flatbuffer = flatbuffers.convert(nets.randomize(model))
    counts = tflite_file.count_operators(flatbuffer)
    assert counts["LceBconv2d"] == counts["MUL"] == 4
    # Of the skips, and of what is left of the BatchNorms.
    assert counts["ADD"] == 8
    images = nets.random_images(shape, num=30)
    for name in nets.lce_engines():
        result = verify(model, flatbuffer, images, engine=name)
        assert result.accepted and result.agreement == 1.0, result.to_text()
        assert result.largest_difference <= 1e-5 * result.largest_score
