"""Which variables decay, and by how much."""

import fnmatch
import re

import numpy as np
import pytest
from small_networks import (
    IMAGE_SHAPE,
    classes,
    images,
    one_hot,
    plain,
    randomize,
    real_to_binary,
    values,
)

from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.recipes import Optimizer
from r2b_keras.recipes.stage_parts import Group
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.handover import named_weights
from r2b_keras.trainers.optimizers import (
    OnePassAdam,
    decayed_variables,
    freeze,
    l2_factors,
    make_optimizer,
)
from tests.networks import build_model

REAL_KERNELS = {
    "stem_conv/kernel",
    "block_2a_shortcut_conv/kernel",
    "logits/kernel",
    *(
        f"block_{half}_gate/{which}_kernel"
        for half in ("1a", "1b", "2a", "2b")
        for which in ("reduce", "expand")
    ),
}
BINARY_KERNELS = {f"block_{half}_conv/kernel" for half in ("1a", "1b", "2a", "2b")}


def decayed_names(model):
    found = {id(variable) for variable in decayed_variables(model)}
    assert len(found) == len(decayed_variables(model)), "none twice"
    return {n for n, v in named_weights(model).items() if id(v) in found}


@pytest.mark.parametrize(
    ("binarization", "from_file", "expected"),
    [
        ("soft", False, REAL_KERNELS | BINARY_KERNELS),
        ("binary_activations", False, REAL_KERNELS | BINARY_KERNELS),
        ("binary", False, REAL_KERNELS),
        ("binary", True, REAL_KERNELS),
    ],
)
def test_real_kernels_decay(tmp_path, binarization, from_file, expected):
    model = real_to_binary(binarization)
    if from_file:
        model.save(tmp_path / "model.keras")
        model = tf.keras.models.load_model(tmp_path / "model.keras", compile=False)
    assert decayed_names(model) == expected


def test_binary_shortcut_does_not_decay():
    model = real_to_binary(downsample="binary")
    assert decayed_names(model) == REAL_KERNELS - {"block_2a_shortcut_conv/kernel"}


def test_kernels_of_the_real_network_decay():
    model = real_to_binary("real", "resnet18")
    kernels = {name for name in named_weights(model) if name.endswith("/kernel")}
    assert decayed_names(model) == kernels
    assert len(kernels) == 7


def test_networks_that_are_not_ours():
    """Names of layers do not count, and each kernel of a layer has its quantizer."""
    binary = {"depthwise_quantizer": "ste_sign", "depthwise_constraint": "weight_clip"}
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input(IMAGE_SHAPE),
            tf.keras.layers.Conv2D(2, 1, name="kernel_conv"),
            tf.keras.layers.BatchNormalization(name="kernel_norm"),
            lq.layers.QuantDepthwiseConv2D(3, name="depthwise", **binary),
            lq.layers.QuantSeparableConv2D(2, 3, name="separable", **binary),
            tf.keras.layers.SeparableConv2D(2, 1, name="real_separable"),
            tf.keras.layers.Flatten(),
            lq.layers.QuantDense(2, kernel_quantizer="ste_sign", name="binary_dense"),
            lq.layers.QuantDense(2, name="real_dense"),
        ]
    )
    assert decayed_names(model) == {
        "kernel_conv/kernel",
        "separable/pointwise_kernel",
        "real_separable/depthwise_kernel",
        "real_separable/pointwise_kernel",
        "real_dense/kernel",
    }


@pytest.mark.parametrize(
    ("name", "policy"),
    [("sgd", "float32"), ("adam", "float32"), ("adam", "mixed_bfloat16")],
)
def test_decoupled_decay_without_gradient(name, policy, set_policy):
    """Takes `rate * decay * w` from the decayed weights and leaves all others."""
    set_policy(policy)
    model = randomize(real_to_binary("binary"))
    settings = Optimizer(name, weight_decay=0.5, decay="decoupled")
    optimizer = make_optimizer(settings, 0.125, model)
    before = {n: np.array(v) for n, v in named_weights(model).items()}
    variables = model.trainable_variables
    optimizer.apply_gradients([(tf.zeros_like(v), v) for v in variables])
    for weight, variable in named_weights(model).items():
        factor = 1 - 0.125 * 0.5 if weight in REAL_KERNELS else 1.0
        expected = before[weight] * np.float32(factor)
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=weight)


