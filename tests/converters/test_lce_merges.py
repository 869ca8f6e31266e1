"""Numbers of each pixel behind binary convolutions, and signs behind those."""

import binary_networks as nets
import numpy as np
import pytest
import random_networks
from flatbuffers import flexbuffers
from random_networks import Offset, where
from small_flatbuffers import binary, changed

from r2b_keras.converters import engines, lce_merges, lce_process, tflite_file, verify
from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.models.layers import ChannelScale, OuterProductScale
from tests.networks import build_model

layers = tf.keras.layers
SHAPE = (6, 7, 32)
PADDINGS = {
    "none": {"padding": "valid"},
    "ones": {"pad_values": 1.0},
    "zeros": {"pad_values": 0.0},
}


def between(*parts, padding="none", last="ste_sign"):
    """What a convolution gives, through `parts`, to a second one."""

    def make(x):
        x = nets.binary_convolution(32, **PADDINGS[padding])(x)
        for part in parts:
            x = part(x)
        return nets.binary_convolution(5, input_quantizer=last)(x)

    return make


def offset(x):
    return Offset()(x)


def factor(x):
    return random_networks.Factor()(x)


def norm(x):
    return nets.batch_norm()(x)


def pool(x):
    return layers.MaxPool2D(2)(x)


def maximum(x):
    """Positive everywhere, and not without the maximum."""
    return layers.Lambda(lambda x: tf.maximum(x, 5.0) - 4.5)(x)


CASES = {
    "offset": between(offset),
    "offset, ones": between(offset, padding="ones"),
    "offset, zeros": between(offset, padding="zeros"),
    "factor": between(factor),
    "factor, ones": between(factor, padding="ones"),
    "factor, zeros": between(factor, padding="zeros"),
    "both and BatchNorm": between(factor, norm, offset),
    "pooled": between(offset, pool),
    "Lambda": between(factor, layers.Lambda(where), last=None),
    "layer of signs": between(offset, lq.quantizers.ApproxSign(), pool, last=None),
    "maximum": between(offset, maximum),
    "nothing": between(norm, padding="ones"),
}


@pytest.fixture(scope="module")
def network():
    tf.keras.utils.set_random_seed(7)
    image = tf.keras.Input(SHAPE)
    outputs = [make(image) for make in CASES.values()]
    return nets.randomize(nets.one_output(image, outputs)), outputs


def test_signs_are_right_behind_numbers_of_each_pixel(network):
    model, outputs = network
    flatbuffer = convert(model)
    counts = count_operators(flatbuffer)
    assert counts["LceBconv2d"] == 2 * len(CASES)
    # The network's own, and no barrier.
    assert counts["MAXIMUM"] == 1
    images = nets.random_images(SHAPE)
    expected = nets.parts(model.predict_on_batch(images), outputs)
    for name in random_networks.ENGINES:
        found = nets.parts(nets.run(flatbuffer, images, name, 3), outputs)
        for case, got, wanted in zip(CASES, found, expected, strict=True):
            # Sums of signs, exact where no sign is next to its threshold.
            np.testing.assert_array_equal(got, wanted, f"{name}, {case}")


@pytest.mark.parametrize("case", ["factor", "factor, ones"])
def test_the_converter_still_crashes(case):
    """If this fails, it has been mended: barriers are needed for offsets alone."""
    image = tf.keras.Input(SHAPE)
    model = nets.one_output(image, [CASES[case](image)])
    with pytest.raises(lce_process.ConverterDiedError, match="SIGSEGV"):
        flatbuffers._convert_as_it_is(model, None)


def test_signs_are_merged_where_that_is_right():
    """The convolution compares by itself, and no map of numbers is needed."""
    image = tf.keras.Input(SHAPE)
    x = between(norm, pool, padding="ones")(image)
    flatbuffer = convert(nets.randomize(nets.one_output(image, [x])))
    assert lce_merges.has_merged_signs(tflite_file.parse(flatbuffer))
    assert count_operators(flatbuffer)["LceQuantize"] == 1


def test_a_relu_between_a_pooling_and_a_sign_is_kept():
    """Which makes all signs positive; the converter alone forgets it."""
    image = tf.keras.Input(SHAPE)
    x = nets.binary_convolution(5)(layers.ReLU()(pool(image)))
    model = nets.one_output(image, [x])
    flatbuffer, images = convert(model), nets.random_images(SHAPE)
    assert count_operators(flatbuffer)["LceBconv2d"] == 1
    expected = model.predict_on_batch(images)
    for name in random_networks.ENGINES:
        np.testing.assert_array_equal(nets.run(flatbuffer, images, name), expected)


class Code(tf.keras.Model):
    """Takes signs of a binary convolution where no layer does."""

    def __init__(self):
        super().__init__()
        self.first = nets.binary_convolution(32, padding="valid")
        self.kernel = tf.Variable(nets.random_signs((3, 32, 5)))

    def call(self, inputs):
        x = lq.math.sign(self.first(inputs) + 0.5)
        return layers.Flatten()(tf.nn.conv2d(x, self.kernel, 1, "VALID"))


