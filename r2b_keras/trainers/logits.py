"""Whether what a network gives are logits, as the losses take them."""

from typing import Any

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.errors import InputError

layers = tf.keras.layers

# Their outputs lie between -1 and 1; as logits they could hardly tell two classes
# apart by more than e squared to 1.
_SQUASHING = ("softmax", "sigmoid", "hard_sigmoid", "tanh")
# What hands values on, perhaps in another shape or type.
_PASSING = (layers.Reshape, layers.Flatten, layers.Permute, layers.Dropout)
_PASSING_FUNCTIONS = ("linear", "cast", "identity", "reshape", "squeeze")
# Packages whose layers have no other function than the one that they name.
_KNOWN = ("tf_keras", "keras", "larq")
# Of a sum of probabilities, in bfloat16 too.
_ROUNDING = 0.01


def require_logits(model: tf.keras.Model, role: str, layer: str | None) -> None:
    """Refuses an output that is no logits.

    Looks through layers that only hand values on, and into models within the model.
    Where a function or a layer of the user's comes last, some random images tell.

    Args:
      model: functional or sequential Keras model.
      role: "student" or "teacher", for the message.
      layer: name of the layer that gives the logits, None for the model's output.

    Raises:
      InputError: it is a softmax or a sigmoid, or one number for each image.
    """
    tensor = model.get_layer(layer).output if layer else model.outputs[0]
    if tensor.shape[-1] == 1:
        raise InputError(
            f"The {role} {model.name!r} gives one number for each image, expected "
            "logits of at least two classes: end it with Dense(2)."
        )
    name, function = _last_layer(tensor)
    if function is None and _gives_probabilities(model, tensor):
        function = "softmax"
    if function:
        raise InputError(
            f"The {role} {model.name!r} ends in the {function} of its layer {name!r}, "
            f"expected logits: name the layer before it with {role}_logits=, or build "
            f"the network without the {function}."
        )


def _last_layer(tensor: Any) -> tuple[str, str | None]:
    """The layer that has made a tensor, by name, and how it squashes: "" if not.

    None in place of the function where it is not known.
    """
    while True:
        history = tensor._keras_history
        layer = history.layer
        if isinstance(layer, tf.keras.Model):
            tensor = layer.outputs[history.tensor_index]
            continue
        function = _function(layer)
        if function.startswith(_SQUASHING):
            return layer.name, function.removesuffix("_v2")
        passing = function in _PASSING_FUNCTIONS and not layer.weights
        if not (passing or isinstance(layer, _PASSING)):
            return layer.name, "" if _is_known(layer) else None
        tensor = layer.get_input_at(history.node_index)


def _is_known(layer: tf.keras.layers.Layer) -> bool:
    """Whether a layer does what its kind says, and nothing that a user wrote."""
    kind = type(layer)
    is_function = isinstance(layer, layers.Lambda) or "OpLambda" in kind.__name__
    return not is_function and kind.__module__.split(".")[0] in _KNOWN


def _gives_probabilities(model: tf.keras.Model, tensor: Any) -> bool:
    """Whether what it gives for random images are shares of 1, small images or large.

    Unknown, and taken for no, where the model has more than one input or takes images
    of any size.
    """
    shape = model.inputs[0].shape[1:]
    if len(model.inputs) != 1 or None in shape:
        return False
    images = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    part = tf.keras.Model(model.inputs, tensor)
    for size in (1, 30):
        scores = np.asarray(part(size * images, training=False), np.float32)
        shares = scores.min() >= 0 and np.abs(scores.sum(-1) - 1).max() <= _ROUNDING
        if not shares:
            return False
    return True


def _function(layer: tf.keras.layers.Layer) -> str:
    """Name of the function that a layer ends in, empty if it has none."""
    if isinstance(layer, layers.Softmax):
        return "softmax"
    function = getattr(layer, "activation", None) or getattr(layer, "function", None)
    return getattr(function, "__name__", "")
