"""The half block of Fig. 1 against a NumPy version of the whole of it."""

import numpy as np
import numpy_reference as reference
import pytest

from r2b_keras.environment import tf
from r2b_keras.models import blocks
from r2b_keras.networks import RESCALINGS, Network

EPSILON = 1e-3
CHANNELS, FILTERS = 8, 16


def randomize(model, seed=3):
    """Weights as after training: statistics off 0 and 1, gamma of every sign."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for weight in layer.weights:
            value = rng.normal(size=weight.shape)
            if "moving_variance" in weight.name:
                value = value**2 + 0.2
            weight.assign(value)
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            for weight in (layer.gamma, layer.beta):
                value = weight.numpy()
                value[0] = 0.0  # then BatchNorm gives 0 everywhere, and sign(0) = +1
                weight.assign(value)
            assert layer.gamma.numpy().min() < 0


class HalfBlock:
    """The half block, from the weights of a Keras model by name."""

    def __init__(self, model, network, strides):
        self.weights = {w.name.split(":")[0]: np.float64(w) for w in model.weights}
        self.network = network
        self.strides = strides

    def batch_norm(self, x, name):
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return reference.batch_norm(
            x, *(self.weights[f"{name}/{part}"] for part in names), EPSILON
        )

    def signed_convolution(self, x, name, strides):
        clear = np.abs(x) > 1e-5  # no sign hangs on float32's rounding
        assert (clear | (x == 0)).all()
        weights = self.weights[f"{name}/kernel"]
        signs = reference.sign(weights)
        if self.network.rescaling == "analytic":
            signs = signs * np.abs(weights).mean(axis=(0, 1, 2))
        pad = self.network.pad_value
        return reference.convolve(reference.sign(x), signs, strides, pad)

    def rescaled(self, x, normalized):
        kind = self.network.rescaling
        if kind in ("channel_scale", "gate_and_scale"):
            x = x * self.weights["half_scale/scale"]
        if kind in ("gate", "gate_and_scale"):
            names = ("half_gate/reduce_kernel", "half_gate/expand_kernel")
            x = x * reference.gate(normalized, *(self.weights[name] for name in names))
        if kind == "outer_product_scale":
            for part in ("height", "width", "channel"):
                x = x * self.weights[f"half_scale/{part}_scale"]
        if kind == "analytic":
            x = x * reference.activation_scale(normalized, 3, self.strides)
        return x

    def skip(self, x):
        if self.strides == 1:
            return x
        x = reference.average_pool(x)
        if self.network.downsample == "binary":
            x = self.batch_norm(x, "half_shortcut_threshold")
            x = self.signed_convolution(x, "half_shortcut_conv", 1)
        else:
            x = reference.convolve(x, self.weights["half_shortcut_conv/kernel"], 1)
        return self.batch_norm(x, "half_shortcut_batch_norm")

    def __call__(self, x):
        normalized = self.batch_norm(x, "half_batch_norm")
        y = self.signed_convolution(normalized, "half_conv", self.strides)
        y = self.rescaled(y, normalized)
        y = reference.prelu(y, self.weights["half_prelu/alpha"])
        return y + self.skip(x)


@pytest.mark.parametrize(
    ("strides", "downsample", "pad_value", "size"),
    [
        (1, "real", 0.0, (6, 7)),
        (2, "real", 0.0, (7, 6)),
        (2, "binary", 0.0, (1, 1)),
        (2, "binary", 1.0, (5, 5)),
    ],
)
@pytest.mark.parametrize("rescaling", RESCALINGS)
def test_half_block(rescaling, strides, downsample, pad_value, size):
    check_half_block(rescaling, strides, downsample, pad_value, size)


def check_half_block(rescaling, strides, downsample, pad_value, size, **options):
    network = Network(
        "real_to_binary18",
        "binary",
        rescaling=rescaling,
        downsample=downsample,
        reduction=2,
        pad_value=pad_value,
        batch_norm_epsilon=EPSILON,
        **options,
    )
    filters = CHANNELS if strides == 1 else FILTERS
    image = tf.keras.Input((*size, CHANNELS))
    outputs = blocks.binary_half_block(image, filters, strides, network, "half", "end")
    model = tf.keras.Model(image, outputs)
    randomize(model)

    x = np.random.default_rng(4).normal(size=(3, *size, CHANNELS)).astype("float32")
    expected = HalfBlock(model, network, strides)(np.float64(x))
    found = model(x, training=False).numpy()
    assert found.shape == (3, *(-(-n // strides) for n in size), filters)
    # float32 against float64: sums of at most 72 terms.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale, rtol=1e-5)
    assert model.layers[-1].name == "end"


def test_real_block():
    """He et al.'s basic block: the skip is added before the last ReLU."""
    network = Network("resnet18", "real", batch_norm_epsilon=EPSILON)
    image = tf.keras.Input((5, 4, 3))
    model = tf.keras.Model(image, blocks.real_block(image, 6, 2, network, "half"))
    randomize(model)
    block = HalfBlock(model, network, strides=2)
    x = np.random.default_rng(4).normal(size=(2, 5, 4, 3)).astype("float32")

    y = reference.convolve(x, block.weights["halfa_conv/kernel"], 2)
    y = np.maximum(block.batch_norm(y, "halfa_batch_norm"), 0)
    y = reference.convolve(y, block.weights["halfb_conv/kernel"], 1)
    y = block.batch_norm(y, "halfb_batch_norm") + block.skip(np.float64(x))
    expected = np.maximum(y, 0)
    assert 0 < (expected == 0).sum() < expected.size
    atol = 1e-5 * expected.max()
    np.testing.assert_allclose(model(x, training=False), expected, atol=atol)
