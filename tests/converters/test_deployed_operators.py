"""The training-time binary convolution against the deployed one, to the bit.

Both against an independent NumPy implementation in whole numbers. A sum of +1 and -1 is
exact in float32 up to 2^24, so there is no tolerance.
"""

import itertools

import binary_networks as nets
import numpy as np
import pytest

from r2b_keras.converters import engines, flatbuffer, tflite_file
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (7, 9, 65)
# One word of 32 bits holds 32 channels: around it, one and two of them.
CHANNELS = (1, 3, 8, 31, 32, 33, 64, 65)
PADDINGS = (("valid", 0.0), ("same", 0.0), ("same", 1.0))
BATCH_SIZES = (1, 3)


def is_odd_with_zeros(case):
    """What the engine's reference kernel does not have."""
    channels, _, (padding, pad_value), _ = case
    return channels % 2 == 1 and (padding, pad_value) == ("same", 0.0)


CASES = [
    (channels, strides, padding, size)
    for channels, (strides, size), padding in itertools.product(
        CHANNELS, ((1, (5, 7)), (2, (7, 9))), PADDINGS
    )
]
# An even number of rows, where SAME pads one side only at a stride of 2.
CASES += [(8, 2, padding, (6, 9)) for padding in PADDINGS]


def convolve(x, kernel, strides, padding, pad_value):
    """`[B, H, W, I]` and `[k, k, I, O]` of -1 and +1, in whole numbers."""
    size = kernel.shape[0]
    if padding == "same":
        pads = []
        for length in x.shape[1:3]:
            total = max((-(-length // strides) - 1) * strides + size - length, 0)
            pads.append((total // 2, total - total // 2))
        x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=int(pad_value))
    windows = np.lib.stride_tricks.sliding_window_view(x, (size, size), (1, 2))
    return np.einsum("bhwcij,ijco->bhwo", windows[:, ::strides, ::strides], kernel)


def make(cases):
    """All convolutions of one image, each of its corner and of its first channels."""
    image, outputs = tf.keras.Input(SHAPE), []
    corners = {}
    for channels, strides, (padding, pad_value), (height, width) in cases:
        size = (height, width, channels)
        if size not in corners:
            corners[size] = image[:, :height, :width, :channels]
        layer = nets.binary_convolution(
            5, padding=padding, strides=strides, pad_values=pad_value
        )
        outputs.append(layer(corners[size]))
    return nets.one_output(image, outputs), outputs


def expected(model, cases, images):
    """What NumPy makes of the images, for every convolution."""
    found = [x for x in model.layers if isinstance(x, lq.layers.QuantConv2D)]
    for layer, (channels, strides, padding, (height, width)) in zip(
        found, cases, strict=True
    ):
        kernel = np.where(layer.get_weights()[0] >= 0, 1, -1)
        corner = images[:, :height, :width, :channels].astype(int)
        yield convolve(corner, kernel, strides, *padding)


@pytest.fixture(scope="module", params=[False, True], ids=["usual", "odd with zeros"])
def network(request):
    """Network, its outputs, flatbuffer, cases, and the engines that can run it."""
    cases = [case for case in CASES if is_odd_with_zeros(case) == request.param]
    model, outputs = make(cases)
    names = nets.lce_engines(*["lce_reference"] * request.param)
    return model, outputs, flatbuffer.convert(model), cases, names


def test_convolutions_are_equal_to_the_bit(network):
    model, outputs, content, cases, names = network
    counts = tflite_file.count_operators(content)
    assert counts["LceBconv2d"] == len(cases) > 8
    images = nets.random_signs(SHAPE, num=4)
    wanted = list(expected(model, cases, images))
    trained = nets.parts(model.predict_on_batch(images), outputs)
    for case, got, right in zip(cases, trained, wanted, strict=True):
        np.testing.assert_array_equal(got, right, f"Keras, {case}")
        # Of a random walk of some steps, neither all zero nor always one value.
        assert right.std() > 0.5
    for name, batch_size in itertools.product(names, BATCH_SIZES):
        scores = nets.run(content, images, name, batch_size)
        deployed = nets.parts(scores, outputs)
        for case, got, right in zip(cases, deployed, wanted, strict=True):
            message = f"{name}, batches of {batch_size}, {case}"
            np.testing.assert_array_equal(got, right, message)


def test_the_reference_kernel_has_no_odd_channels_with_zeros():
    """So engines say so, and do not compute something else."""
    model, _ = make([(3, 1, ("same", 0.0), (5, 7))])
    content = flatbuffer.convert(model)
    with pytest.raises(InputError, match="lce_reference cannot run this"):
        engines.load(content, "lce_reference")


# --- Signs of real numbers -----------------------------------------------------------


def test_signs_of_zeros_and_of_all_else():
    """sign(0) is +1 and sign(-0) too, in training and on the device."""
    image = tf.keras.Input((1, 1, 40))
    layer = nets.binary_convolution(40, 1)
    model = nets.one_output(image, [layer(image)])
    # One input for each output, as it is.
    layer.kernel.assign(np.where(np.eye(40), 1, -1)[None, None])
    images = np.resize(
        np.float32([0.0, -0.0, 1e-30, -1e-30, 3e38, -3e38, 1, -1, -0.5]), (9, 1, 1, 40)
    )
    sign = np.where(images >= 0, 1, -1)
    total = sign.sum(-1, keepdims=True)
    wanted = (2 * sign - total).reshape(9, 40)
    np.testing.assert_array_equal(model.predict_on_batch(images), wanted)
    content = flatbuffer.convert(model)
    for name in nets.lce_engines():
        for batch_size in BATCH_SIZES:
            found = nets.run(content, images, name, batch_size)
            np.testing.assert_array_equal(found, wanted)


# --- Operators that follow a binary convolution --------------------------------------


def chains(image):
    """Packed outputs, pooled ones, and a learned factor."""
    first = nets.binary_convolution(33, pad_values=1.0, name="packed")(image)
    yield nets.binary_convolution(6)(nets.batch_norm(name="norm")(first))
    pooled = layers.MaxPool2D(3, 2, "same")(image)
    yield nets.binary_convolution(6, name="after_pool")(pooled)


def test_packed_outputs_and_pooled_signs():
    """LceBconv2d with thresholds, LceBMaxPool2d: what follows is equal to the bit."""
    image = tf.keras.Input((7, 5, 34))
    model = nets.randomize(nets.one_output(image, list(chains(image))))
    content = flatbuffer.convert(model)
    counts = tflite_file.count_operators(content)
    # Of the convolution with BatchNorm only signs are ever stored.
    assert (counts["LceQuantize"], counts["LceBconv2d"]) == (1, 3)
    assert counts["LceBMaxPool2d"] == 1 and set(counts) <= {
        *engines.LCE_OPERATORS,
        "RESHAPE",
        "CONCATENATION",
    }
    images = nets.random_signs((7, 5, 34), num=8)
    wanted = list(numpy_chains(model, images))
    wanted = np.concatenate([x.reshape(8, -1) for x in wanted], axis=1)
    np.testing.assert_array_equal(model.predict_on_batch(images), wanted)
    # The reference kernel has no zero padding of odd numbers of channels.
    for name in nets.lce_engines("lce_reference"):
        for batch_size in BATCH_SIZES:
            found = nets.run(content, images, name, batch_size)
            np.testing.assert_array_equal(found, wanted)


def numpy_chains(model, images):
    """The same in float64: what BatchNorm binarizes is far from 0 compared to that."""
    found = [x for x in model.layers if isinstance(x, lq.layers.QuantConv2D)]
    kernels = {x.name: np.where(x.get_weights()[0] >= 0, 1, -1) for x in found}
    last = ({*kernels} - {"packed", "after_pool"}).pop()
    gamma, beta, mean, variance = map(np.float64, model.get_layer("norm").get_weights())
    assert gamma.min() < 0 and (gamma == 0).sum() == 2
    x = convolve(images.astype(int), kernels["packed"], 1, "same", 1)
    x = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    assert np.abs(x).min() > 1e-9
    yield convolve(np.where(x >= 0, 1, -1), kernels[last], 1, "same", 0)
    padded = np.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    pooled = windows[:, ::2, ::2].max((-1, -2)).astype(int)
    yield convolve(pooled, kernels["after_pool"], 1, "same", 0)
