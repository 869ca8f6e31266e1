"""Networks under Keras's mixed precision policies."""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.environment import tf
from tests.networks import build_model

OPTIONS = {"width": 8, "blocks": (1,), "stem": "cifar"}
POLICIES = ["mixed_bfloat16", "mixed_float16"]


def build(name, binarization, shape=(8, 8, 3), **options):
    return build_model(name, binarization, shape, 5, **{**OPTIONS, **options})


def images():
    return np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    ("name", "binarization", "options"),
    [
        ("resnet18", "real", {}),
        ("real_to_binary18", "binary", {"rescaling": "gate_and_scale"}),
        ("real_to_binary18", "binary", {"rescaling": "analytic"}),
        ("real_to_binary18", "binary", {"rescaling": "outer_product_scale"}),
        ("real_to_binary18", "binary", {"stem": "quicknet"}),
    ],
)
def test_a_step_with_float32_logits_and_weights(policy, name, binarization, options):
    tf.keras.mixed_precision.set_global_policy(policy)
    model = build(name, binarization, **options)
    with tf.GradientTape() as tape:
        outputs = models.with_intermediates(model, ["block_1"])(images(), training=True)
        loss = tf.reduce_mean(outputs["logits"] ** 2)
    assert outputs["block_1"].dtype == policy.removeprefix("mixed_")
    assert outputs["logits"].dtype == tf.float32
    assert np.isfinite(outputs["logits"]).all()
    assert {weight.dtype for weight in model.weights} == {tf.float32}
    for weight, gradient in zip(
        model.trainable_weights,
        tape.gradient(loss, model.trainable_weights),
        strict=True,
    ):
        assert gradient.dtype == tf.float32
        assert np.isfinite(gradient).all(), weight.name


def test_float16_sums_large_maps_in_float32():
    """65,536 positions before the classifier: in float16 their mean would be 0."""
    x = np.full((1, 256, 256, 3), 3.0, np.float32)
    options = {"blocks": (1,), "stem": "cifar"}
    plain = build("resnet18", "real", (256, 256, 3), **options)
    tf.keras.mixed_precision.set_global_policy("mixed_float16")
    mixed = build("resnet18", "real", (256, 256, 3), **options)
    mixed.set_weights(plain.get_weights())
    expected, found = (
        models.with_intermediates(model, ["pool"])(x)["pool"].numpy()
        for model in (plain, mixed)
    )
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_function_up_to_rounding(policy):
    """Of the network without signs: a sign may turn on a rounding."""
    plain = build("real_to_binary18", "soft", blocks=(1, 1))
    tf.keras.mixed_precision.set_global_policy(policy)
    mixed = build("real_to_binary18", "soft", blocks=(1, 1))
    mixed.set_weights(plain.get_weights())
    expected = plain(images()).numpy()
    # bfloat16 has 8 bits: 0.4 % an operation, over some 20 of them.
    tolerance = {"mixed_bfloat16": 0.05, "mixed_float16": 0.01}[policy]
    atol = tolerance * np.abs(expected).max()
    np.testing.assert_allclose(mixed(images()), expected, atol=atol)


def test_a_mixed_network_through_a_file(tmp_path):
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build("real_to_binary18", "binary")
    expected = model(images()).numpy()
    model.save(tmp_path / "model.keras")
    tf.keras.mixed_precision.set_global_policy("float32")
    loaded = models.load(tmp_path / "model.keras")
    assert loaded.get_layer("block_1a_gate").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(loaded(images()), expected)
