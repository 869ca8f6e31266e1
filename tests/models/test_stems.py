"""Stems against NumPy, and what they cost."""

import numpy as np
import numpy_reference as reference
import pytest

from r2b_keras.environment import tf
from r2b_keras.models.stems import stem
from r2b_keras.networks import Network
from r2b_keras.reports import operations
from tests.networks import build_model

EPSILON = 1e-3


def random_stem(kind, shape, width=8, name="quicknet"):
    """A stem alone, with weights as after training, and its weights by name."""
    options = {"width": width, "stem": name, "batch_norm_epsilon": EPSILON}
    network = Network("real_to_binary18", "binary", **options)
    image = tf.keras.Input(shape)
    model = tf.keras.Model(image, stem(image, network, kind))
    generator = np.random.default_rng(5)
    for weight in model.weights:
        value = generator.normal(size=weight.shape)
        weight.assign(value**2 + 0.2 if "variance" in weight.name else value)
    return model, {w.name.split(":")[0]: np.float64(w) for w in model.weights}


def depthwise(x, weights, strides):
    """Each channel `[B, H, W, 1]` by its own `[k, k, 1, 1]`."""
    parts = [
        reference.convolve(x[..., c : c + 1], weights[:, :, c : c + 1], strides)
        for c in range(x.shape[-1])
    ]
    return np.concatenate(parts, axis=-1)


@pytest.mark.parametrize("kind", ["relu", "prelu"])
@pytest.mark.parametrize("shape", [(12, 8, 3), (7, 9, 1), (1, 1, 3)])
def test_quicknet_stem_against_numpy(kind, shape):
    model, weights = random_stem(kind, shape)

    def batch_norm(x, name):
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        values = (weights[f"{name}_batch_norm/{part}"] for part in names)
        return reference.batch_norm(x, *values, EPSILON)

    x = np.random.default_rng(6).normal(size=(3, *shape)).astype(np.float32)
    assert weights["stem_conv/kernel"].shape == (3, 3, shape[-1], 2)
    y = batch_norm(reference.convolve(x, weights["stem_conv/kernel"], 2), "stem")
    slope = weights["stem_prelu/alpha"] if kind == "prelu" else 0.0
    y = reference.prelu(y, slope)
    y = depthwise(y, weights["stem_depthwise/depthwise_kernel"], 2)
    y = batch_norm(y, "stem_depthwise")
    y = reference.convolve(y, weights["stem_pointwise/kernel"], 1)
    y = batch_norm(y, "stem_pointwise")
    found = model(x, training=False)
    assert found.shape == (3, -(-shape[0] // 4), -(-shape[1] // 4), 8)
    # float32 against float64: sums of at most 27 terms.
    np.testing.assert_allclose(found, y, atol=1e-5 * np.abs(y).max())


def test_what_the_stems_cost():
    """At 224x224: 7 * 7 * 3 * 64 at 112x112, and the three of QuickNet's."""
    expected = {
        "imagenet": 112 * 112 * 147 * 64,
        "quicknet": 112 * 112 * 27 * 16 + 56 * 56 * (9 * 16 + 16 * 64),
    }
    for name, macs in expected.items():
        model = build_model(
            *("real_to_binary18", "binary", (224, 224, 3), 10), stem=name, blocks=(1,)
        )
        (part,) = [x for x in operations.count(model) if x.name == "stem"]
        assert part.real_macs == macs and part.binary_macs == 0
    assert expected["imagenet"] / expected["quicknet"] > 12.9
