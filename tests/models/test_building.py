"""Every network: shape, names, serialisation, options, errors."""

import functools

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.environment import lq, tf
from r2b_keras.models.integers import IntegerConv2D, IntegerDense
from r2b_keras.networks import BINARIZATIONS, FAMILIES, RESCALINGS, Network
from r2b_keras.normalisation import Normalisation
from tests.networks import build_model

ALL = [(name, p) for name, kind in FAMILIES.items() for p in kind.binarizations]
BINARY = ("real_to_binary18", "binary")
INTEGER = {
    "real_layers": "integer",
    "normalisation": Normalisation((0.5,) * 3, (0.25,) * 3),
}
TINY = {"width": 8, "blocks": (1, 1), "stem": "cifar"}
# Every rescaling, and every other option that changes a layer, in one of them.
OPTIONS = [
    {"rescaling": "none", "activation_binarizer": "approx_sign"},
    {"rescaling": "analytic", "stem": "imagenet", "stem_activation": "relu"},
    {"rescaling": "channel_scale", "weight_binarizer": "approx_sign"},
    {"rescaling": "outer_product_scale", "activation_binarizer": "swish_sign"},
    {"rescaling": "gate", "gate_width": "in", "stem": "small", "blocks": (1, 1)},
    {"rescaling": "gate_and_scale", "downsample": "binary", "blocks": (1, 1)},
    {"rescaling": "analytic", "pad_value": 1.0, "batch_norm_epsilon": 0.01},
    {"rescaling": "none", "synchronized_batch_norm": True},
]


def build(name, binarization, input_shape=(8, 8, 3), num_classes=5, **options):
    return build_model(
        name, binarization, input_shape, num_classes, **{**TINY, **options}
    )


# Of tests that change nothing in a network.
built = functools.cache(build)


def images(shape=(8, 8, 3), num=3):
    return np.random.default_rng(0).normal(size=(num, *shape)).astype("float32")


def randomize(model, seed=1):
    """Random weights, so that a weight lost on the way shows in the outputs."""
    rng = np.random.default_rng(seed)
    model.set_weights(
        [rng.uniform(0.1, 1.0, w.shape) * rng.choice([-1, 1]) for w in model.weights]
    )
    for layer in batch_norms(model):
        layer.moving_variance.assign(tf.abs(layer.moving_variance))


def layers_of(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def batch_norms(model):
    return layers_of(model, tf.keras.layers.BatchNormalization)


def quant_convs(model):
    return layers_of(model, lq.layers.QuantConv2D)


def weight_shapes(model):
    return {weight.name: tuple(weight.shape) for weight in model.weights}


def configs(model):
    return [layer.get_config() for layer in model.layers]


def check_serialisation(model, path):
    """A copy through a file, its config in it, gives the same outputs to the bit."""
    randomize(model)
    x = images(model.input_shape[1:])
    outputs = model(x, training=False).numpy()
    assert np.isfinite(outputs).all() and np.ptp(outputs) > 0
    model.save(path)
    loaded = models.load(path)
    assert configs(loaded) == configs(model)
    np.testing.assert_array_equal(loaded(x, training=False), outputs)


def test_every_binarization_is_some_networks():
    assert {binarization for _, binarization in ALL} == set(BINARIZATIONS)


@pytest.mark.parametrize(("name", "binarization"), ALL)
def test_every_network(name, binarization, tmp_path):
    model = build(name, binarization)
    assert model.output_shape == (None, 5)
    assert model.name == f"{name}_{binarization}"
    assert models.intermediate_names(model) == ["block_1", "block_2"]
    assert model.get_layer("block_1").output.shape == (None, 8, 8, 8)
    assert model.get_layer("block_2").output.shape == (None, 4, 4, 16)
    assert model.output is model.get_layer("logits").output
    assert not layers_of(model, tf.keras.layers.Lambda)
    check_serialisation(model, tmp_path / "model.keras")


def test_no_rescaling_is_left_out():
    assert {options["rescaling"] for options in OPTIONS} == set(RESCALINGS)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_through_a_file(options, tmp_path):
    model = build(*BINARY, **{"blocks": (1,), **options})
    assert not layers_of(model, tf.keras.layers.Lambda)
    check_serialisation(model, tmp_path / "model.keras")


@pytest.mark.parametrize(
    ("blocks", "strided"),
    [
        pytest.param((2, 2, 2, 2), {3, 5, 7}, id="ResNet-18"),
        pytest.param((1, 1, 1, 1), {2, 3, 4}, id="ResNet-10", marks=pytest.mark.slow),
        pytest.param((3, 4, 6, 3), {4, 8, 14}, id="ResNet-34", marks=pytest.mark.slow),
    ],
)
def test_layouts(blocks, strided):
    model = build(*BINARY, (16, 16, 3), blocks=blocks)
    names = models.intermediate_names(model)
    assert names == [f"block_{i + 1}" for i in range(sum(blocks))]
    expected, size, channels = [], 16, 8
    for i in range(1, sum(blocks) + 1):
        if i in strided:
            size, channels = size // 2, channels * 2
        expected.append((None, size, size, channels))
    assert [tuple(model.get_layer(name).output.shape) for name in names] == expected
    assert len(quant_convs(model)) == 2 * sum(blocks)
    shortcuts = [layer for layer in model.layers if "shortcut_conv" in layer.name]
    assert {layer.name for layer in shortcuts} == {
        f"block_{i}a_shortcut_conv" for i in strided
    }


@pytest.mark.parametrize(
    ("blocks", "parameters"),
    [
        ((2, 2, 2, 2), 11_689_512),
        pytest.param((3, 4, 6, 3), 21_797_672, marks=pytest.mark.slow),
    ],
)
def test_real_resnets_have_the_published_number_of_parameters(blocks, parameters):
    """Those of torchvision's resnet18 and resnet34, running statistics aside."""
    model = build_model("resnet18", "real", (32, 32, 3), 1000, blocks=blocks)
    trainable = model.trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in trainable) == parameters


