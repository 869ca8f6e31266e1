"""Networks from their descriptions; the names are in `r2b_keras.networks`."""

import pkgutil
from typing import Any

from r2b_keras.checks import is_count, require, require_code, require_count
from r2b_keras.environment import tf
from r2b_keras.models import blocks, stems
from r2b_keras.networks import FAMILIES, Network
from r2b_keras.normalisation import Normalisation

layers = tf.keras.layers

# Name of the last layer of every network.
CLASSIFIER = "logits"


def build_network(
    network: Network,
    input_shape: tuple[int, int, int],
    num_classes: int,
    normalisation: Normalisation | None = None,
) -> tf.keras.Model:
    """Builds the network that `network` describes.

    Args:
      network: name, binarization and options.
      input_shape: `(H, W, C)` of the images, in pixels.
      num_classes: width of the last layer.
      normalisation: how pixels become those images; a network whose real layers are of
        integers has it in its first one.

    Returns:
      A Keras model from images `[B, H, W, C]` to logits `[B, num_classes]`, with layers
      named `block_1` ... `block_n` (the end of each block) and `logits`.

    Raises:
      InputError: an `input_shape` that is not one of images, no classes, or an entry of
        a registry that names no code; or real layers of integers without a
        normalisation, or with sums beyond float32.
    """
    _check_sizes(input_shape, num_classes)
    for entry, code in network.code().items():
        require_code(entry, code)
    family = FAMILIES[network.name]
    block = pkgutil.resolve_name(family.block)
    inputs = layers.Input(input_shape, name="image")
    activation = family.stem_activation or network.stem_activation
    x = stems.stem(inputs, network, activation, normalisation)
    index = 0
    for group, num_blocks in enumerate(network.blocks):
        for position in range(num_blocks):
            index += 1
            strides = 2 if group > 0 and position == 0 else 1
            filters = network.width * 2**group
            x = block(x, filters, strides, network, f"block_{index}")
    # The sum of a large map overflows float16, or loses what is added last.
    is_narrow = tf.keras.mixed_precision.global_policy().compute_dtype == "float16"
    dtype = "float32" if is_narrow else None
    x = layers.GlobalAveragePooling2D(name="pool", dtype=dtype)(x)
    logits = blocks.classifier(x, num_classes, network, CLASSIFIER)
    return tf.keras.Model(inputs, logits, name=f"{network.name}_{network.binarization}")


def _check_sizes(input_shape: Any, num_classes: Any) -> None:
    sizes = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    # Height and width may be unknown.
    known = [size for size in sizes[:2] if size is not None] + list(sizes[2:])
    require(
        len(sizes) == 3 and all(map(is_count, known)),
        "The input shape",
        input_shape,
        "(height, width, channels) in pixels, for example (224, 224, 3)",
    )
    require_count("num_classes", num_classes)
