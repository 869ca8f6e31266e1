"""Networks of two classes with one output, as networks with two.

`Dense(1, activation="sigmoid")` gives p, the probability of class 1, and `Dense(1)` a
logit z of which the sigmoid is p. All that follows, from verification to the boards,
takes one score for each class: (1 - p, p), or (-z / 2, z / 2), of which the softmax is
(1 - p, p) too.
"""

import numpy as np

from r2b_keras.board import classification
from r2b_keras.converters import graph
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.layers import TwoClasses


def with_two_outputs(model: tf.keras.Model) -> tf.keras.Model:
    """The same network with a score for each of its two classes.

    Args:
      model: a network from images to scores `[N, K]`; it is not changed.

    Returns:
      A network that shares its layers, or the given one where K is not 1.

    Raises:
      InputError: its one output is neither a probability nor a logit, as far as its
        last layer tells; or there are several, each with a sigmoid of its own.
    """
    activation = _last_activation(model)
    num_classes = model.output_shape[-1]
    if num_classes != 1:
        if activation == "sigmoid":
            raise _SigmoidsError(f"Model {model.name!r} ends in {num_classes} sigmoids")
        return model
    if activation not in ("sigmoid", "linear"):
        raise InputError(
            f"Model {model.name!r} has one output, made by "
            f"{activation or 'code'}: expected Dense(1, activation='sigmoid'), Dense(1)"
            " with a logit, or an output for each class."
        )
    name = "two_classes"
    while name in (layer.name for layer in model.layers):
        name += "_"
    layer = TwoClasses(activation == "linear", name=name, dtype="float32")
    return tf.keras.Model(model.input, layer(model.output), name=model.name)


def require_one_right(name: str, scores: np.ndarray) -> None:
    """Refuses sigmoids of several classes, whatever layers or code they are made by.

    All scores are from 0 to 1 then, and their sum is not 1. Logits that are so in every
    image would be of a network that is never sure: two classes would have at most 73 %,
    ten 23 %.

    Args:
      name: of the network, for the message.
      scores: `[N, K]`, of real images.

    Raises:
      InputError: the scores are of this kind.
    """
    sums_are_1 = classification.sum_to_1(scores).all()
    if scores.min() >= 0 and scores.max() <= 1 and not sums_are_1:
        raise _SigmoidsError(
            f"Model {name!r} gives {scores.shape[1]} scores from 0 to 1 whose sum is "
            "not 1, as sigmoids do"
        )


class _SigmoidsError(InputError):
    """A network says yes or no for each class by itself."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"{found}, expected the scores of classes of which one is right: logits, "
            "or a softmax. Leave the sigmoid out; the best class stays the best."
        )


def _last_activation(model: tf.keras.Model) -> str | None:
    """Name of the activation or kind of the layer that gives a network's output."""
    if not _is_its_graph(model) or len(model.outputs) != 1:
        return None
    return _activation_of(model.outputs[0])


def _is_its_graph(model: tf.keras.Model) -> bool:
    """Whether the layers tell what it gives: code of its own may do more."""
    return graph.is_graph(model) and not graph.has_own_call(model)


def _activation_of(output: tf.Tensor) -> str | None:
    layer, _, place = output._keras_history
    if isinstance(layer, tf.keras.Model):
        # Which of its outputs it is.
        return _activation_of(layer.outputs[place]) if _is_its_graph(layer) else None
    if not isinstance(layer, tf.keras.layers.Dense | tf.keras.layers.Activation):
        return type(layer).__name__
    name = getattr(layer.activation, "__name__", type(layer.activation).__name__)
    # As after a layer in 16 bits, for an output in 32: it changes nothing.
    if isinstance(layer, tf.keras.layers.Activation) and name == "linear":
        return _activation_of(output.node.keras_inputs[0])
    return name
