"""Saved networks, read back with all their layers known.

A file's description is looked at before Keras sees it: Keras 2 says little of a file of
Keras 3, imports what modules a file names, and runs the code of a Lambda layer that is
stored as HDF5.
"""

import contextlib
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py

from r2b_keras.environment import tf
from r2b_keras.errors import InputError, one_line

# Importing the layers, and larq's with them, registers them under the names in a file.
from r2b_keras.models import binarizers, integers, layers  # noqa: F401

# What reading raises where the bytes of a file are not what they were.
_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError),
    *(zipfile.BadZipFile, NotImplementedError, EOFError, MemoryError),
    tf.errors.OpError,
)
_ZIP, _HDF5, _TFLITE = b"PK\3\4", b"\x89HDF\r\n\x1a\n", b"TFL3"
_LONGEST_REASON = 200
_KERAS_NAMESPACES = ("layers", "initializers", "regularizers", "constraints")
# Keras's layers that stand for TensorFlow's functions in a graph of layers, methods and
# properties of tensors; and of those functions the ones that compute and no more.
_CALLS, _PROPERTY = ("TFOpLambda", "SlicingOpLambda"), "InstanceProperty"
_OPERATION_LAYERS = (
    *(*_CALLS, _PROPERTY, "InstanceMethod", "ClassMethod"),
    "TensorFlowOpLayer",  # of earlier versions, any operation by its definition
)
_OPERATION_SPACES = (
    *("__operators__", "bitwise", "image", "linalg", "math", "nn", "quantization"),
    *("random", "signal", "math.special", "nn.experimental"),
)
_OPERATIONS = (
    *("argsort", "batch_to_space", "batch_to_space_nd", "bitcast", "boolean_mask"),
    *("broadcast_to", "cast", "clip_by_norm", "clip_by_value", "concat"),
    *("convert_to_tensor", "ensure_shape", "expand_dims", "eye", "fill", "gather"),
    *("gather_nd", "identity", "identity_n", "linspace", "meshgrid", "norm", "one_hot"),
    *("ones", "ones_like", "pad", "range", "rank", "repeat", "reshape", "reverse"),
    *("roll", "searchsorted", "sequence_mask", "shape", "size", "slice", "sort"),
    *("space_to_batch_nd", "split", "squeeze", "stack", "stop_gradient"),
    *(f"tensor_scatter_nd_{how}" for how in ("add", "max", "min", "sub", "update")),
    *("strided_slice", "tensordot", "tile", "transpose", "unstack", "where", "zeros"),
    "zeros_like",
)
_OTHER_OPERATIONS = ("debugging.check_numerics", "keras.backend.batch_flatten")


def is_weights_only(path: str | os.PathLike[str]) -> bool:
    """Whether a file is HDF5 with weights and without the network they are of."""
    try:
        with h5py.File(path, "r") as file:
            return "model_config" not in file.attrs
    except OSError:
        return False


def load(path: str | os.PathLike[str]) -> tf.keras.Model:
    """Loads a network that `model.save(path)` wrote, a stage's `model.keras` for one.

    `tf.keras.models.load_model` does the same once the layers of this package and of
    larq are imported; without them it knows no layer of theirs. Layers of somebody
    else's must have been imported before, and be registered.

    Args:
      path: a `.keras` file, or one in HDF5.

    Returns:
      The network, not compiled.

    Raises:
      InputError: the file is missing or damaged, is of Keras 3, is not a saved network,
        has a layer that is not registered, or one whose code is in the file.
    """
    name = os.fspath(path)
    version, config = _read_description(name)
    if version.partition(".")[0] == "3":
        raise InputError(
            f"{name} was saved by Keras {version}, expected Keras 2, as larq needs it: "
            "build the network with tf_keras (TF_USE_LEGACY_KERAS=1), give it these "
            "weights and save it there."
        )
    _check_code(name, config)
    try:
        with _in_utf8(name) as readable:
            return tf.keras.models.load_model(readable, compile=False)
    except _DAMAGE as error:
        unknown = sorted(set(_unknown(config)))
        if not unknown:
            raise _cannot_load(name, error) from error
        raise InputError(
            f"{name} has {', '.join(unknown[:3])}, which neither Keras, larq nor "
            "r2b_keras has: import the module that registers it first, in Python or "
            "with --import=MODULE."
        ) from error


@contextlib.contextmanager
def _in_utf8(name: str) -> Iterator[str]:
    """A file by a name that TensorFlow takes: UTF-8, by a link where it is not."""
    try:
        name.encode()
        yield name
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            ending = ".keras" if name.endswith(".keras") else ".h5"
            link = os.path.join(folder, f"model{ending}")
            os.symlink(os.path.abspath(name), link)
            yield link


def _cannot_load(name: str, error: Exception) -> InputError:
    why = one_line(error)[:_LONGEST_REASON].rstrip(".")
    return InputError(
        f"{name} is damaged or not a saved network ({why}): expected "
        "what model.save('model.keras') writes."
    )


