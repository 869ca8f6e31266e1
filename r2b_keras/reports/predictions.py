"""What a finished network says about the test images, and some of these images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2b_keras.data import ImageDataset
from r2b_keras.environment import tf
from r2b_keras.models.intermediates import OUTPUT, with_intermediates
from r2b_keras.trainers.evaluation import BATCH_SIZE


@dataclass(frozen=True)
class Predictions:
    """What a network says about every test image.

    Attributes:
      logits: `[N, K]`.
      labels: `[N]`, true classes.
      gates: mean outputs by gate layer and class, `[K, C]` each; NaN for a class
        without images.
    """

    logits: np.ndarray
    labels: np.ndarray
    gates: dict[str, np.ndarray]


def predict(
    model: tf.keras.Model, dataset: ImageDataset, gate_names: Sequence[str] = ()
) -> Predictions:
    """Runs a network over the test set once.

    Args:
      model: from images to logits.
      dataset: its test part is read in order.
      gate_names: layers whose outputs `[B, 1, 1, C]` are averaged by class.
    """
    joined = with_intermediates(model, gate_names, output=OUTPUT)
    sums: dict[str, Any] = dict.fromkeys(gate_names, 0)
    logits, labels = [], []
    with dataset.broken_image_is_named():
        for images, targets in dataset.test(BATCH_SIZE).as_numpy_iterator():
            outputs = joined.predict_on_batch(images)
            for name in gate_names:
                sums[name] = sums[name] + sums_by_class(outputs[name], targets)
            logits.append(outputs[OUTPUT])
            labels.append(np.argmax(targets, axis=1))
    found = np.concatenate(labels)
    counts = np.bincount(found, minlength=dataset.num_classes)
    counts = np.where(counts, counts, np.nan)
    means = {name: total / counts[:, None] for name, total in sums.items()}
    return Predictions(np.concatenate(logits), found, means)


def sums_by_class(values: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Sums over the images of each class, `[K, C]` in 64 bits.

    Args:
      values: `[B, 1, 1, C]`.
      targets: `[B, K]`, one-hot.
    """
    flat = values.reshape(len(values), -1).astype(np.float64)
    sums: np.ndarray = targets.astype(np.float64).T @ flat
    return sums


def test_images(dataset: ImageDataset, indices: Iterable[int]) -> dict[int, np.ndarray]:
    """Some images of the test part, `[H, W, C]` as the network sees them, by number."""
    wanted = set(indices)
    found: dict[int, np.ndarray] = {}
    start = 0
    for images, _ in dataset.test(BATCH_SIZE).as_numpy_iterator():
        for index in sorted(wanted - found.keys()):
            if start <= index < start + len(images):
                found[index] = images[index - start]
        start += len(images)
        if len(found) == len(wanted):
            break
    return found


def representatives(labels: np.ndarray, num_images: int) -> list[int]:
    """Numbers of the first images of classes spread evenly over all.

    Where more images are asked for than there are classes, each class gives its second
    one too, and so on.

    Args:
      labels: `[N]`, classes.
      num_images: how many, all if there are fewer.
    """
    places = {int(c): np.flatnonzero(labels == c) for c in np.unique(labels)}
    rounds = [
        [int(places[c][turn]) for c in places if turn < len(places[c])]
        for turn in range(max(map(len, places.values())))
    ]
    found: list[int] = []
    for candidates in rounds:
        left = min(num_images - len(found), len(candidates))
        if left <= 0:
            break
        steps = np.arange(left) * len(candidates) // left
        found += [candidates[step] for step in steps]
    return found
