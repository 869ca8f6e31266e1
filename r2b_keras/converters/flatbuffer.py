"""Keras models to flatbuffers, with Larq Compute Engine's converter."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

from r2b_keras.converters import position_factors, simplification, small_maps
from r2b_keras.converters.real_weights import shrink
from r2b_keras.converters.tflite_file import count_operators, without_ballast
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

BINARY_CONVOLUTION = "LceBconv2d"


def convert(
    model: tf.keras.Model, simplify: bool = True, real_weights: str = "float32"
) -> bytes:
    """Converts a network into a flatbuffer whose binary layers are binary operations.

    The flatbuffer takes batches of the size that the model's `Input` names, of one
    image when it names none; the interpreter's input can be resized.

    Args:
      model: a Keras model in float32, its binary layers larq's.
      simplify: apply `simplification.simplify` first, which changes no answer.
      real_weights: how weights that are not binary are stored, one of
        `real_weights.KINDS`.

    Returns:
      The flatbuffer, to be written to a `.tflite` file.

    Raises:
      InputError: the model does not compute in float32, the converter refuses it, or
        it would leave binary layers of the model as real-valued ones.
    """
    _check_float32(model)
    deployed = simplification.simplify(model) if simplify else model
    flatbuffer = _convert_quietly(small_maps.correct(deployed))
    flatbuffer = without_ballast(position_factors.take_out(flatbuffer))
    _check_binary_layers(model, flatbuffer)
    return shrink(flatbuffer, real_weights)


def _check_binary_layers(model: tf.keras.Model, flatbuffer: bytes) -> None:
    names = binary_layers(model)
    num_converted = count_operators(flatbuffer)[BINARY_CONVOLUTION]
    if num_converted != len(names):
        raise InputError(
            f"Model {model.name!r} has {len(names)} binary layers, but the converter "
            f"made {num_converted} binary convolutions of them: expected each of "
            f"{', '.join(names) or 'its layers'} to be a 2-D convolution that is "
            "called once, its input and its kernel binarized to -1 and +1."
        )


def binary_layers(model: tf.keras.Model) -> list[str]:
    """Names of the layers, nested ones too, with binary inputs and binary weights."""
    return sorted(
        layer.name
        for layer in model.submodules
        if _is_binary(layer, "input_quantizer")
        and _is_binary(layer, "kernel_quantizer")
    )


def _is_binary(layer: tf.Module, quantizer: str) -> bool:
    return getattr(getattr(layer, quantizer, None), "precision", None) == 1


def _check_float32(model: tf.keras.Model) -> None:
    other = {
        layer.compute_dtype
        for layer in model.submodules
        if isinstance(layer, tf.keras.layers.Layer) and layer.weights
    } - {"float32"}
    if other:
        raise InputError(
            f"Model {model.name!r} computes in {', '.join(sorted(other))}, and the "
            "converter takes float32 only: build the network without a mixed precision "
            "policy and give it the weights of this one."
        )


def _convert_quietly(model: tf.keras.Model) -> bytes:
    """Converts without the notes of TensorFlow and MLIR; errors carry their cause."""
    with _silence(), warnings.catch_warnings():
        # After this warning a second way is tried, which fixes the batch at one image.
        warnings.filterwarnings("error", message="Saved-model conversion failed")
        from larq_compute_engine import convert_keras_model

        try:
            return convert_keras_model(model)
        except UserWarning as warning:
            cause = warning.__context__ or warning
            raise InputError(
                f"Model {model.name!r} cannot be converted: {cause}"
            ) from cause


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps Python's logging of TensorFlow and everything C++ prints off the screen."""
    logger = tf.get_logger()
    level = logger.level
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
