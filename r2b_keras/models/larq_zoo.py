"""larq-zoo's Real-to-Binary weights (65.0 % on ImageNet, it says) in our network.

    model = larq_zoo.load_weights("r2b_weights.h5")

The file is HDF5, as Keras 2 writes it with `model.save_weights`; larq-zoo publishes one
with the classifier and one without. Every weight finds its place by name and shape.
Where the names are not larq-zoo's, it is by order, as larq-zoo itself does, and shape,
and by what kind of weight it is: all of them must fit.

`NETWORK` is larq-zoo's network in terms of ours. It departs from the paper, or decides
what the paper leaves open, in these points:

- Eq. 3 without alpha: the gate alone re-scales a binary convolution.
- The gate's hidden layer has C_in / r channels. The authors' later code has C_out / r,
  which is more in the three half blocks that double the channels. No biases in either.
- PReLU after the 7x7 stem, whose activation the paper does not print.
- BatchNorm keeps 0.99 of its statistics at a step and adds 0.001 to the variance.
- Average pool, 1x1 convolution without bias and BatchNorm as the real-valued shortcut;
  binary convolutions pad with zeros.

Two things differ from larq-zoo's network in form only. Its gate is made of dense
layers, ours of 1x1 convolutions, which keep the batch when converted; and its last
layer is the softmax of our logits.

Pictures reach it as in larq-zoo: `MEAN` and `STD`, of the central part of the picture
that the framing "center" of `data.decoding.decode_framed` cuts out as well (larq-zoo
resizes it bicubically, that bilinearly). Its 1000 classes are ImageNet's, sorted by
WordNet number.
"""

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator

import h5py
import numpy as np

from r2b_keras.checks import some
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, one_line
from r2b_keras.models.building import build_network
from r2b_keras.networks import Network

NETWORK = Network(
    "real_to_binary18",
    "binary",
    stem_activation="prelu",
    rescaling="gate",
    gate_width="in",
    batch_norm_momentum=0.99,
    batch_norm_epsilon=1e-3,
)

# Of a pixel / 255, one per channel (red, green, blue).
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_NETWORK_NAME = "r2b_bnn"
_OTHER_NETWORKS = {
    "r2b_fp": "Real-to-Binary net with tanh and real weights",
    "r2b_ban": "Real-to-Binary net with binary activations and real weights",
    "baseline_ban": "strong baseline with binary activations and real weights",
    "baseline_bnn": "binary strong baseline",
    "resnet_fp": "real ResNet-18",
}
_CLASSIFIER = f"{_NETWORK_NAME}_block_10_logits"
# What Keras calls weights.
_KINDS = (
    *("kernel", "bias", "alpha", "gamma", "beta", "moving_mean", "moving_variance"),
)
# What reading raises where the bytes of a file are not what they were.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclasses.dataclass(frozen=True)
class _Stored:
    """An array in a file: where it is, and what is known without reading it."""

    path: str
    shape: tuple[int, ...]
    dtype: np.dtype


def load_weights(
    path: str | os.PathLike[str],
    input_shape: tuple[int, int, int] = (224, 224, 3),
    new_classifier: int | None = None,
) -> tf.keras.Model:
    """Builds larq-zoo's Real-to-Binary network and gives it the weights of a file.

    Args:
      path: an HDF5 file that larq-zoo's `RealToBinaryNet` can load.
      input_shape: `(H, W, 3)` of the images, in pixels.
      new_classifier: None for the file's own classifier. A number of classes, to
        fine-tune on: the last layer gets so many outputs and fresh weights, whether
        the file has a classifier or not.

    Returns:
      A Keras model from images `[B, H, W, 3]` to logits `[B, num_classes]`.

    Raises:
      InputError: the file is missing, damaged, of another network, or without a
        classifier when none was asked for; its weights are not those of larq-zoo's
        network, by name and shape; or there is no network for `input_shape`.
    """
    name = os.fspath(path)
    stored, ordered = _list_stored(name), _list_in_order(name)
    _check_network(name, stored)
    num_classes = new_classifier
    if num_classes is None:
        num_classes = _count_classes(stored, ordered)
    model = build_network(NETWORK, input_shape, num_classes)
    if model.input_shape[-1] != 3:
        raise InputError(
            f"The input shape is {input_shape!r}, expected 3 channels: larq-zoo's "
            "network sees colour pictures."
        )
    wanted = named_weights(model)
    if not stored.keys() <= wanted.keys():
        stored = _named_by_order(ordered, wanted) or stored
    if new_classifier is None:
        _check_classifier(name, stored)
    else:
        stored, wanted = (_without_classifier(weights) for weights in (stored, wanted))
    _check_match(name, stored, wanted)
    for weight, values in _read(name, stored).items():
        wanted[weight].assign(values.reshape(wanted[weight].shape))
    return model


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The weights of a network of ours by larq-zoo's names, such as `layer/kernel`.

    Their order is that of larq-zoo's layers, and so of its files.
    """
    named = {
        _larq_zoo_name(layer.name, weight.name.split("/")[-1].split(":")[0]): weight
        for layer in model.layers
        for weight in layer.weights
    }
    return {name: named[name] for name in _in_their_order(list(named))}


def _in_their_order(names: list[str]) -> list[str]:
    """Puts a gate's weights, as larq-zoo does, before the convolution it scales."""
    ordered: list[str] = []
    for name in names:
        block, is_gate, _ = name.partition("_scaling_dense_")
        place = ordered.index(f"{block}_conv2d/kernel") if is_gate else len(ordered)
        ordered.insert(place, name)
    return ordered


