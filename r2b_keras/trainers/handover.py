"""Weights by name, and their strict hand-over from one network to the next."""

from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from r2b_keras.models import ChannelScale, OuterProductScale


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


def hand_over(source: tf.keras.Model, target: tf.keras.Model) -> None:
    """Copies every weight of `source` to `target`, by name and shape.

    Raises:
      InputError: a weight that only one of them has, or of another shape; nothing was
        copied.
    """
    given, wanted = named_weights(source), named_weights(target)
    unmatched = sorted(set(given) ^ set(wanted))
    if unmatched:
        name = unmatched[0]
        owner = source.name if name in given else target.name
        raise InputError(
            f"Weights of {source.name!r} do not fit {target.name!r}: only {owner!r} "
            f"has {name!r} (and {len(unmatched) - 1} more differ); both stages need "
            "the same layout."
        )
    for name, variable in wanted.items():
        if variable.shape != given[name].shape:
            raise InputError(
                f"Weights of {source.name!r} do not fit {target.name!r}: {name!r} has "
                f"shape {tuple(given[name].shape)}, expected {tuple(variable.shape)}; "
                "both stages need the same width and options."
            )
    for name, variable in wanted.items():
        variable.assign(given[name])


def absorb_magnitude(model: tf.keras.Model) -> int:
    """Makes alpha take over the size of the weights that are binary from now on.

    sign(W) has the size 1 whatever W had, and alpha was learned for W. Of all factors
    a, mean(|W|) over a filter makes a * sign(W) nearest to W (XNOR-Net, Eq. 1), so each
    alpha is multiplied by it; the binary network then starts near the one that it
    takes over, instead of with activations that are larger by orders of magnitude.

    Args:
      model: a network whose binary convolutions are each followed by a `ChannelScale`
        or an `OuterProductScale`.

    Returns:
      How many convolutions have had their magnitude absorbed.
    """
    absorbed = 0
    for layer in model.layers:
        scale = _scale_of_channels(layer)
        if scale is None:
            continue
        source = layer.input._keras_history.layer
        quantizer = getattr(source, "kernel_quantizer", None)
        if isinstance(source, lq.layers.QuantConv2D) and quantizer is not None:
            with lq.context.quantized_scope(False):
                magnitude = tf.reduce_mean(tf.abs(source.kernel), axis=[0, 1, 2])
            scale.assign(scale * magnitude)
            absorbed += 1
    return absorbed


def _scale_of_channels(layer: tf.keras.layers.Layer) -> tf.Variable | None:
    """The learned factor of each channel, None in other layers."""
    if isinstance(layer, ChannelScale):
        return layer.scale
    if isinstance(layer, OuterProductScale):
        return layer.channel_scale
    return None
