"""Which weights of larq's layers are quantized, and by what."""

from collections.abc import Iterator
from typing import Any

from r2b_keras.environment import tf

# A kernel by the name of what quantizes it.
KERNELS = {
    "kernel_quantizer": "kernel",
    "depthwise_quantizer": "depthwise_kernel",
    "pointwise_quantizer": "pointwise_kernel",
}
QUANTIZERS = ("input_quantizer", *KERNELS)


def quantized_kernels(
    layer: tf.keras.layers.Layer,
) -> Iterator[tuple[tf.Variable, Any]]:
    """The latent weights of a layer that are quantized, each with its quantizer."""
    for name, kernel in KERNELS.items():
        quantizer = getattr(layer, name, None)
        if quantizer is not None and hasattr(layer, kernel):
            yield getattr(layer, kernel), quantizer