def _larq_zoo_name(layer: str, weight: str) -> str:
    """What larq-zoo calls a weight of ours; it counts the stem as the first block."""
    if layer == "logits":
        return f"{_CLASSIFIER}/{weight}"
    if match := re.fullmatch(r"block_(\d+)([ab])_(\w+)", layer):
        block, part = f"{int(match[1]) + 1}{match[2]}", match[3]
    else:
        block, part = "1", layer.removeprefix("stem_")
    if part == "gate":
        part, weight = f"scaling_dense_{weight.removesuffix('_kernel')}", "kernel"
    elif part.endswith("conv"):
        part += "2d"
    return f"{_NETWORK_NAME}_block_{block}_{part}/{weight}"


def _stored_shape(name: str, weight: tf.Variable) -> tuple[int, ...]:
    """Shape in larq-zoo's file; its dense layers are our 1x1 convolutions."""
    shape = tuple(weight.shape)
    return shape[2:] if "_scaling_dense_" in name else shape


@contextlib.contextmanager
def _opened(path: str) -> Iterator[h5py.Group]:
    """The group of a file that holds the layers.

    Raises:
      InputError: the file cannot be opened, or reading from it fails.
    """
    try:
        with h5py.File(path, "r") as file:
            # A whole model saved as .h5 keeps them one level further down.
            inner = file.get("model_weights")
            yield inner if isinstance(inner, h5py.Group) else file
    except FileNotFoundError as error:
        raise InputError(
            f"There is no file {path}: expected weights of larq-zoo as HDF5."
        ) from error
    except _DAMAGE as error:
        # HDF5 adds addresses to what the system says.
        number = getattr(error, "errno", None)
        why = one_line(error) if number is None else os.strerror(number)
        raise InputError(
            f"{path} is damaged, cut short or not an HDF5 file ({why}): "
            "expected weights of larq-zoo, such as its r2b_weights.h5."
        ) from error


def _list_stored(path: str) -> dict[str, _Stored]:
    """The arrays of a file by `layer/weight`.

    Keras puts an array at `layer/layer/weight:0`, further down for a model in a model.
    """
    found: dict[str, _Stored] = {}
    duplicates: list[str] = []

    def add(place: str, item: h5py.Group | h5py.Dataset) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        *groups, weight = place.split("/")
        layers = [group for group in groups if "_block_" in group] or groups
        name = "/".join([*layers[:1], weight.split(":")[0]])
        if name in found:
            duplicates.append(name)
        found[name] = _Stored(place, item.shape or (), item.dtype)

    with _opened(path) as group:
        group.visititems(add)
    if duplicates:
        raise InputError(
            f"{path} has several arrays for {some(duplicates)}: expected each weight "
            "of larq-zoo's network once."
        )
    return found


def _read(path: str, stored: dict[str, _Stored]) -> dict[str, np.ndarray]:
    with _opened(path) as group:
        return {
            name: np.asarray(group[array.path], np.float32)
            for name, array in stored.items()
        }


