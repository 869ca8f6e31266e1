"""Writes `larq_zoo_fixture.json`: what larq-zoo's own network makes of random weights.

    pip install --no-deps larq-zoo==2.4.0 zookeeper==1.4.0 typeguard click
    python tests/converters/make_larq_zoo_fixture.py

Run it with this package installed, in an environment to be thrown away afterwards:
larq-zoo asks for a protobuf that TensorFlow refuses, hence `--no-deps`. The tests need
the file alone.

Of some seeds it takes the one that leaves signs the widest margin. Rounding in the
seventh digit, other than here on another processor, turns the sign of a value that
lies so near to 0, and a turned sign would show in the outputs.
"""

import json
import tempfile

import h5py
import numpy as np
from larq_zoo_weights import (
    FIXTURE,
    IMAGE_SHAPE,
    images,
    random_weights,
    write_file,
)

# First, for it chooses the Keras that larq-zoo then finds.
from r2b_keras.environment import lq, tf

SEEDS = range(24)


def make_network():
    from larq_zoo.literature import RealToBinaryNet

    return RealToBinaryNet(input_shape=IMAGE_SHAPE, weights=None, num_classes=1000)


def name_of(weight):
    """`layer/weight`, which is how larq-zoo's variables are named, but for a `:0`."""
    return weight.name.removesuffix(":0")


def watch_signs(network):
    """The same network with one more output for every input of a sign."""
    signs = [
        layer.input
        for layer in network.layers
        if isinstance(layer, lq.layers.QuantConv2D)
    ]
    return tf.keras.Model(network.input, [network.output, *signs])


def try_seed(network, watched, shapes, seed):
    """Returns the outputs and the smallest value of which a sign was taken."""
    weights = random_weights(shapes, seed)
    for weight in network.weights:
        weight.assign(weights[name_of(weight)])
    probabilities, *signs = watched(images(seed), training=False)
    return probabilities.numpy(), min(np.abs(sign).min() for sign in signs)


def list_arrays(path):
    arrays = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(add)
    return arrays


def check_files(network):
    """`write_file` must write what larq-zoo's network writes."""
    weights = {name_of(weight): weight.numpy() for weight in network.weights}
    with tempfile.TemporaryDirectory() as folder:
        network.save_weights(f"{folder}/theirs.h5")
        write_file(f"{folder}/ours.h5", weights)
        theirs, ours = (
            list_arrays(f"{folder}/{name}.h5") for name in ("theirs", "ours")
        )
    assert set(ours) == set(theirs)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def round_trip(values):
    """The shortest decimal numbers that are the same float32 when read."""
    return [[float(str(value)) for value in row] for row in values]


def main():
    network = make_network()
    check_files(network)
    watched = watch_signs(network)
    shapes = {name_of(weight): tuple(weight.shape) for weight in network.weights}
    tried = {seed: try_seed(network, watched, shapes, seed) for seed in SEEDS}
    for seed, (probabilities, margin) in tried.items():
        apart = np.abs(probabilities[0] - probabilities[1]).max()
        print(
            f"seed {seed}: margin {margin:.2e}, largest {probabilities.max(1)}, "
            f"apart {apart:.3f}"
        )
    seed = max(tried, key=lambda seed: tried[seed][1])
    probabilities, margin = tried[seed]
    fixture = {
        "larq_zoo": "2.4.0",
        "seed": seed,
        "smallest_input_of_a_sign": float(margin),
        "shapes": shapes,
        "probabilities": round_trip(probabilities),
    }
    lines = json.dumps(fixture)
    for key in ('"', "["):
        lines = lines.replace(f", {key}", f",\n{key}")
    FIXTURE.write_text(lines.replace("{", "{\n").replace("}", "\n}") + "\n")
    print(f"seed {seed} taken, {FIXTURE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