@pytest.mark.parametrize(
    ("shape", "stem"),
    [
        ((9, 7, 3), "cifar"),
        ((1, 1, 3), "cifar"),
        ((5, 8, 1), "small"),
        ((13, 9, 3), "imagenet"),
        ((1, 1, 1), "imagenet"),
        ((13, 10, 3), "quicknet"),
        ((1, 1, 1), "quicknet"),
    ],
    ids=str,
)
def test_odd_sizes_single_pixels_and_grey(shape, stem):
    model = build(*BINARY, shape, stem=stem, downsample="binary")
    divisor = {"imagenet": 4, "cifar": 1, "small": 2, "quicknet": 4}[stem]
    outputs = models.with_intermediates(model, ["block_1", "block_2"])(images(shape))
    for name, factor in (("block_1", divisor), ("block_2", 2 * divisor)):
        expected = tuple(-(-size // factor) for size in shape[:2])
        assert outputs[name].shape[1:3] == expected
    assert np.isfinite(outputs["logits"]).all()


def test_unknown_height_and_width():
    model = build(*BINARY, (None, None, 3))
    assert np.isfinite(model(images((6, 9, 3)))).all()


@pytest.mark.parametrize("name", ["real_to_binary18", "strong_baseline18"])
def test_binarizations_have_the_same_weights(name):
    """Weights are handed over from stage to stage by name and shape."""
    shapes = [
        weight_shapes(built(name, binarization, downsample="binary"))
        for binarization in FAMILIES[name].binarizations
    ]
    assert shapes[0] == shapes[1] == shapes[2]


def test_only_block_convolutions_are_binary():
    model = built(*BINARY)
    names = ["block_1a_conv", "block_1b_conv", "block_2a_conv", "block_2b_conv"]
    assert [layer.name for layer in quant_convs(model)] == names
    for layer in quant_convs(model):
        assert layer.input_quantizer.precision == layer.kernel_quantizer.precision == 1
    names = {layer.name for layer in quant_convs(built(*BINARY, downsample="binary"))}
    assert "block_2a_shortcut_conv" in names


def test_default_rescaling():
    paper = weight_shapes(built(*BINARY))
    assert paper == weight_shapes(build(*BINARY, rescaling="gate_and_scale"))
    assert paper["block_2a_scale/scale:0"] == (16,)
    baseline = weight_shapes(build("strong_baseline18", "binary"))
    assert baseline["block_2a_scale/scale:0"] == (16,)
    assert not [name for name in baseline if "gate" in name]


@pytest.mark.parametrize(("gate_width", "bottleneck"), [("out", 8), ("in", 4)])
def test_gate_width_and_reduction(gate_width, bottleneck):
    shapes = weight_shapes(build(*BINARY, gate_width=gate_width, reduction=2))
    assert shapes["block_2a_gate/reduce_kernel:0"] == (1, 1, 8, bottleneck)
    assert shapes["block_2a_gate/expand_kernel:0"] == (1, 1, bottleneck, 16)


def test_a_gate_keeps_at_least_one_hidden_channel():
    shapes = weight_shapes(build(*BINARY, width=4, reduction=100))
    assert shapes["block_1a_gate/reduce_kernel:0"] == (1, 1, 4, 1)


def test_stem_activation():
    slopes = built(*BINARY).get_layer("stem_prelu").alpha
    assert slopes.shape == (1, 1, 8) and not np.any(slopes)
    assert build(*BINARY, stem_activation="relu").get_layer("stem_relu")
    assert build("resnet18", "real", stem_activation="prelu").get_layer("stem_relu")


@pytest.mark.parametrize(("name", "binarization"), [("resnet18", "real"), BINARY])
def test_batch_norm_and_padding_options_reach_every_layer(name, binarization):
    model = build(
        name,
        binarization,
        downsample="binary",
        batch_norm_momentum=0.625,
        batch_norm_epsilon=0.03125,
        synchronized_batch_norm=True,
        pad_value=1.0,
    )
    norms = {
        (layer.momentum, layer.epsilon, layer.synchronized)
        for layer in batch_norms(model)
    }
    assert norms == {(0.625, 0.03125, True)}
    assert {layer.pad_values for layer in quant_convs(model)} <= {1.0}


def test_integer_layers_follow_their_range_as_batch_norm_does():
    model = build(*BINARY, **INTEGER, batch_norm_momentum=0.625)
    kinds = (IntegerConv2D, IntegerDense)
    found = [layer for layer in model.layers if isinstance(layer, kinds)]
    assert {type(layer) for layer in found} == {*kinds}
    assert {layer.momentum for layer in found} == {0.625}


@pytest.mark.parametrize("options", [{}, INTEGER], ids=["float", "integer"])
def test_kernels_but_those_of_gates_start_alike(options):
    found = [
        type(layer.kernel_initializer).__name__
        for layer in build(*BINARY, rescaling="channel_scale", **options).layers
        if hasattr(layer, "kernel_initializer")
    ]
    # Stem, four binary convolutions, a shortcut's and the classifier.
    assert found == ["GlorotNormal"] * 7


def test_binary_options_leave_the_real_network_alone():
    plain = built("resnet18", "real")
    options = {"downsample": "binary", "rescaling": "gate", "pad_value": 1.0}
    other = build("resnet18", "real", **options)
    assert other.get_config() == plain.get_config()


def test_build_network_and_equal_seeds():
    network = Network(*BINARY, **TINY)
    twins = []
    for _ in range(2):
        tf.keras.utils.set_random_seed(5)
        twins.append(models.build_network(network, (8, 8, 3), 5).get_weights())
    for first, second in zip(*twins, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "binarization", "known"),
    [
        ("resnet18", "binary", "real"),
        ("real_to_binary18", "real", "soft, binary_activations, binary"),
    ],
)
def test_a_binarization_that_the_network_does_not_have(name, binarization, known):
    message = f"{name}.*'{binarization}'.* one of {known}\\."
    with pytest.raises(ValueError, match=message):
        build(name, binarization)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3, 1), (0, 8, 3), (8, 8, None), 8])
def test_an_input_shape_that_is_none(shape):
    with pytest.raises(ValueError, match=r"input shape is .*for example \(224, 224, 3"):
        build("resnet18", "real", shape)


@pytest.mark.parametrize("num_classes", [0, -1, 2.5])
def test_no_classes(num_classes):
    with pytest.raises(ValueError, match=f"num_classes is {num_classes}, expected"):
        build("resnet18", "real", num_classes=num_classes)