def test_signs_in_code_are_refused():
    """What comes before them could differ from pixel to pixel; nothing tells."""
    model = Code()
    model(tf.zeros((1, *SHAPE)))
    with pytest.raises(InputError, match="signs .* in code of its own.*ste_sign"):
        convert(model)


def test_a_crash_that_barriers_do_not_mend_is_a_sentence(monkeypatch):
    def crash(folder):
        raise lce_process.ConverterDiedError("SIGSEGV")

    monkeypatch.setattr(lce_process, "convert", crash)
    with pytest.raises(
        InputError, match=r"converter died \(SIGSEGV\); expected"
    ) as got:
        image = tf.keras.Input(SHAPE)
        convert(nets.one_output(image, [CASES["nothing"](image)]))
    assert "\n" not in str(got.value)


# --- Maps ----------------------------------------------------------------------------

MAP = (4, 5, 32)


class One(OuterProductScale):
    """Has not learned yet."""


# What follows a convolution: its name, the layers, and the operators that it is then.
MAPS = {
    "nothing": ([], {}),
    "factor of a channel": ([ChannelScale, nets.batch_norm], {}),
    "factor": ([OuterProductScale], {"MUL": 1}),
    "factor of 1": ([One], {}),
    "factor and BatchNorm": (
        [OuterProductScale, nets.batch_norm],
        {"MUL": 1, "ADD": 1},
    ),
    "offset": ([Offset], {"ADD": 1}),
    "offset and factor of a channel": (
        [Offset, ChannelScale],
        {"ADD": 1},
    ),
    "offset and factor": (
        [Offset, OuterProductScale],
        {"MUL": 1, "ADD": 1},
    ),
    "factor and offset": (
        [OuterProductScale, Offset],
        {"MUL": 1, "ADD": 1},
    ),
}
UNTOUCHED = ("nothing", "factor of a channel")


def with_maps(cases):
    image = tf.keras.Input(MAP)
    outputs = []
    for case in cases:
        x = nets.binary_convolution(6)(image)
        for layer in MAPS[case][0]:
            x = layer()(x)
        outputs.append(x)
    return nets.randomize(nets.one_output(image, outputs)), outputs


def names(content):
    operators = tflite_file.operators(content)
    return [tflite_file.operator_name(content, operator) for _, operator in operators]


@pytest.fixture(scope="module")
def converted():
    """All cases in one network, and what the converter makes of it by itself."""
    model, outputs = with_maps(MAPS)
    tables = flatbuffers._convert_as_it_is(model, None)
    return model, outputs, tflite_file.serialize(tables)


def without_maps(raw):
    return changed(raw, lambda model, graph: lce_merges.take_maps_out(model))


def test_factors_and_offsets_have_operators_of_their_own(converted):
    model, outputs, raw = converted
    flatbuffer = without_maps(raw)
    before, after = tflite_file.parse(raw), tflite_file.parse(flatbuffer)
    found = names(after)
    wanted = [operators for _, operators in MAPS.values()]
    for kind in ("MUL", "ADD"):
        assert found.count(kind) == sum(counts.get(kind, 0) for counts in wanted)
    # Right behind their convolutions, which come in any order; nothing else is new.
    groups = " ".join(found).split("LceBconv2d")[1:]
    behind = [[x for x in group.split() if x in ("MUL", "ADD")] for group in groups]
    assert sorted(behind) == sorted(list(counts) for counts in wanted)
    assert [x for x in found if x not in ("MUL", "ADD")] == names(before)
    for graph, operator in tflite_file.operators(after, "LceBconv2d"):
        shapes = [list(graph.tensors[i].shape) for i in operator.inputs[2:4]]
        assert shapes == [[6], [6]]


