"""Sizes and operation counts: the paper's exact numbers, and a network by hand."""

import pytest

from r2b_keras import models
from r2b_keras.environment import lq, tf
from tests.networks import build_model


@pytest.fixture(scope="module")
def larq_zoo_network():
    """ImageNet's network with larq-zoo's choices."""
    return build_model(
        "real_to_binary18",
        "binary",
        (224, 224, 3),
        1000,
        rescaling="gate",
        gate_width="in",
        stem_activation="prelu",
    )


def test_exact_numbers_at_224(larq_zoo_network):
    assert larq_zoo_network.count_params() == 11_995_624
    size = models.model_size(larq_zoo_network)
    assert size.binary_macs == 1_676_279_808
    # Four of 64 to 64 channels; then, per group, one that doubles them and three more.
    kernels = 9 * 64**2 * (4 + sum(4**g * (0.5 + 3) for g in (1, 2, 3)))
    assert size.binary_parameters == kernels == 10_985_472


def test_larq_summary_prints_the_gate(larq_zoo_network):
    lines = []
    lq.models.summary(larq_zoo_network, print_fn=lines.append)
    table = "\n".join(lines).split("Total params")[0].replace("|", " ")
    rows = {row.split()[0]: row.split() for row in table.splitlines() if row.strip()}
    gate = rows["block_3a_gate"]
    # 64 to 64 / 8 to 128 channels: parameters, kB, binary and real operations.
    assert gate[-5:] == ["0", "1536", "6.00", "0", "1536"]
    assert rows["block_3a_conv"][-5:] == ["73728", "0", "9.00", "57802752", "0"]
    total = rows["Total"]
    assert total[-2] == "1676279808"
    size = models.model_size(larq_zoo_network)
    assert int(total[-1]) == size.macs - size.binary_macs


def test_a_tiny_network_by_hand():
    model = build_model(
        "real_to_binary18", "binary", (4, 4, 1), 3, width=8, blocks=(1,), stem="cifar"
    )
    size = models.model_size(model)
    stem = 9 * 1 * 8 + 2 * 8 + 8  # convolution, BatchNorm folded, PReLU
    half_block = 2 * 8 + 8 + (8 * 1 + 1 * 8) + 8  # BatchNorm, alpha, gate, PReLU
    logits = 8 * 3 + 3
    binary = 2 * 9 * 8 * 8
    real = stem + 2 * half_block + logits
    assert (size.parameters, size.binary_parameters) == (binary + real, binary)
    assert size.bytes == (binary + 32 * real) / 8 == 1020
    assert size.binary_macs == binary * 4 * 4
    assert size.macs == size.binary_macs + 9 * 8 * 4 * 4 + 2 * 16 + 24


def test_bytes_are_rounded_up():
    image = tf.keras.Input((3, 3, 1))
    x = lq.layers.QuantConv2D(
        1,
        3,
        use_bias=False,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(image)
    size = models.model_size(tf.keras.Model(image, x))
    assert size == models.ModelSize(9, 9, bytes=2, macs=9, binary_macs=9)


def test_half_binary_networks_have_no_binary_operations():
    for binarization in ("soft", "binary_activations"):
        model = build_model(
            "real_to_binary18", binarization, (4, 4, 1), 3, width=8, blocks=(1,)
        )
        size = models.model_size(model)
        assert (size.binary_parameters, size.binary_macs) == (0, 0)
