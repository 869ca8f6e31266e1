"""One pass of a finished network over the test set, and some of its images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from r2b_keras.data import ImageDataset
from r2b_keras.environment import tf
from r2b_keras.models.intermediates import OUTPUT, with_intermediates
from r2b_keras.reports.gates import GateMeans
from r2b_keras.trainers.evaluation import BATCH_SIZE


@dataclass(frozen=True)
class Outcome:
    """What a network says about every test image.

    Attributes:
      logits: `[N, K]`.
      labels: `[N]`, true classes.
      gates: mean values by gate layer, `[K, C]` each; see `GateMeans`.
    """

    logits: np.ndarray
    labels: np.ndarray
    gates: dict[str, np.ndarray]


def run(
    model: tf.keras.Model, dataset: ImageDataset, gate_names: Sequence[str] = ()
) -> Outcome:
    """Runs a network over the test set once.

    Args:
      model: from images to logits.
      dataset: its test part is read in order.
      gate_names: layers whose outputs `[B, 1, 1, C]` are averaged by class.
    """
    joined = with_intermediates(model, gate_names, output=OUTPUT)
    gates = {name: GateMeans(dataset.num_classes) for name in gate_names}
    logits, labels = [], []
    with dataset.broken_image_is_named():
        for images, targets in dataset.test(BATCH_SIZE).as_numpy_iterator():
            outputs = joined.predict_on_batch(images)
            classes = np.argmax(targets, axis=1)
            for name, means in gates.items():
                means.add(outputs[name], classes)
            logits.append(outputs[OUTPUT])
            labels.append(classes)
    return Outcome(
        np.concatenate(logits),
        np.concatenate(labels),
        {name: means.result() for name, means in gates.items()},
    )


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


def pixels(
    images: np.ndarray, mean: Sequence[float], std: Sequence[float]
) -> np.ndarray:
    """Normalised images as bytes again, `[..., H, W, C]` uint8."""
    shares = images * np.array(std) + np.array(mean)
    return np.clip(np.rint(255 * shares), 0, 255).astype(np.uint8)
