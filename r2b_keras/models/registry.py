"""The networks by name; commands, tests and benchmarks all iterate this registry."""

import dataclasses
import difflib
from collections.abc import Callable
from numbers import Integral
from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import blocks
from r2b_keras.networks import Network

layers = tf.keras.layers


@dataclasses.dataclass(frozen=True)
class Entry:
    """One family of networks.

    Attributes:
      block: the function that makes a residual block.
      binarizations: the binarizations it can be built with.
      stem_activation: "relu", "prelu", or None for what the network says.
    """

    block: Callable[..., tf.Tensor]
    binarizations: tuple[str, ...]
    stem_activation: str | None = None


_BINARY = ("soft", "binary_activations", "binary")

REGISTRY: dict[str, Entry] = {
    "resnet18": Entry(blocks.real_block, ("real",), stem_activation="relu"),
    "real_to_binary18": Entry(blocks.binary_block, _BINARY),
    "strong_baseline18": Entry(blocks.binary_block, _BINARY),
}


def names() -> tuple[str, ...]:
    """Names that `build` knows."""
    return tuple(REGISTRY)


def build_network(
    network: Network, input_shape: tuple[int, int, int], num_classes: int
) -> tf.keras.Model:
    """Builds the network that `network` describes.

    Args:
      network: name, binarization and options.
      input_shape: `(H, W, C)` of the images, in pixels.
      num_classes: width of the last layer.

    Returns:
      A Keras model from images `[B, H, W, C]` to logits `[B, num_classes]`, with layers
      named `block_1` ... `block_n` (the end of each block) and `logits`.

    Raises:
      InputError: an unknown name, a binarization that this network does not have, an
        `input_shape` that is not one of images, or no classes.
    """
    entry = find(network)
    _check_sizes(input_shape, num_classes)
    network = dataclasses.replace(network, rescaling=network.rescaling_used)
    inputs = layers.Input(input_shape, name="image")
    x = blocks.stem(inputs, network, entry.stem_activation or network.stem_activation)
    index = 0
    for group, num_blocks in enumerate(network.blocks):
        for position in range(num_blocks):
            index += 1
            strides = 2 if group > 0 and position == 0 else 1
            filters = network.width * 2**group
            x = entry.block(x, filters, strides, network, f"block_{index}")
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    # Float32 whatever the compute precision: the losses take logarithms of it.
    logits = layers.Dense(
        num_classes,
        kernel_initializer=blocks.KERNEL_INITIALIZER,
        dtype="float32",
        name="logits",
    )(x)
    return tf.keras.Model(inputs, logits, name=f"{network.name}_{network.binarization}")


def build(
    name: str,
    binarization: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    **options: Any,
) -> tf.keras.Model:
    """Builds a network by name.

    Args:
      name: one of `names()`.
      binarization: "real" for `resnet18`; "soft" (tanh, real weights),
        "binary_activations" or "binary" for the others.
      input_shape: `(H, W, C)` of the images, in pixels.
      num_classes: width of the last layer.
      **options: fields of `r2b_keras.networks.Network`, for example `width=16`.

    Returns:
      A Keras model from images `[B, H, W, C]` to logits `[B, num_classes]`.

    Raises:
      InputError: an unknown name, binarization, option or value.
    """
    known = [field.name for field in dataclasses.fields(Network)]
    known = [field for field in known if field not in ("name", "binarization")]
    for option in options:
        if option not in known:
            nearest = difflib.get_close_matches(option, known, 1, cutoff=0.0)
            raise InputError(
                f"Unknown option {option!r} of {name}; did you mean {nearest[0]!r}?"
            )
    return build_network(
        Network(name, binarization, **options), input_shape, num_classes
    )


def find(network: Network) -> Entry:
    """Returns the registry's entry for a network.

    Raises:
      InputError: an unknown name, or a binarization that this network does not have.
    """
    if network.name not in REGISTRY:
        raise InputError(
            f"Unknown network {network.name!r}, expected one of {', '.join(names())}."
        )
    entry = REGISTRY[network.name]
    if network.binarization not in entry.binarizations:
        raise InputError(
            f"Network {network.name!r} has no binarization {network.binarization!r}, "
            f"expected one of {', '.join(entry.binarizations)}."
        )
    return entry


def _check_sizes(input_shape: Any, num_classes: Any) -> None:
    sizes = tuple(input_shape) if isinstance(input_shape, tuple | list) else ()
    # Height and width may be unknown.
    counts = [size for size in sizes[:2] if size is not None] + list(sizes[2:])
    if len(sizes) != 3 or not all(_is_count(count) for count in counts):
        raise InputError(
            f"The input shape is {input_shape!r}, expected (height, width, channels) "
            "in pixels, for example (224, 224, 3)."
        )
    if not _is_count(num_classes):
        raise InputError(
            f"num_classes is {num_classes!r}, expected a whole number of at least 1."
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1
