"""ESTIMATES the hours of the four ImageNet stages on 1, 8 and 64 GPUs.

    python studies/imagenet_hours.py --output=results/scale

Nothing here was measured on a GPU. Epochs and batch are the recipe's, the images a
second of one core are those of studies/input_pipeline.py, and all else is an
assumption, listed below with its source. Writes imagenet_hours.csv and assumptions.csv.
"""

import argparse
import pathlib
from typing import Any

from r2b_keras import files, recipes

PIPELINE = pathlib.Path("results/input_pipeline/images_per_second.csv")

TRAIN_IMAGES = 1_281_167 - 10_000
STUDENT_MACS = 1.676e9 + 1.564e8
RESNET50_MACS = 4.1e9
TRAIN_PASSES, TEACHER_PASSES = 3, 1
RESNET50_IMAGES_PER_SECOND = 2375
RELATIVE_UTILISATION = 0.5
# By the number of GPUs.
OVERHEAD_SECONDS = {1: 0.010, 8: 0.015, 64: 0.030}

ASSUMPTIONS = (
    ("images of an epoch", TRAIN_IMAGES, "ILSVRC 2012 less what the recipe holds out"),
    (
        "10^9 multiply-accumulates of our network, an image forward",
        f"{STUDENT_MACS / 1e9:.2f}",
        "the paper, binary plus real: in training both are dense floats",
    ),
    (
        "10^9 of ResNet-50",
        RESNET50_MACS / 1e9,
        "version 1.5; He et al. (2016), Table 1, have 3.8 for the first",
    ),
    (
        "forward passes' worth of a training step",
        TRAIN_PASSES,
        "forward, gradients of inputs, gradients of weights",
    ),
    ("the same of the teacher", TEACHER_PASSES, "forward only"),
    (
        "ResNet-50 on one A100, images/s of training",
        RESNET50_IMAGES_PER_SECOND,
        "NVIDIA DeepLearningExamples, resnet50v1.5, TensorFlow, mixed precision, XLA",
    ),
    (
        "our network's utilisation of the GPU to ResNet-50's",
        RELATIVE_UTILISATION,
        "ours: more small operations for each multiplication",
    ),
    *(
        (
            f"ms of a step that more GPUs do not shorten, GPUs: {gpus}",
            round(1000 * seconds),
            "ours: thousands of kernels to start, 48 MB of gradients to add up",
        )
        for gpus, seconds in OVERHEAD_SECONDS.items()
    ),
)


def images_per_second(passes: int, gpus: int, batch: int) -> float:
    """Speed of training with `passes` forward passes' worth of work an image."""
    speed = RESNET50_IMAGES_PER_SECOND * RELATIVE_UTILISATION
    speed *= TRAIN_PASSES * RESNET50_MACS / (passes * STUDENT_MACS)
    return batch / (batch / gpus / speed + OVERHEAD_SECONDS[gpus])


def per_core(path: pathlib.Path) -> float:
    """Images a second that one core prepares, with the first stages' augmentation."""
    rows = {row["augmentation"]: row for row in files.read_csv(path)}
    return float(rows["stage 0 of imagenet"]["images_per_cpu_second"])


def main() -> None:
    """Prints the table as Markdown, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pipeline", type=pathlib.Path, default=PIPELINE)
    parser.add_argument("--output", type=pathlib.Path, help="folder for the two files")
    options = parser.parse_args()
    stages, core = recipes.get("imagenet").stages, per_core(options.pipeline)
    rows = []
    for gpus in OVERHEAD_SECONDS:
        hours, fastest = [], 0.0
        for stage in stages:
            taught = TEACHER_PASSES if stage.losses.needs_teacher else 0
            speed = images_per_second(TRAIN_PASSES + taught, gpus, stage.batch_size)
            steps = TRAIN_IMAGES // stage.batch_size * stage.epochs
            hours.append(steps * stage.batch_size / speed / 3600)
            fastest = max(fastest, speed)
        row: dict[str, Any] = {"gpus": gpus}
        row |= {"images_per_gpu": stages[0].batch_size // gpus}
        row |= {f"stage_{n}_hours": f"{h:.1f}" for n, h in enumerate(hours)}
        row |= {"all_hours": f"{sum(hours):.0f}", "images_per_second": f"{fastest:.0f}"}
        rows.append(row | {"cores_for_the_images": f"{fastest / core:.0f}"})
    print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
    for row in rows:
        print(f"| {' | '.join(map(str, row.values()))} |")
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
        files.write_csv(options.output / "imagenet_hours.csv", rows)
        names = ("assumption", "value", "source")
        assumed = [dict(zip(names, each, strict=True)) for each in ASSUMPTIONS]
        files.write_csv(options.output / "assumptions.csv", assumed)


if __name__ == "__main__":
    main()