def _list_in_order(path: str) -> list[_Stored]:
    """The arrays of a file in the order of its layers, none where it tells no order."""
    with _opened(path) as group:
        arrays = [
            group[_text(layer)][_text(name)]
            for layer in group.attrs.get("layer_names", ())
            for name in group[_text(layer)].attrs["weight_names"]
        ]
        return [_Stored(array.name, array.shape or (), array.dtype) for array in arrays]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _named_by_order(
    arrays: list[_Stored], wanted: dict[str, tf.Variable]
) -> dict[str, _Stored] | None:
    """Arrays of a file, in their order, by larq-zoo's names; None where one is unfit.

    Args:
      arrays: with a classifier or without.
      wanted: the network's weights, its classifier's two at the end; it may have
        another number of classes than the file's.
    """
    names = list(wanted)
    if len(arrays) == len(_without_classifier(wanted)):
        names = list(_without_classifier(wanted))
    if len(arrays) != len(names):
        return None
    named = dict(zip(names, arrays, strict=True))
    for name, array in _without_classifier(named).items():
        kind = array.path.split("/")[-1].split(":")[0]
        other_kind = kind in _KINDS and kind != name.split("/")[-1]
        if other_kind or not _fits(name, array, wanted[name]):
            return None
    return named


def _check_network(path: str, stored: dict[str, _Stored]) -> None:
    """Raises `InputError` for weights of another network of larq-zoo's."""
    networks = {name.partition("_block_")[0] for name in stored} - {_NETWORK_NAME}
    for network in sorted(networks & set(_OTHER_NETWORKS)):
        raise InputError(
            f"{path} holds {network!r}, larq-zoo's {_OTHER_NETWORKS[network]}: "
            f"expected {_NETWORK_NAME!r}, its binary Real-to-Binary net."
        )


def _check_classifier(path: str, stored: dict[str, _Stored]) -> None:
    if not any(name.startswith(_NETWORK_NAME) for name in stored):
        return
    if len(_without_classifier(stored)) == len(stored):
        raise InputError(
            f"{path} has no classifier, expected larq-zoo's file with one: what starts "
            "from this one in Python, with larq_zoo.load_weights(new_classifier=...), "
            "has yet to be trained."
        )


def _without_classifier(weights: dict) -> dict:
    return {
        name: weight
        for name, weight in weights.items()
        if not name.startswith(f"{_CLASSIFIER}/")
    }


def _count_classes(stored: dict[str, _Stored], ordered: list[_Stored]) -> int:
    """Classes of the file, ImageNet's number if its kernel has not got the shape."""
    # By order it is the last but one, before its bias.
    kernel = stored.get(f"{_CLASSIFIER}/kernel", *ordered[-2:-1])
    return kernel.shape[1] if kernel and len(kernel.shape) == 2 else 1000


def _fits(name: str, array: _Stored, weight: tf.Variable) -> bool:
    return array.shape == _stored_shape(name, weight) and array.dtype.kind == "f"


def _check_match(
    path: str, stored: dict[str, _Stored], wanted: dict[str, tf.Variable]
) -> None:
    """Raises `InputError` unless names, shapes and kinds of number are the same."""
    if not stored.keys() & wanted.keys():
        content = f"the weights {some(stored)}" if stored else "no weights"
        raise InputError(
            f"{path} holds {content}, expected those of larq-zoo's {_NETWORK_NAME!r}, "
            f"such as {_NETWORK_NAME}_block_1_conv2d/kernel, or others of the same "
            "shapes in the order of its layers."
        )
    problems = []
    if missing := [name for name in wanted if name not in stored]:
        problems.append(f"it lacks {some(missing)}")
    if unknown := [name for name in stored if name not in wanted]:
        problems.append(f"it has {some(unknown)} besides")
    unfit = []
    for name in [name for name in wanted if name in stored]:
        array, shape = stored[name], _stored_shape(name, wanted[name])
        if not _fits(name, array, wanted[name]):
            unfit.append(f"{name} ({array.dtype} {array.shape}, not float {shape})")
    if unfit:
        problems.append(f"of another shape or kind is {some(unfit)}")
    if problems:
        raise InputError(
            f"{path} does not fit larq-zoo's {_NETWORK_NAME!r} by name and shape: "
            f"{'; '.join(problems)}."
        )
