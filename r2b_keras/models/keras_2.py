"""Tells models of Keras 2, which larq needs, from those of Keras 3.

Both Keras are installed beside each other, and their models look alike.
"""

from typing import Any

from r2b_keras.environment import KERAS_VARIABLE, tf
from r2b_keras.errors import InputError


def check(model: Any, role: str) -> None:
    """Refuses what is no model of Keras 2.

    Args:
      model: what a user gave.
      role: what it is for, such as "student".

    Raises:
      InputError: it is a model of Keras 3, or none at all.
    """
    if isinstance(model, tf.keras.Model):
        return
    bases = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if "keras" in bases:
        raise InputError(
            f"The {role} is a model of Keras 3 ({type(model).__name__}), expected one "
            "of Keras 2, as larq needs it: build it with tf_keras, or with tf.keras "
            f"where {KERAS_VARIABLE}=1 was set before TensorFlow was imported."
        )
    raise InputError(
        f"The {role} is of the type {type(model).__name__}, expected a Keras model."
    )
