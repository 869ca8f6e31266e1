"""Keras models to flatbuffers, with Larq Compute Engine's converter."""

import contextlib
import inspect
import logging
import re
import tempfile
from collections.abc import Callable, Iterator

from r2b_keras.converters import (
    binary_operators,
    graph,
    position_factors,
    simplification,
    small_maps,
    tflite_file,
)
from r2b_keras.converters.real_weights import shrink
from r2b_keras.converters.tflite_file import count_operators, without_ballast
from r2b_keras.environment import held_back_stderr, lq, tf
from r2b_keras.errors import InputError

# What TensorFlow and the converter raise; AssertionError: of state that no model owns.
_REFUSALS = (
    ValueError,
    TypeError,
    RuntimeError,
    AssertionError,
    tf.errors.OpError,
)
_KERNEL_QUANTIZERS = ("kernel_quantizer", "depthwise_quantizer", "pointwise_quantizer")


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
      InputError: the model does not compute in float32, takes images of any size, or
        has a layer that cannot be copied, that the converter refuses or that no engine
        could run; or binary layers of the model would become real-valued ones.
    """
    _check_float32(model)
    _check_sizes(model)
    deployed = simplification.simplify(model) if simplify else model
    flatbuffer = _convert_quietly(small_maps.correct(deployed))
    flatbuffer = without_ballast(position_factors.take_out(flatbuffer))
    _check_operators(model, flatbuffer)
    _check_binary_layers(model, flatbuffer)
    small_maps.check(flatbuffer)
    return shrink(flatbuffer, real_weights)


def _check_operators(model: tf.keras.Model, flatbuffer: bytes) -> None:
    """Refuses what the converter passes on as it is, for an engine that has it."""
    content = tflite_file.parse(flatbuffer)
    for subgraph in content.subgraphs:
        for operator in subgraph.operators:
            kind = tflite_file.operator_name(content, operator)
            custom = content.operatorCodes[operator.opcodeIndex].customCode
            if not custom or kind in binary_operators.OPERATORS:
                continue
            name = subgraph.tensors[operator.outputs[0]].name.decode()
            if operator.outputs[0] in subgraph.outputs:
                name = ", ".join(model.output_names or ())
            raise InputError(
                f"Layer {name!r} of model {model.name!r} cannot be converted: no "
                f"engine has its operation {kind}, expected one that TensorFlow Lite "
                "or Larq Compute Engine has."
            )


def _check_binary_layers(model: tf.keras.Model, flatbuffer: bytes) -> None:
    places = _binary_places(model)
    num_converted = count_operators(flatbuffer)[binary_operators.CONVOLUTION]
    if num_converted < len(places):
        names = {x.name for x in places if not isinstance(x, lq.layers.QuantConv2D)}
        raise InputError(
            f"Model {model.name!r} has {len(places)} binary layers, but the converter "
            f"made {num_converted} binary convolutions of them: expected "
            f"{', '.join(sorted(names) or binary_layers(model))} to be 2-D "
            "convolutions, neither depthwise nor transposed, in groups of multiples of "
            "32 channels if at all, with inputs and kernels of -1 and +1."
        )


def binary_layers(model: tf.keras.Model) -> list[str]:
    """Names of the layers, nested ones too, with binary inputs and binary weights."""
    return sorted({layer.name for layer in _binary_places(model)})


def _binary_places(model: tf.keras.Model) -> list[graph.Layer]:
    """The binary layers, each once for every place where the model uses it."""
    found = []
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            inner = _binary_places(layer)
        else:
            inner = [x for x in (layer, *layer.submodules) if _is_binary(model, x)]
        found += inner * (
            len(graph.nodes(model, layer)) if graph.is_graph(model) else 1
        )
    return found


def _is_binary(model: tf.keras.Model, layer: tf.Module) -> bool:
    quantizers = (getattr(layer, name, None) for name in _KERNEL_QUANTIZERS)
    precisions = [getattr(quantizer, "precision", None) for quantizer in quantizers]
    return 1 in precisions and graph.takes_signs(model, layer)


def _check_sizes(model: tf.keras.Model) -> None:
    shapes = [tuple(tensor.shape) for tensor in tf.nest.flatten(model.inputs or ())]
    if any(None in shape[1:] for shape in shapes):
        raise InputError(
            f"Model {model.name!r} takes images of any size, its inputs have the "
            f"shapes {', '.join(map(str, shapes))}, and a flatbuffer has one size: "
            "build the network with Input((height, width, channels))."
        )


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
    with _silence() as printed, tempfile.TemporaryDirectory() as folder:
        from larq_compute_engine import convert_saved_model

        try:
            _save_function(model, folder)
            return convert_saved_model(folder)
        except _REFUSALS as error:
            raise InputError(_explain(model, str(error), printed())) from error


def _save_function(model: tf.keras.Model, folder: str) -> None:
    """Saves what the converter reads: one function, from images to scores.

    `model.save` takes five times as long. It traces every layer several times, for
    readers that want Keras objects back.
    """
    if graph.is_graph(model):
        named = model.input
    elif model.save_spec() is not None:
        named = model.save_spec()[0][0]
    else:
        raise ValueError("it has no input sizes yet, call it on an image first")
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, tensor.name)
        for tensor in tf.nest.flatten(named)
    ]
    mode = {}
    if "training" in inspect.signature(model.call).parameters:
        mode["training"] = False

    @tf.function(input_signature=specs)
    def serve(*inputs: tf.Tensor) -> tf.Tensor:
        return model(tf.nest.pack_sequence_as(named, inputs), **mode)

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
def _silence() -> Iterator[Callable[[], str]]:
    """Keeps what TensorFlow logs and C++ prints off the screen; yields the latter."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with held_back_stderr() as printed:
            yield printed
    finally:
        logger.setLevel(level)
