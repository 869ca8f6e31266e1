"""Images per second and core of the ImageNet training pipeline.

    taskset -c 0 python studies/input_pipeline.py \
        --output=results/input_pipeline/images_per_second.csv

Reads JPEGs of ImageNet's usual size, 500x375 pixels and about 110 kB, from a folder
as the `folder` source does, and times the stages' own pipeline: random resized crop
straight from the JPEG, flip, colour jitter, normalisation, batches. Neither ImageNet
nor the network is needed: the JPEGs are windows of scikit-learn's two photographs
(640x427 pixels), each enlarged by up to 1.6 before it is cut, and encoded at the lowest
quality that gives ImageNet's bytes. What a decoder does depends on size and detail, not
on what is to be seen.

Beside the wall clock the CPU time of this process is counted, which a busy machine
changes less.
"""

import argparse
import io
import pathlib
import statistics
import tempfile
import time

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from turns import keep

from r2b_keras import data, recipes
from r2b_keras.data import Augmentation

WIDTH, HEIGHT = 500, 375
TARGET_BYTES = 110_000


def make_photographs(folder: pathlib.Path, count: int) -> float:
    """Writes JPEGs in two classes; returns their mean number of bytes."""
    generator = np.random.default_rng(0)
    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    sizes = []
    for number in range(count):
        whole = photographs[number % 2]
        scale = generator.uniform(1.0, 1.6)
        whole = whole.resize([round(scale * side) for side in whole.size])
        left, top = (
            int(generator.integers(0, whole.size[axis] - side + 1))
            for axis, side in enumerate((WIDTH, HEIGHT))
        )
        window = whole.crop((left, top, left + WIDTH, top + HEIGHT))
        content = encode(window)
        path = folder / f"class_{number % 2}" / f"{number:05}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        sizes.append(len(content))
    return statistics.mean(sizes)


def encode(image: Image.Image) -> bytes:
    """A JPEG of about ImageNet's size: the lowest quality that reaches it."""
    for quality in range(70, 100, 2):
        content = io.BytesIO()
        image.save(content, "jpeg", quality=quality)
        if content.tell() >= TARGET_BYTES:
            break
    return content.getvalue()


def measure(
    images: data.ImageDataset, augmentation: Augmentation, batch: int, steps: int
) -> tuple[float, float]:
    """Images per second of wall clock, and per second of CPU time."""
    epochs = -(-(steps + 2) // images.steps_per_epoch(batch))
    batches = iter(images.train(batch, augmentation, 0, 0, epochs, normalised=False))
    for _ in range(2):
        next(batches)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(batches)
    count = steps * batch
    return count / (time.perf_counter() - wall), count / (time.process_time() - cpu)


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=pathlib.Path, help="CSV to write")
    options = parser.parse_args()
    imagenet = recipes.get("imagenet")
    rows = []
    with tempfile.TemporaryDirectory() as name:
        mean_bytes = make_photographs(pathlib.Path(name), options.images)
        config = data.DataConfig(
            "folder",
            imagenet.data.image_shape,
            imagenet.data.mean,
            imagenet.data.std,
            0,
        )
        images = data.load(config, name)
        kinds = {"none": Augmentation()}
        for stage in (0, len(imagenet.stages) - 1):
            kinds[f"stage {stage} of imagenet"] = imagenet.stages[stage].augmentation
        turns: dict[str, list[tuple[float, float]]] = {kind: [] for kind in kinds}
        for _ in range(options.rounds):
            for kind, augmentation in kinds.items():
                turn = measure(images, augmentation, options.batch, options.steps)
                turns[kind].append(turn)
    for kind, found in turns.items():
        wall, cpu = zip(*found, strict=True)
        rows.append(
            {
                "augmentation": kind,
                "width": WIDTH,
                "height": HEIGHT,
                "mean_bytes": round(mean_bytes),
                "batch": options.batch,
                "images_per_second": round(statistics.median(wall), 1),
                "images_per_cpu_second": round(statistics.median(cpu), 1),
                "lowest": round(min(cpu), 1),
                "highest": round(max(cpu), 1),
            }
        )
    keep(rows, options.output)


if __name__ == "__main__":
    main()
