"""Random weights for larq-zoo's network, and files of them as Keras 2 writes them.

A weight is a function of its name, its shape and a seed alone: `larq_zoo_fixture.json`
keeps no weights, only their names and shapes and what larq-zoo's network makes of them.
"""

import itertools
import json
import pathlib
import zlib

import h5py
import numpy as np

FIXTURE = pathlib.Path(__file__).parent / "larq_zoo_fixture.json"
IMAGE_SHAPE = (64, 64, 3)


def uniform(name, shape, seed, low, high):
    """Random numbers of the plainest kind, the same in every version of NumPy."""
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return low + (high - low) * generator.random(shape)


def random_weight(name, shape, seed):
    """Of a size at which no layer saturates; BatchNorm's gammas have both signs."""
    kind = name.rsplit("/", maxsplit=1)[1]
    values = uniform(name, shape, seed, -1, 1)
    # Of what BatchNorm sees: behind convolutions of signs it grows with the channels.
    from_images = "_block_1_" in name or "_block_2a_" in name
    scale = 1 if from_images else np.sqrt(2 * shape[-1])
    if kind == "gamma":
        # From 0.5 to 1.5, one in four negative.
        signs = np.where(uniform(f"{name}/sign", shape, seed, 0, 4) < 1, -1, 1)
        values = signs * (1 + values / 2)
    elif kind == "moving_variance":
        values = scale**2 * (1 + 0.75 * values)
    elif kind == "moving_mean":
        values *= scale / 2
    elif kind == "beta":
        values /= 2
    elif kind == "alpha":
        values = 0.25 + values / 2
    elif "_logits/" in name:
        values *= 0.005
    elif kind == "kernel" and not is_binary(name):
        # The variance 2 / fan_in.
        values *= np.sqrt(6 / np.prod(shape[:-1]))
    return values.astype(np.float32)


def is_binary(name):
    """Whether it is the kernel of a 3x3 convolution, whose sign alone counts."""
    return name.endswith("conv2d/kernel") and not (
        "_block_1_" in name or "_shortcut_" in name
    )


def random_weights(shapes, seed):
    return {name: random_weight(name, shape, seed) for name, shape in shapes.items()}


def images(seed, num=2):
    """Noise around a colour and a contrast of each image's own."""
    colour = uniform("colour", (num, 1, 1, 3), seed, -1, 1)
    contrast = uniform("contrast", (num, 1, 1, 1), seed, 0.5, 2)
    noise = uniform("image", (num, *IMAGE_SHAPE), seed, -1, 1)
    return (colour + contrast * noise).astype(np.float32)


def read_fixture():
    """Names and shapes, seed and outputs, as `make_larq_zoo_fixture.py` wrote them."""
    fixture = json.loads(FIXTURE.read_text())
    fixture["shapes"] = {k: tuple(shape) for k, shape in fixture["shapes"].items()}
    fixture["probabilities"] = np.array(fixture["probabilities"], np.float32)
    return fixture


def write_file(path, weights):
    """Writes arrays or, as zeros that take no room, shapes: `model.save_weights`'s way.

    Args:
      path: the file to be written.
      weights: array or shape by `layer/weight`, a layer's weights next to each other.
    """
    with h5py.File(path, "w") as file:
        write_group(file, weights)


def write_group(group, weights):
    layers = {
        layer: [name.split("/")[1] for name in names]
        for layer, names in itertools.groupby(weights, lambda name: name.split("/")[0])
    }
    group.attrs["layer_names"] = [layer.encode() for layer in layers]
    group.attrs["backend"] = b"tensorflow"
    group.attrs["keras_version"] = b"2.15.0"
    group.create_group("top_level_model_weights").attrs["weight_names"] = []
    for layer, names in layers.items():
        inner = group.create_group(layer)
        paths = [f"{layer}/{name}:0" for name in names]
        inner.attrs["weight_names"] = [path.encode() for path in paths]
        for path, name in zip(paths, names, strict=True):
            write_array(inner, path, weights[f"{layer}/{name}"])


def write_array(group, path, values):
    if isinstance(values, tuple):
        group.create_dataset(path, values, np.float32)
    else:
        group.create_dataset(path, data=values)
