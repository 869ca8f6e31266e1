"""Accuracy of a classifier on a data set."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from r2b_keras.environment import tf
from r2b_keras.errors import InputError

# Images that are evaluated at a time.
BATCH_SIZE = 250
# Beyond this many classes the confusion fills more than a screen.
LARGEST_TABLE = 20
NUM_WORST = 10


@dataclass(frozen=True)
class Report:
    """How well a classifier does.

    Attributes:
      top1: fraction of images whose best class is right.
      top5: fraction whose class is among the five best; None where there are no more
        than five classes.
      per_class: for each class, the fraction of its images that are right (NaN for a
        class without images).
      confusion: `[K, K]` counts, true class by row, predicted class by column.
      class_names: K names.
    """

    top1: float
    top5: float | None
    per_class: tuple[float, ...]
    confusion: np.ndarray
    class_names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a class without images has null."""
        accuracy = (None if np.isnan(value) else value for value in self.per_class)
        return {
            "top1": self.top1,
            "top5": self.top5,
            "num_images": int(self.confusion.sum()),
            "per_class": dict(zip(self.class_names, accuracy, strict=True)),
            "confusion": self.confusion.tolist(),
        }

    def to_text(self) -> str:
        """A table for people; of many classes, the worst ones."""
        top5 = "" if self.top5 is None else f"top-5 {self.top5:.2%}   "
        num_images = int(self.confusion.sum())
        many = len(self.class_names) > LARGEST_TABLE
        lines = self._worst() if many else self._every()
        return "\n".join(
            (f"top-1 {self.top1:.2%}   {top5}{num_images} images", "", *lines)
        )

    def _every(self) -> Iterator[str]:
        width = max(6, *(len(name) for name in self.class_names))
        cell = max(5, len(str(int(self.confusion.max()))) + 1)
        yield f"{'class':<{width}}  right   confusion (row: true, column: predicted)"
        for index, name in enumerate(self.class_names):
            counts = "".join(f"{count:>{cell}}" for count in self.confusion[index])
            yield f"{name:<{width}}  {_share(self.per_class[index])} {counts}"

    def _worst(self) -> Iterator[str]:
        # NaN, a class without images, comes last.
        worst = np.argsort(self.per_class, kind="stable")[:NUM_WORST]
        width = max(6, *(len(self.class_names[index]) for index in worst))
        yield (
            f"The {NUM_WORST} worst of {len(self.class_names)} classes (all of them: "
            "--json)"
        )
        yield f"{'class':<{width}}  right   images  most often taken for"
        for index in worst:
            wrong = self.confusion[index].copy()
            wrong[index] = 0
            most = int(np.argmax(wrong))
            taken = f"{self.class_names[most]} ({wrong[most]})" if wrong[most] else "-"
            images = self.confusion[index].sum()
            share = _share(self.per_class[index])
            yield f"{self.class_names[index]:<{width}}  {share}  {images:>6}  {taken}"


def _share(value: float) -> str:
    """A percentage, or what stands for the share of no images."""
    return "     -" if np.isnan(value) else f"{value:6.1%}"


def make_report(
    logits: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...]
) -> Report:
    """Counts right and wrong.

    Args:
      logits: `[N, K]`, any scores that rank the classes.
      labels: `[N]`, true classes.
      class_names: K names.

    Raises:
      InputError: no images, logits that are not finite, or other classes than K.
    """
    if not len(logits):
        raise InputError(
            "There are no images to evaluate: the data set's part is empty."
        )
    if not np.isfinite(logits).all():
        raise InputError(
            "The network gives logits that are not finite: its weights are damaged, "
            "train the stage again."
        )
    num_classes = len(class_names)
    if logits.shape[1] != num_classes or not np.all(
        (labels >= 0) & (labels < num_classes)
    ):
        raise InputError(
            f"The network tells {logits.shape[1]} classes apart and the labels go up "
            f"to {labels.max()}, expected the data set's {num_classes} classes, from "
            "0: evaluate it on the data that it was trained for."
        )
    ranked = np.argsort(-logits, axis=1, kind="stable")
    hits = ranked[:, :5] == labels[:, None]
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (labels, ranked[:, 0]), 1)
    totals = confusion.sum(axis=1)
    right = np.where(totals, confusion.diagonal() / np.maximum(totals, 1), np.nan)
    return Report(
        top1=float(hits[:, 0].mean()),
        top5=float(hits.any(axis=1).mean()) if num_classes > 5 else None,
        per_class=tuple(float(value) for value in right),
        confusion=confusion,
        class_names=tuple(class_names),
    )


def evaluate(
    model: tf.keras.Model, data: tf.data.Dataset, class_names: tuple[str, ...]
) -> Report:
    """Runs a model over a data set.

    Args:
      model: from images `[B, H, W, C]` to logits `[B, K]`.
      data: batches of images and labels, one-hot `[B, K]`.
      class_names: K names.
    """
    logits, labels = [], []
    for images, targets in data:
        logits.append(model.predict_on_batch(images))
        labels.append(np.argmax(targets.numpy(), axis=-1))
    if not logits:
        raise InputError(
            "There are no images to evaluate: the data set's part is empty."
        )
    return make_report(np.concatenate(logits), np.concatenate(labels), class_names)