def test_decoupled_decay_follows_the_learning_rate():
    model = plain()
    kernel = model.get_layer("dense").kernel
    settings = Optimizer("sgd", weight_decay=0.5, decay="decoupled")
    rate = tf.keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25])
    optimizer = make_optimizer(settings, rate, model)
    expected = np.array(kernel)
    for step in (0.5, 0.25):
        optimizer.apply_gradients([(tf.zeros_like(kernel), kernel)])
        expected = expected * (1 - 0.5 * step)
        np.testing.assert_allclose(kernel, expected, rtol=1e-6)


def test_l2_decay_is_none_of_the_optimizers_work():
    model = plain()
    for name in ("sgd", "adam"):
        optimizer = make_optimizer(Optimizer(name, weight_decay=0.5), 0.1, model)
        assert not optimizer.weight_decay


@pytest.mark.parametrize("binarization", ["soft", "binary"])
def test_l2_decay_adds_decay_times_weight_to_the_gradient(binarization):
    """With plain SGD: w -> w - rate * (gradient + decay * w)."""
    rate, decay = 0.1, 0.25
    moved = {}
    for l2 in (0.0, decay):
        student = randomize(real_to_binary(binarization))
        before = {n: np.array(v) for n, v in named_weights(student).items()}
        model = Distiller(student, l2=l2, l2_variables=decayed_variables(student))
        settings = Optimizer("sgd", momentum=0.0, weight_decay=decay)
        model.compile(make_optimizer(settings, rate, student), run_eagerly=True)
        model.train_on_batch(images(4), one_hot(classes(4)))
        moved[l2] = {n: np.array(v) for n, v in named_weights(student).items()}
    decayed = REAL_KERNELS | (BINARY_KERNELS if binarization == "soft" else set())
    for name, weight in moved[decay].items():
        expected = -rate * decay * before[name] if name in decayed else 0.0
        np.testing.assert_allclose(
            weight - moved[0.0][name], expected, atol=1e-6, err_msg=name
        )


def test_l2_part_is_half_the_sum_of_squares():
    student = randomize(real_to_binary("binary"))
    model = Distiller(student, l2=0.01, l2_variables=decayed_variables(student))
    model.compile(run_eagerly=True)
    logs = model.test_on_batch(images(4), classes(4), return_dict=True)
    named = named_weights(student)
    expected = 0.5 * sum((np.array(named[name]) ** 2).sum() for name in REAL_KERNELS)
    assert logs["l2"] == pytest.approx(expected, rel=1e-5)
    total = logs["cross_entropy"] + 0.01 * logs["l2"]
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_momentum_by_hand():
    model = plain()
    kernel = model.get_layer("dense").kernel
    settings = Optimizer("sgd", momentum=0.5)
    optimizer = make_optimizer(settings, 0.1, model)
    (before,) = values([kernel])
    for _ in range(3):
        optimizer.apply_gradients([(tf.ones_like(kernel), kernel)])
    # Velocities 1, 1.5, 1.75.
    np.testing.assert_allclose(kernel, before - 0.1 * 4.25, rtol=1e-5, atol=1e-6)


def test_adam_is_kerass_own_unless_said_otherwise():
    """No accuracy of a short training would tell another epsilon."""
    made, keras = make_optimizer(Optimizer("adam"), 0.1, plain()), tf.keras.optimizers
    for name in ("beta_1", "beta_2", "epsilon"):
        assert getattr(made, name) == getattr(keras.Adam(), name), name
    assert made.epsilon == 1e-7


def test_one_pass_adam_is_no_amsgrad():
    with pytest.raises(InputError, match="^amsgrad is on, expected it off"):
        OnePassAdam(0.1, amsgrad=True)


