"""Keras models to flatbuffers, with Larq Compute Engine's converter."""

import contextlib
import errno
import logging
import os
import re
import tempfile
from collections.abc import Iterator

from r2b_keras.converters import (
    binary_flow,
    converted_checks,
    float32,
    graph,
    integer_layers,
    lce_forms,
    lce_merges,
    lce_process,
    pixels,
    tflite_edit,
    tflite_file,
)
from r2b_keras.converters.real_weights import shrink
from r2b_keras.environment import held_back_stderr, tf
from r2b_keras.errors import InputError
from r2b_keras.models import keras_2
from r2b_keras.normalisation import Normalisation

# What TensorFlow and the converter raise; AssertionError: of state that no model owns.
_REFUSALS = (
    ValueError,
    TypeError,
    RuntimeError,
    AssertionError,
    tf.errors.OpError,
)
_FULL = (errno.ENOSPC, errno.EDQUOT)


def convert(
    model: tf.keras.Model,
    real_weights: str = "float32",
    normalisation: Normalisation | None = None,
) -> bytes:
    """Converts a network into a flatbuffer whose binary layers are binary operations.

    A network whose first layer is of integers takes pixels, uint8, then; any other what
    it was trained on, float32. The flatbuffer takes batches of the size that the
    model's `Input` names, of one image when it names none; the interpreter's input can
    be resized.

    Args:
      model: a Keras model in float32, its binary layers larq's.
      real_weights: how weights that are not binary are stored, one of
        `board.card.REAL_WEIGHTS`; integer layers have int8 in any case.
      normalisation: of the images that the network was trained on, for a flatbuffer
        that takes pixels, uint8, and normalises them itself.

    Returns:
      The flatbuffer, to be written to a `.tflite` file.

    Raises:
      InputError: the model does not compute in float32, takes images of any size, or
        has a layer that the converter refuses or that no engine could run; or binary
        layers of the model would become real-valued ones.
    """
    return tflite_file.serialize(shrink(to_tables(model, normalisation), real_weights))


def to_tables(
    model: tf.keras.Model, normalisation: Normalisation | None = None
) -> tflite_file.Model:
    """What `convert` makes, before its weights are rounded and before it is written.

    Raises:
      InputError: see `convert`.
    """
    keras_2.check(model, "model")
    _check_float32(model)
    _check_sizes(model)
    _check_inference(model, graph.in_training(model))
    normalisation = pixels.normalisation_of(model, normalisation)
    _check_inputs(model)
    with _silence():
        flow = _trace(model)
        _check_inference(model, [layer.name for layer in flow.training])
        with integer_layers.barriers(model):
            tables = _convert_exactly(model, flow, normalisation)
    lce_merges.take_maps_out(tables)
    lce_merges.take_lost_biases_out(tables)
    integer_layers.finish(model, tables)
    tflite_edit.remove_ballast(tables)
    converted_checks.check(model, flow, tables)
    return tables


def _trace(model: tf.keras.Model) -> binary_flow.Flow:
    try:
        return binary_flow.trace(model)
    except _REFUSALS as error:
        raise InputError(_explain(model, str(error), "")) from error


def _convert_exactly(
    model: tf.keras.Model, flow: binary_flow.Flow, normalisation: Normalisation | None
) -> tflite_file.Model:
    """Converts; where signs may have been merged wrongly, a second time to find out."""
    with lce_forms.applied(flow):
        try:
            merged = _convert_as_it_is(model, normalisation)
        except lce_process.ConverterDiedError:
            merged = None
        if merged and not (
            lce_merges.has_merged_signs(merged) or lce_merges.has_pooled_signs(merged)
        ):
            return merged
        try:
            with lce_merges.barriers(flow):
                apart = _convert_as_it_is(model, normalisation)
        except lce_process.ConverterDiedError as error:
            raise InputError(
                f"Model {model.name!r} cannot be converted: Larq Compute Engine's "
                f"converter died ({error}); expected layers that it knows."
            ) from error
    if lce_merges.has_merged_signs(apart):
        raise InputError(
            f"Model {model.name!r} takes signs of binary convolutions in code of its "
            "own, which cannot be converted exactly: expected quantizers of larq's, "
            "such as ste_sign."
        )
    if merged and not (
        lce_merges.has_maps(apart) or lce_merges.has_activated_pools(apart)
    ):
        return merged
    lce_merges.take_barriers_out(apart)
    return apart