def test_all_engines_agree_with_keras(converted):
    model, outputs, raw = converted
    with pytest.raises(InputError, match="its numbers per channel cannot be right"):
        engines.load(raw)  # What all this is for.
    flatbuffer = without_maps(raw)
    images = nets.random_images(MAP)
    expected = nets.parts(model.predict_on_batch(images), outputs)
    for name in nets.lce_engines():
        for batch_size in (1, 3):
            found = nets.run(flatbuffer, images, name, batch_size)
            for case, got, wanted in zip(
                MAPS, nets.parts(found, outputs), expected, strict=True
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
    model, _ = with_maps(UNTOUCHED)
    raw = tflite_file.serialize(flatbuffers._convert_as_it_is(model, None))
    assert without_maps(raw) == raw


def test_network_with_outer_product_scales():
    """XNOR-Net++'s factors, alone behind the convolution and before a PReLU."""
    shape = (8, 9, 3)
    options = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
    model = build_model(
        "strong_baseline18",
        "binary",
        shape,
        5,
        rescaling="outer_product_scale",
        **options,
    )
    flatbuffer = flatbuffers.convert(nets.randomize(model))
    counts = tflite_file.count_operators(flatbuffer)
    # Of the factors and the BatchNorms; of the skips and the BatchNorms.
    assert (counts["LceBconv2d"], counts["MUL"], counts["ADD"]) == (4, 8, 8)
    images = nets.random_images(shape, num=30)
    for name in nets.lce_engines():
        result = verify(model, flatbuffer, images, engine=name)
        assert result.accepted and result.agreement == 1.0, result.to_text()
        assert result.largest_difference <= 1e-5 * result.largest_score


def dead_channels(num_dead):
    """ReLU lets nothing of some channels through, and BatchNorm enlarges what is left.

    All inputs of the binary convolution are +1: a filter of -1 gives -288.
    """
    image = tf.keras.Input(SHAPE)
    x = layers.ReLU()(layers.Conv2D(32, 1, use_bias=False)(image))
    options = {"pad_values": 1.0, "activation": "relu", "name": "conv"}
    y = nets.binary_convolution(32, **options)(x)
    y = nets.batch_norm(name="norm")(y)
    x = layers.Add()([nets.batch_norm()(x), y])
    x = layers.Flatten()(nets.binary_convolution(8)(x))
    model = nets.randomize(tf.keras.Model(image, layers.Dense(5)(x)))
    dead = np.arange(32) < num_dead
    kernel = np.random.default_rng(2).choice([-0.1, 0.1, 0.1], (3, 3, 32, 32))
    kernel[..., dead] = -0.1
    model.get_layer("conv").set_weights([kernel])
    beta = np.random.default_rng(1).normal(0, 0.3, 32)
    mean, variance = np.where(dead, 0.0, 288.0), np.where(dead, 0.0, 100.0**2)
    model.get_layer("norm").set_weights([np.ones(32), beta, mean, variance])
    return model


@pytest.mark.parametrize("num_dead", [0, 8])
def test_biases_that_a_relu_leaves_alone_are_kept(num_dead, monkeypatch):
    model, images = dead_channels(num_dead), nets.random_images(SHAPE, 12)
    flatbuffer = convert(model)
    for engine in nets.binary_engines():
        found = verify(model, flatbuffer, images, engine=engine)
        assert found.accepted, found.to_text()
    monkeypatch.setattr(lce_merges, "take_lost_biases_out", lambda tables: None)
    before = convert(model)
    if num_dead:
        assert count_operators(flatbuffer)["ADD"] == count_operators(before)["ADD"] + 1
        assert not verify(model, before, images).accepted
    else:
        assert before == flatbuffer


@pytest.mark.parametrize(
    ("multiplier", "activation", "is_apart"),
    [(20.0, 1, True), (5.0, 1, False), (-20.0, 1, True), (20.0, 0, False)],
)
def test_a_bias_is_lost_behind_all_products_of_a_window(
    multiplier, activation, is_apart
):
    """3 x 3 x 33 of them, times 20 and 2**-24: 3.5e-4; times 5: 0.9e-4."""

    def change(model, graph):
        (_, operator), *_ = tflite_file.operators(model, "LceBconv2d")
        options = flexbuffers.Loads(bytes(operator.customOptions))
        options["fused_activation_function"] = activation
        written = flexbuffers.Dumps(options)
        operator.customOptions = np.frombuffer(written, np.uint8)
        constant = graph.tensors[operator.inputs[2]]
        factors = np.full(constant.shape, multiplier, np.float32)
        model.buffers[constant.buffer].data = factors.view(np.uint8)

    model = tflite_file.parse(changed(binary(), change))
    before = names(model)
    lce_merges.take_lost_biases_out(model)
    place = before.index("LceBconv2d") + 1
    expected = [*before[:place], *["ADD"] * is_apart, *before[place:]]
    assert names(model) == expected


def test_a_bias_of_each_channel_comes_behind_factors_of_each_pixel():
    """Else the factors would multiply it too."""

    def change(model, graph):
        (_, operator), *_ = tflite_file.operators(model, "LceBconv2d")
        constant = graph.tensors[operator.inputs[2]]
        factors = np.arange(1, 61, dtype=np.float32).reshape(4, 5, 3)
        constant.shape = np.array(factors.shape, np.int32)
        content = np.frombuffer(factors.tobytes(), np.uint8)
        model.buffers[constant.buffer].data = content

    model = tflite_file.parse(changed(binary(), change))
    before = names(model)
    lce_merges.take_maps_out(model)
    place = before.index("LceBconv2d") + 1
    assert names(model) == [*before[:place], "MUL", "ADD", *before[place:]]
    ((graph, operator),) = tflite_file.operators(model, "LceBconv2d")
    for index, value in zip(operator.inputs[2:4], (1, 0), strict=True):
        content = tflite_file.constant(model, graph.tensors[index])
        np.testing.assert_array_equal(np.frombuffer(content, "<f4"), [value] * 3)