def test_l2_of_no_variables_or_of_other_factors():
    student = plain()
    kernels = decayed_variables(student)
    with pytest.raises(InputError, match="l2 is 0.1, with 0 l2_variables and 0 l2_f"):
        Distiller(student, l2=0.1)
    with pytest.raises(InputError, match="l2_variables and 1 l2_factors, expected"):
        Distiller(student, l2=0.1, l2_variables=kernels, l2_factors=[1.0])


def test_one_pass_adam_takes_kerass_steps():
    generator = np.random.default_rng(3)
    start = generator.normal(size=(5, 7)).astype(np.float32)
    variables = [tf.Variable(start), tf.Variable(start)]
    rate = tf.keras.optimizers.schedules.PolynomialDecay(0.1, 20, 0.01)
    optimizers = [OnePassAdam(rate), tf.keras.optimizers.Adam(rate)]
    for _ in range(20):
        gradient = tf.constant(generator.normal(size=(5, 7)), tf.float32)
        gradient *= tf.constant(generator.random((5, 7)) < 0.8, tf.float32)
        for optimizer, variable in zip(optimizers, variables, strict=True):
            optimizer.apply_gradients([(gradient, variable)])
    assert np.abs(variables[0] - start).max() > 0.5
    names = [[v.name for v in optimizer.variables] for optimizer in optimizers]
    assert names[0] == names[1]
    # 1 - beta_2 is 0.001 to Keras and 1 - float32(0.999), 1.3e-5 more, to TensorFlow's
    # operation: so is the velocity, and each of 20 steps of up to 0.1 by half of that.
    for one, other in zip(
        optimizers[0].variables, optimizers[1].variables, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-7)
    np.testing.assert_allclose(*variables, rtol=0, atol=2e-5)


# Learning rate and decay of weights by their names; all others have 1 and 1.
GROUPS = ("logits/*:3", "stem_conv/kernel:0.5:0.25", "stem_*:0.25")
FACTORS = {
    "logits/kernel": (3, 1),
    "logits/bias": (3, 1),
    "stem_conv/kernel": (0.5, 0.25),
    **{f"stem_batch_norm/{name}": (0.25, 1) for name in ("gamma", "beta")},
    "stem_prelu/alpha": (0.25, 1),
}


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_groups_by_hand(name):
    """Each weight takes a step of its own rate, and the first group that fits counts.

    Adam's first step along a gradient of ones is the learning rate, as SGD's is.
    """
    rate, decay = 0.125, 0.5
    model = randomize(real_to_binary("binary"))
    settings = Optimizer(
        name, momentum=0.0, weight_decay=decay, decay="decoupled", groups=GROUPS
    )
    optimizer = make_optimizer(settings, rate, model)
    before = {n: np.array(v) for n, v in named_weights(model).items()}
    variables = model.trainable_variables
    optimizer.apply_gradients([(tf.ones_like(v), v) for v in variables])
    moved = {id(variable) for variable in variables}
    for weight, variable in named_weights(model).items():
        faster, stronger = FACTORS.get(weight, (1, 1))
        expected = before[weight]
        if id(variable) in moved:
            if weight in REAL_KERNELS:
                expected = expected * (1 - rate * faster * decay * stronger)
            expected = expected - rate * faster
            if weight in BINARY_KERNELS:
                expected = np.clip(expected, -1, 1)
        np.testing.assert_allclose(
            variable, expected, rtol=1e-5, atol=1e-5, err_msg=weight
        )


def test_l2_decay_of_groups():
    student = randomize(real_to_binary("binary"))
    settings = Optimizer(weight_decay=0.5, groups=GROUPS)
    model = Distiller(
        student,
        l2=0.5,
        l2_variables=decayed_variables(student),
        l2_factors=l2_factors(settings, student),
    )
    model.compile(run_eagerly=True)
    logs = model.test_on_batch(images(4), classes(4), return_dict=True)
    named = named_weights(student)
    squares = {name: (np.array(named[name]) ** 2).sum() for name in REAL_KERNELS}
    expected = sum(x * FACTORS.get(name, (1, 1))[1] / 2 for name, x in squares.items())
    assert logs["l2"] == pytest.approx(expected, rel=1e-5)
    assert expected < 0.49 * sum(squares.values())  # the factor is seen


