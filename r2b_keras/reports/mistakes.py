"""The confusion matrix, and the images that cost the most."""

import dataclasses
from typing import Any

import numpy as np

from r2b_keras import drawing
from r2b_keras.data import ImageDataset
from r2b_keras.reports import pictures, predictions
from r2b_keras.reports.pictures import Picture
from r2b_keras.reports.predictions import Predictions
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.tables import percent
from r2b_keras.trainers import evaluation

NUM_MISTAKES, NUM_CONFUSED = 12, 8
# More classes than these have no numbers in the cells, and no names beside them.
MOST_COUNTED, MOST_NAMED = 20, 40
# Up to so many, the matrix fits on a phone.
MOST_NARROW = 10


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A test image that is taken for another class.

    Attributes:
      index: its number in the test part.
      true: its class.
      predicted: the class with the highest logit.
      true_probability: what the network gives its class, 0 to 1.
      predicted_probability: what it gives the other.
      loss: cross-entropy, in nats.
    """

    index: int
    true: int
    predicted: int
    true_probability: float
    predicted_probability: float
    loss: float


def worst(logits: np.ndarray, labels: np.ndarray, count: int) -> list[Mistake]:
    """The mistakes with the highest loss, the worst one first.

    Args:
      logits: `[N, K]`.
      labels: `[N]`, true classes.
      count: how many at most.
    """
    scores = logits.astype(np.float64)
    scores -= scores.max(axis=1, keepdims=True)
    logs = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    losses = -logs[rows, labels]
    predicted = logits.argmax(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    order = wrong[np.argsort(-losses[wrong], kind="stable")][:count]
    return [
        Mistake(
            index=int(i),
            true=int(labels[i]),
            predicted=int(predicted[i]),
            true_probability=float(np.exp(logs[i, labels[i]])),
            predicted_probability=float(np.exp(logs[i, predicted[i]])),
            loss=float(losses[i]),
        )
        for i in order
    ]


def most_confused(confusion: np.ndarray, count: int) -> list[tuple[int, int, int]]:
    """The pairs (true, predicted, images) that are confused most often."""
    wrong = confusion - np.diag(np.diag(confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = [divmod(int(place), len(wrong)) for place in order]
    return [(t, p, int(wrong[t, p])) for t, p in pairs if wrong[t, p]]


def confusion_picture(confusion: np.ndarray, class_names: tuple[str, ...]) -> Picture:
    """The matrix as shares of each row, with the counts where they fit.

    Args:
      confusion: `[K, K]` counts, true class by row, predicted class by column.
      class_names: K names.
    """
    size = len(class_names)
    side = min(680, 80 + 32 * max(size, 8))
    figure = drawing.new_figure(side, side)
    axes = figure.subplots()
    totals = np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    # The square root shows the rare mistakes beside the many right answers.
    axes.imshow(np.sqrt(confusion / totals), cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted class", **pictures.LABEL)
    axes.set_ylabel("true class", **pictures.LABEL)
    axes.spines[:].set_color(drawing.LINE)
    axes.tick_params(length=0, labelcolor=drawing.SOFT, labelsize=pictures.SMALL)
    names = [drawing.drawable(name, 16) for name in class_names]
    if size <= MOST_NAMED:
        turned = 90 if max(map(len, names)) > 3 else 0
        axes.set_xticks(range(size), names, rotation=turned)
        axes.set_yticks(range(size), names)
    else:
        axes.set_xticks([])
        axes.set_yticks([])
    if size <= MOST_COUNTED:
        words = {(r, c): str(confusion[r, c]) for r, c in np.argwhere(confusion)}
        pictures.write_in_cells(axes, words)
    right, total = int(np.trace(confusion)), int(confusion.sum())
    alt = (
        f"Confusion matrix of {size} classes: {right:,} of {total:,} test images are "
        "on its diagonal, classified correctly."
    )
    return pictures.draw("confusion", figure, alt)


def section(
    record: RunRecord, stage: int, dataset: ImageDataset, found: Predictions
) -> dict[str, Any]:
    """Confusion matrix and the images with the highest loss, for the template."""
    names = dataset.class_names
    report = evaluation.make_report(found.logits, found.labels, names)
    recorded = record.results[stage].top1
    totals = report.confusion.sum(axis=1)
    rows = [
        [names[true], names[other], count, percent(count / totals[true], 1)]
        for true, other, count in most_confused(report.confusion, NUM_CONFUSED)
    ]
    return {
        "stage": stage,
        "top1": report.top1,
        "recorded": recorded,
        "changed": num_changed(report.top1, recorded, len(found.labels)),
        "matrix": confusion_picture(report.confusion, names),
        "is_wide": len(names) > MOST_NARROW,
        "pairs": rows,
        "worst": _worst(record, dataset, found),
    }


def num_changed(found: float, recorded: float, num_images: int) -> int:
    """By how many images two top-1 differ, 0 where a machine's rounding explains it.

    On another machine sums round otherwise, which turns an answer here and there: one
    image in a thousand may differ, and one in all.
    """
    different = round(abs(found - recorded) * num_images)
    return different if different > max(1, num_images // 1000) else 0


def _worst(
    record: RunRecord, dataset: ImageDataset, found: Predictions
) -> list[dict[str, Any]]:
    """The worst mistakes with their pictures and the names of their classes."""
    mistakes = worst(found.logits, found.labels, NUM_MISTAKES)
    images = predictions.test_images(dataset, [mistake.index for mistake in mistakes])
    config, shown = record.recipe.data, []
    for place, mistake in enumerate(mistakes, 1):
        true = dataset.class_names[mistake.true]
        said = dataset.class_names[mistake.predicted]
        picture = pictures.photograph(
            f"mistake_{place:02d}",
            config.normalisation.pixels(images[mistake.index]),
            f"Test image {mistake.index} of class {true}, taken for {said}.",
        )
        values = {"picture": picture, "true_class": true, "said": said}
        shown.append({**values, **dataclasses.asdict(mistake)})
    return shown