def _check_inference(model: tf.keras.Model, names: list[str]) -> None:
    if names:
        raise InputError(
            f"Layer {names[0]!r} of model {model.name!r} is called with training=True, "
            "and a converted network only infers: build the network without that, and "
            "give it the weights of this one."
        )


def _check_sizes(model: tf.keras.Model) -> None:
    shapes = [tuple(tensor.shape) for tensor in tf.nest.flatten(model.inputs or ())]
    if any(None in shape[1:] for shape in shapes):
        raise InputError(
            f"Model {model.name!r} takes images of any size, its inputs have the "
            f"shapes {', '.join(map(str, shapes))}, and a flatbuffer has one size: "
            "build the network with Input((height, width, channels))."
        )


def _check_inputs(model: tf.keras.Model) -> None:
    types = [tensor.dtype.name for tensor in tf.nest.flatten(model.inputs or ())]
    other = [name for name in types if name != "float32"]
    if other:
        raise InputError(
            f"Model {model.name!r} takes {other[0]}, expected float32: build it with "
            "an `Input` of float32, also for a file that takes pixels (--input=uint8)."
        )


def _check_float32(model: tf.keras.Model) -> None:
    other = float32.other_types(model)
    if not other:
        return
    advice = (
        "give it r2b_keras.converters.in_float32(model), which has the same weights"
        if graph.is_graph(model)
        else "build it with the policy float32, and give it these weights"
    )
    raise InputError(
        f"Model {model.name!r} computes in {', '.join(other)}, and the converter takes "
        f"float32 only: {advice}."
    )


def _convert_as_it_is(
    model: tf.keras.Model, normalisation: Normalisation | None
) -> tflite_file.Model:
    """Converts a network; errors carry their cause.

    Raises:
      lce_process.ConverterDiedError: the converter crashed.
      InputError: the network cannot be converted, or there is no room for it.
    """
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save_function(model, normalisation, folder)
            content = lce_process.convert(folder)
    except lce_process.ConverterRefusedError as error:
        raise InputError(_explain(model, str(error), error.printed)) from error
    except lce_process.ConverterDiedError:
        raise
    except (OSError, *_REFUSALS) as error:
        if _is_full(error):
            raise InputError(
                f"The temporary folder {tempfile.gettempdir()} is full: free space "
                "there, or name another one in the environment variable TMPDIR."
            ) from error
        if isinstance(error, OSError):
            raise
        raise InputError(_explain(model, str(error), "")) from error
    return tflite_file.parse(content)


def _is_full(error: Exception) -> bool:
    """Whether a disk is full; TensorFlow says so in words alone."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(os.strerror(number) in str(error) for number in _FULL)


def _save_function(
    model: tf.keras.Model, normalisation: Normalisation | None, folder: str
) -> None:
    """Saves what the converter reads: one function, from images to scores.

    `model.save` takes five times as long. It traces every layer several times, for
    readers that want Keras objects back.
    """
    named = graph.inputs(model)
    signature = tf.nest.flatten(named)
    if normalisation is not None:
        signature = [tf.TensorSpec(x.shape, tf.uint8, x.name) for x in signature]

    @tf.function(input_signature=signature)
    def serve(*inputs: tf.Tensor) -> tf.Tensor:
        if normalisation is None:
            return graph.infer(model, tf.nest.pack_sequence_as(named, inputs))
        with pixels.taken(model, normalisation) as network:
            return network(*inputs)

    module = tf.Module()
    module.variables_of_model = model.variables
    tf.saved_model.save(module, folder, signatures=serve)


def _explain(model: tf.keras.Model, cause: str, printed: str) -> str:
    """One sentence on a network that the converter refuses.

    Python hears little of why; C++ prints the place and then the reason.
    """
    match = re.search(r"^(.*)error: (.*)$", printed, re.MULTILINE)
    place, reason = match.groups() if match else (cause, cause)
    layers = {
        layer.name for layer in model.submodules if isinstance(layer, graph.Layer)
    }
    named = [name for name in re.split(r"[/\"';]", place) if name in layers]
    where = f"Layer {named[0]!r} of model" if named else "Model"
    short = " ".join(reason.split()).split(". ")[0][:300].rstrip(".")
    return f"{where} {model.name!r} cannot be converted: {short}."


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keeps what TensorFlow logs and prints off the screen."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with held_back_stderr():
            yield
    finally:
        logger.setLevel(level)