def test_frozen_layers_keep_weights_and_statistics():
    student = randomize(real_to_binary("binary"))
    settings = Optimizer("sgd", groups=("logits/*:1", "*:0"))
    freeze(settings, student)
    before = {n: np.array(v) for n, v in named_weights(student).items()}
    model = Distiller(student)
    model.compile(make_optimizer(settings, 0.1, student), run_eagerly=True)
    model.train_on_batch(images(4), one_hot(classes(4)))
    after = {n: np.array(v) for n, v in named_weights(student).items()}
    moved = {name for name in before if (before[name] != after[name]).any()}
    freeze(Optimizer(), student)
    assert moved == {"logits/kernel", "logits/bias"}
    assert len(student.trainable_variables) > 2


@pytest.mark.parametrize("downsample", ["real", "binary"])
@pytest.mark.parametrize("blocks", [(2, 2, 2, 2), (3, 4, 6, 3)])
def test_the_documented_patterns_are_of_the_binary_kernels(blocks, downsample):
    texts = re.findall(r'"(block_\S*:0.2:0)"', Optimizer.__doc__)
    texts = texts[: 2 if downsample == "binary" else 1]
    options = {"width": 4, "blocks": blocks, "downsample": downsample}
    model = build_model("real_to_binary18", "binary", (32, 32, 3), 5, **options)
    binary = {
        f"{layer.name}/kernel"
        for layer in model.layers
        if getattr(layer, "kernel_quantizer", None) is not None
    }
    patterns = [Group.parse(text).pattern for text in texts]
    weights = named_weights(model)
    found = {name for p in patterns for name in fnmatch.filter(weights, p)}
    assert found == binary
    shortcuts = 3 if downsample == "binary" else 0
    assert len(binary) == 2 * sum(blocks) + shortcuts


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (("logit/*:3",), "'logit/*', which fits no weight"),
        (("logits/*:3", "logits/bias:2"), "'logits/bias', which fits no weight"),
        (("stem_batch_norm/gamma:0",), "'stem_batch_norm' and not others"),
        (("*:0",), "freezes all weights"),
    ],
)
def test_groups_that_do_not_fit(texts, words):
    model = real_to_binary("binary")
    with pytest.raises(InputError, match=re.escape(words)):
        freeze(Optimizer(groups=texts), model)
    freeze(Optimizer(), model)


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_gradients_are_clipped_by_their_common_norm(name):
    """To a norm of 1, all together: they keep their direction."""
    model = plain()
    kernel, bias = model.get_layer("dense").weights
    settings = Optimizer(name, momentum=0.0, clip_norm=1.0)
    optimizer = make_optimizer(settings, 0.5, model)
    optimizer.build([kernel, bias])
    before = values([kernel, bias])
    gradients = [tf.fill(kernel.shape, 3.0), tf.fill(bias.shape, 4.0)]
    norm = np.sqrt(sum((np.array(gradient) ** 2).sum() for gradient in gradients))
    optimizer.apply_gradients(zip(gradients, [kernel, bias], strict=True))
    for variable, old, gradient in zip([kernel, bias], before, gradients, strict=True):
        step = gradient / norm if name == "sgd" else tf.ones_like(gradient)
        np.testing.assert_allclose(variable, old - 0.5 * step, rtol=1e-4, atol=1e-5)
    if name == "adam":  # its steps have no norm, its momenta do
        np.testing.assert_allclose(optimizer._momentums[1], 0.1 * 4.0 / norm, rtol=1e-5)


def test_small_gradients_are_not_clipped():
    model = plain()
    kernel = model.get_layer("dense").kernel
    (before,) = values([kernel])
    settings = Optimizer("sgd", momentum=0.0, clip_norm=1e3)
    optimizer = make_optimizer(settings, 0.5, model)
    optimizer.apply_gradients([(tf.ones_like(kernel), kernel)])
    np.testing.assert_allclose(kernel, before - 0.5, rtol=1e-5, atol=1e-6)