def _read_description(name: str) -> tuple[str, Any]:
    """Keras's version and the network's configuration, of a file."""
    if not os.path.exists(name):
        raise InputError(
            f"There is no file {name}: expected a network saved as .keras."
        )
    if os.path.isdir(name):
        raise InputError(
            f"{name} is a folder, expected a file: load a SavedModel where it was made "
            "and save it as .keras."
        )
    try:
        with open(name, "rb") as file:
            start = file.read(len(_HDF5))
        if start.startswith(_ZIP):
            return _read_zip(name)
        if start == _HDF5:
            return _read_hdf5(name)
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise _cannot_load(name, error) from error
    if start[4:] == _TFLITE:
        raise InputError(
            f"{name} is a .tflite file, which is converted already, expected a network "
            "of Keras, such as model.keras."
        )
    raise _cannot_load(name, ValueError("it is neither a .keras file nor HDF5"))


def _read_zip(name: str) -> tuple[str, Any]:
    if not name.endswith(".keras"):
        raise InputError(
            f"{name} is a .keras file by its content, and Keras goes by the name: "
            "rename it so that it ends in .keras."
        )
    with zipfile.ZipFile(name) as file:
        metadata = json.loads(file.read("metadata.json"))
        config = json.loads(file.read("config.json"))
        config.pop("compile_config", None)  # it is loaded without
        return str(metadata["keras_version"]), config


def _read_hdf5(name: str) -> tuple[str, Any]:
    with h5py.File(name, "r") as file:
        if "model_config" not in file.attrs:
            raise InputError(
                f"{name} holds weights without a network, or something else, expected "
                "both: build the network, load_weights, and save it as .keras."
            )
        version = _text(file.attrs.get("keras_version", ""))
        return version, json.loads(_text(file.attrs["model_config"]))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _dicts(config: Any) -> Iterator[dict[str, Any]]:
    """The dictionaries of a configuration, at any depth."""
    if isinstance(config, dict):
        yield config
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _dicts(value)


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """The parts of a configuration that stand for an object, at any depth."""
    for found in _dicts(config):
        if isinstance(found.get("class_name"), str):
            yield found


def _has_nameless_function(config: Any) -> bool:
    """Whether a function is there as its code: a quantizer, or an activation."""
    # Keras writes three values, the code first; a constant initializer has numbers.
    values = [x["value"] for x in _dicts(config) if x.keys() == {"value"}]
    return any(isinstance(x, list) and x and isinstance(x[0], str) for x in values)


def _check_code(name: str, config: Any) -> None:
    """Refuses what would run code out of a file, or import it at a file's word."""
    for entry in _entries(config):
        if entry["class_name"] == "Lambda":
            raise InputError(
                f"{name} has a Lambda layer, and its code is not run from a file: make "
                "it a layer that register_keras_serializable knows, or build the "
                "network in Python and give it to r2b_keras.converters.convert."
            )
    if _has_nameless_function(config):
        raise InputError(
            f"{name} has a function without a name (a lambda), whose code is not run "
            "from a file: make it a function that register_keras_serializable knows, "
            "or build the network in Python and give it to "
            "r2b_keras.converters.convert."
        )
    for entry in _entries(config):
        if entry["class_name"] in _OPERATION_LAYERS:
            _check_operation(name, entry)
    for entry in _entries(config):
        module = entry.get("module")
        if not isinstance(module, str) or _is_of_keras(entry):
            continue
        if not _is_registered(entry) and module not in sys.modules:
            raise InputError(
                f"{name} has {_name(entry)} of the module {module}, which is not "
                "imported from a file's word: import what has it first, in Python or "
                f"with --import={module}."
            )


def _check_operation(name: str, entry: dict[str, Any]) -> None:
    """Refuses a function of TensorFlow that may do more than compute.

    `tf.io.write_file` writes whatever a file says as soon as the network is built.
    """
    kind, options = entry["class_name"], entry.get("config")
    function = options.get("function", kind) if isinstance(options, dict) else kind
    space, _, operation = str(function).removeprefix("compat.v1.").rpartition(".")
    known = space in _OPERATION_SPACES if space else operation in _OPERATIONS
    known = known or function in _OTHER_OPERATIONS
    if kind == _PROPERTY or kind in _CALLS and known:
        return
    raise InputError(
        f"{name} has a layer that calls TensorFlow's {function!r}, which is not known "
        "to compute and no more: make it a layer that register_keras_serializable "
        "knows, or build the network in Python and give it to "
        "r2b_keras.converters.convert."
    )


def _is_of_keras(entry: dict[str, Any]) -> bool:
    return str(entry["module"]).split(".")[0] in ("keras", "tf_keras")


def _unknown(config: Any) -> Iterator[str]:
    """Names in a configuration that stand for nothing that is known here."""
    for entry in _entries(config):
        own = entry.get("module") and not _is_of_keras(entry)
        spaces = (getattr(tf.keras, space) for space in _KERAS_NAMESPACES)
        known = not own and any(hasattr(s, entry["class_name"]) for s in spaces)
        known = known or entry["class_name"] in _OPERATION_LAYERS
        if not known and not _is_registered(entry) and not _is_network(entry):
            yield _name(entry)


def _is_network(entry: dict[str, Any]) -> bool:
    return entry["class_name"] in ("Functional", "Model", "Sequential")


def _is_registered(entry: dict[str, Any]) -> bool:
    return tf.keras.utils.get_registered_object(_name(entry)) is not None


def _name(entry: dict[str, Any]) -> str:
    """The name that an object is registered under."""
    if entry["class_name"] == "function":
        return str(entry.get("config"))
    return str(entry.get("registered_name") or entry["class_name"])
