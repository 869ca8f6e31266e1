"""Converts Real-to-Binary ResNet-18 at 224x224, with weights of each kind.

    python studies/conversion.py build/conversion --quicknet
    python -m r2b_keras.benchmark --model=build/conversion/plain_float32.tflite \
        --model=build/conversion/plain_int8.tflite --float_baseline

The network has larq-zoo's choices, the one whose size and latency others report. Its
weights are random, BatchNorm's statistics and signs included: size, operators and
latency do not depend on them. Beside it, the same with integer real layers, and the
real-valued network of the same layout.

With `--quicknet` also larq-zoo's QuickNet by LCE's converter, as others would have it:
a network that is not ours, with one-padding, BatchNorm after the convolutions and
depthwise parts.
"""

import argparse
import dataclasses
import pathlib
import sys

import numpy as np

from r2b_keras import files
from r2b_keras.board.card import REAL_WEIGHTS, ModelCard
from r2b_keras.converters import convert, count_operators, tflite_file
from r2b_keras.converters.benchmark_baseline import float_baseline
from r2b_keras.converters.card import attach
from r2b_keras.converters.real_weights import bytes_by_part, shrink
from r2b_keras.environment import tf
from r2b_keras.models import IntegerConv2D, IntegerDense, build_network, larq_zoo
from r2b_keras.networks import Network
from r2b_keras.normalisation import Normalisation

SHAPE, NUM_CLASSES = (224, 224, 3), 1000


def randomize(model: tf.keras.Model, seed: int = 0) -> None:
    """Gives BatchNorm and PReLU values as a trained network has them."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            shape = layer.moving_mean.shape
            if layer.scale:
                sign = np.where(generator.random(shape) < 0.1, -1, 1)
                layer.gamma.assign(sign * generator.uniform(0.5, 1.5, shape))
            if layer.center:
                layer.beta.assign(generator.normal(0, 0.3, shape))
            layer.moving_mean.assign(generator.normal(0, 0.3, shape))
            layer.moving_variance.assign(generator.uniform(0.5, 2, shape))
        elif isinstance(layer, tf.keras.layers.PReLU):
            layer.alpha.assign(generator.uniform(0, 0.5, layer.alpha.shape))
        elif isinstance(layer, IntegerConv2D | IntegerDense):
            layer.maximum.assign(generator.uniform(5, 20))


def save(path: pathlib.Path, content: bytes) -> None:
    """Writes a flatbuffer, whole or not at all."""
    with files.written_whole(path) as aside:
        aside.write_bytes(content)


def write_resnet(folder: pathlib.Path, name: str, network: Network) -> bytes:
    """Writes one of our networks in all sizes; returns the last of them."""
    normalisation = Normalisation(larq_zoo.MEAN, larq_zoo.STD)
    model = build_network(network, SHAPE, NUM_CLASSES, normalisation)
    randomize(model)
    card = ModelCard(
        class_names=tuple(f"class {number}" for number in range(NUM_CLASSES)),
        image_shape=SHAPE,
        mean=larq_zoo.MEAN,
        std=larq_zoo.STD,
        framing="center",
        network=dataclasses.asdict(network),
        input_type="float32" if network.real_layers == "float" else "uint8",
    )
    exact = convert(model)
    operators = count_operators(exact).most_common()
    print(f"{name}: " + ", ".join(f"{count} {kind}" for kind, count in operators))
    for kind in REAL_WEIGHTS:
        small = tflite_file.serialize(shrink(tflite_file.parse(exact), kind))
        content = attach(small, dataclasses.replace(card, real_weights=kind))
        save(folder / f"{name}_{kind}.tflite", content)
        parts = ", ".join(f"{k} {v:,}" for k, v in bytes_by_part(small).items())
        print(f"  {kind}: {len(small):,} bytes ({parts})")
    return content


def write_real(folder: pathlib.Path, content: bytes) -> None:
    """Writes the real-valued network of the same layout."""
    real = float_baseline(content)
    save(folder / "real_float32.tflite", real)
    print(f"real-valued ResNet-18\n  float32: {len(real):,} bytes")


def write_quicknet(folder: pathlib.Path) -> None:
    """Writes larq-zoo's QuickNet."""
    import larq_compute_engine as lce

    try:
        from larq_zoo.sota import QuickNet
    except ImportError as error:
        sys.exit(
            f"larq-zoo is not installed ({error}): studies/README.md says how to have "
            "it for this command alone."
        )
    model = QuickNet(input_shape=SHAPE, weights=None, num_classes=NUM_CLASSES)
    randomize(model)
    content = lce.convert_keras_model(model)
    save(folder / "quicknet.tflite", content)
    print(f"QuickNet\n  float32: {len(content):,} bytes")


def main() -> None:
    """Writes the files and prints operators and bytes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="to write to")
    parser.add_argument("--quicknet", action="store_true", help="larq-zoo's as well")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.quicknet:
        write_quicknet(given.folder)
    integer = dataclasses.replace(larq_zoo.NETWORK, real_layers="integer")
    write_resnet(given.folder, "integer", integer)
    write_real(given.folder, write_resnet(given.folder, "plain", larq_zoo.NETWORK))


if __name__ == "__main__":
    main()
