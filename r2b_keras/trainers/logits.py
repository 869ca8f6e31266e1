"""Whether what a network gives are logits, as the losses take them."""

from typing import Any

from r2b_keras.environment import tf
from r2b_keras.errors import InputError

layers = tf.keras.layers

# Their outputs lie between -1 and 1; as logits they could hardly tell two classes
# apart by more than e squared to 1.
_SQUASHING = ("softmax", "sigmoid", "hard_sigmoid", "tanh")
# What hands values on, perhaps in another shape or type.
_PASSING = (layers.Reshape, layers.Flatten, layers.Permute, layers.Dropout)
_PASSING_FUNCTIONS = ("linear", "cast", "identity", "reshape", "squeeze")


def require_logits(model: tf.keras.Model, role: str, layer: str | None) -> None:
    """Refuses an output that is no logits.

    Looks through layers that only hand values on, and into models within the model.

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
    found = _squashing_layer(tensor)
    if found is not None:
        name, function = found
        raise InputError(
            f"The {role} {model.name!r} ends in the {function} of its layer {name!r}, "
            f"expected logits: name the layer before it with {role}_logits=, or build "
            f"the network without the {function}."
        )


def _squashing_layer(tensor: Any) -> tuple[str, str] | None:
    """Name and function of the layer that has squashed a tensor, None for logits."""
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
            return None
        tensor = layer.get_input_at(history.node_index)


def _function(layer: tf.keras.layers.Layer) -> str:
    """Name of the function that a layer ends in, empty if it has none."""
    if isinstance(layer, layers.Softmax):
        return "softmax"
    function = getattr(layer, "activation", None) or getattr(layer, "function", None)
    return getattr(function, "__name__", "")
