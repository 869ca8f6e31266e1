"""Weights by name, and their strict hand-over from one network to the next."""

import numpy as np

from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.models import integers
from r2b_keras.models.building import CLASSIFIER
from r2b_keras.networks import RESCALINGS

_NORMALISING = tf.keras.layers.BatchNormalization


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """Weights by `layer/weight`, the same for a built model and a loaded one.

    (TensorFlow's own variable names lose the layer when a model is loaded from a file.)

    Raises:
      InputError: two weights of one name, which could not be told apart.
    """
    found: dict[str, tf.Variable] = {}
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            inner = named_weights(layer)
            weights = {f"{layer.name}/{name}": inner[name] for name in inner}
        else:
            weights = {
                f"{layer.name}/{weight.name.split('/')[-1].split(':')[0]}": weight
                for weight in layer.weights
            }
            if len(weights) != len(layer.weights):
                raise InputError(
                    f"Layer {layer.name!r} of {model.name!r} has several weights of "
                    "one name, expected names that tell them apart: name its weights."
                )
        found |= weights
    return found


def hand_over(
    source: tf.keras.Model, target: tf.keras.Model, new_classifier: bool = False
) -> str:
    """Copies every weight of `source` to `target`, by name and shape.

    The range of an integer layer's inputs is copied where both networks have it; from a
    network of real layers to one of integers, it is found anew in training.

    Args:
      source: has the weights.
      target: gets them.
      new_classifier: let the classifier of `target` start anew where `source` has one
        for another number of classes.

    Returns:
      What was not copied and why, in a sentence; empty where everything was.

    Raises:
      InputError: a weight that only one of them has, or of another shape; nothing was
        copied.
    """
    given, wanted = named_weights(source), named_weights(target)
    sentence = ""
    classes = [_num_classes(weights) for weights in (given, wanted)]
    if new_classifier and None not in classes and classes[0] != classes[1]:
        sentence = (
            f"The classifier starts anew: {source.name!r} has {classes[0]} classes, "
            f"these images {classes[1]}."
        )
        given, wanted = (_without_classifier(weights) for weights in (given, wanted))
    ranges = integers.range_names(source) ^ integers.range_names(target)
    unmatched = sorted((set(given) ^ set(wanted)) - ranges)
    if unmatched:
        name = unmatched[0]
        owner = "former" if name in given else "latter"
        raise InputError(
            f"Weights of {source.name!r} do not fit {target.name!r}: only the {owner} "
            f"has {name!r} (and {len(unmatched) - 1} more differ); both stages need "
            "the same layout."
        )
    common = {name: wanted[name] for name in wanted if name in given}
    for name, variable in common.items():
        if variable.shape != given[name].shape:
            raise InputError(
                f"Weights of {source.name!r} do not fit {target.name!r}: {name!r} has "
                f"shape {tuple(given[name].shape)}, expected {tuple(variable.shape)}; "
                "both stages need the same width and options."
            )
    for name, variable in common.items():
        variable.assign(given[name])
    return sentence


def _num_classes(weights: dict[str, tf.Variable]) -> int | None:
    """Width of the classifier, the layer of this name in all networks of ours."""
    kernel = weights.get(f"{CLASSIFIER}/kernel")
    return None if kernel is None else int(kernel.shape[-1])


def _without_classifier(weights: dict[str, tf.Variable]) -> dict[str, tf.Variable]:
    own = f"{CLASSIFIER}/"
    return {name: x for name, x in weights.items() if not name.startswith(own)}


def absorb_magnitude(model: tf.keras.Model) -> int:
    """Makes alpha take over the size of the weights that are binary from now on.

    sign(W) has the size 1 whatever W had, and alpha was learned for W. Of all factors
    a, mean(|W|) over a filter makes a * sign(W) nearest to W (XNOR-Net, Eq. 1), so each
    alpha is multiplied by it; the binary network then starts near the one that it
    takes over, instead of with activations that are larger by orders of magnitude. Of
    a binarizer Q with other values than +-1 it is mean(W Q(W)) / mean(Q(W)^2).

    A BatchNorm behind a convolution takes its size away by itself, and a binarizer like
    XNOR-Net's leaves it in the weights: that factor is 1. Both are left as they are.

    Args:
      model: a network with weights that were real until now.

    Returns:
      How many convolutions have had their magnitude absorbed.

    Raises:
      InputError: nothing can take over the size of a convolution; nothing was changed.
    """
    found = []
    for layer in _binary_convolutions(model):
        magnitude = _lost_magnitude(layer)
        # The rounding of means over at most thousands of weights.
        if np.allclose(magnitude, 1, rtol=0, atol=1e-5):
            continue
        readers = dict.fromkeys(node.outbound_layer for node in layer.outbound_nodes)
        scales = [getattr(reader, "factor_per_channel", None) for reader in readers]
        if len(scales) == 1 and scales[0] is not None:
            found.append((scales[0], magnitude))
        elif not all(isinstance(reader, _NORMALISING) for reader in readers):
            able = [n for n, kind in RESCALINGS.items() if kind.absorbs_magnitude]
            raise InputError(
                f"The size of the weights of {layer.name!r} cannot be absorbed: "
                "expected a factor for each channel after it, or in them (rescaling "
                f"{' or '.join(map(repr, able))})."
            )
    for scale, magnitude in found:
        scale.assign(scale * magnitude)
    return len(found)


def require_real_weights(source: tf.keras.Model) -> None:
    """Refuses to start a stage that absorbs magnitudes from weights that have none.

    Raises:
      InputError: the convolutions of `source` are binary already.
    """
    if _binary_convolutions(source):
        raise InputError(
            f"absorb_magnitude is true, expected false: the weights of {source.name!r} "
            "are binary already, and its factors have their size."
        )


def _binary_convolutions(model: tf.keras.Model) -> list[tf.keras.layers.Layer]:
    return [
        layer
        for layer in model.layers
        if isinstance(layer, lq.layers.QuantConv2D) and layer.kernel_quantizer
    ]


def _lost_magnitude(layer: lq.layers.QuantConv2D) -> tf.Tensor:
    """The factor `[C_out]` that brings binary weights nearest to the real ones."""
    with lq.context.quantized_scope(False):
        real = tf.convert_to_tensor(layer.kernel)
    # As a layer it would compute in the precision of the training.
    quantizer = layer.kernel_quantizer
    binary = getattr(quantizer, "call", quantizer)(real)
    norm = tf.reduce_mean(binary * binary, axis=[0, 1, 2])
    product = tf.reduce_mean(real * binary, axis=[0, 1, 2])
    # Filters of zeros have nothing to lose.
    return tf.where(norm > 0, product / tf.where(norm > 0, norm, 1.0), 1.0)
