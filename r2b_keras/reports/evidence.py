"""What the networks do with real test images: attention, gates, mistakes."""

from collections.abc import Callable

import numpy as np

from r2b_keras.data import ImageDataset
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.reports import attention, gates, mistakes, outcome
from r2b_keras.reports.facts import Facts, binary_parts, percent
from r2b_keras.reports.outcome import Outcome
from r2b_keras.reports.page import (
    Column,
    Html,
    Page,
    element,
    image,
    notice,
    paragraph,
    table,
)
from r2b_keras.trainers import evaluation

NUM_MISTAKES, NUM_CONFUSED = 12, 8
Networks = Callable[[int], tf.keras.Model]


def add_attention(
    page: Page,
    facts: Facts,
    networks: Networks,
    dataset: ImageDataset,
    answers: Outcome,
    num_images: int,
) -> None:
    """Maps of teacher and student for every tap of every finished stage."""
    chosen = outcome.representatives(answers.labels, num_images)
    by_index = outcome.test_images(dataset, chosen)
    images = np.stack([by_index[index] for index in chosen])
    config = facts.recipe.data
    shown = outcome.pixels(images, config.mean, config.std)
    names = [dataset.class_names[answers.labels[index]] for index in chosen]
    content: list[Html] = [
        paragraph(
            "Where a network looks: the sum of squared activations over the channels "
            "(Q of Eq. 2) at the end of each block, divided by its norm. Dark is 0, "
            "bright the larger maximum of the two maps. The number below a pair is its "
            "distance, the tap's term of Eq. 2: 0 for equal maps, at most 1.41."
        )
    ]
    for number in facts.results:
        stage = facts.recipe.stages[number]
        if stage.teacher is None:
            continue
        content.append(
            element(
                "h3",
                f"Stage {number} beside its teacher, stage {stage.teacher} (binary: "
                f"{binary_parts(facts.recipe.stages[stage.teacher].student.binarization)})",
            )
        )
        if stage.teacher not in facts.results:
            content.append(notice(f"Stage {stage.teacher} is not finished here."))
            continue
        if not stage.losses.attention:
            content.append(paragraph("This stage does not train on these maps."))
        taps = attention.maps(networks(number), networks(stage.teacher), images)
        content.append(_maps(page, number, taps, shown, names))
    if len(content) == 1:
        content.append(notice("No finished stage has a teacher."))
    page.add("attention", "Attention maps", *content)


def _maps(
    page: Page,
    number: int,
    taps: list[attention.TapMaps],
    shown: np.ndarray,
    names: list[str],
) -> Html:
    if not taps:
        return notice("Student and teacher have no taps of equal size.")
    figures = []
    for index, name in enumerate(names):
        picture = attention.picture(
            f"stage_{number}_attention_{index + 1}", shown[index], taps, index
        )
        figures.append(page.figure(picture, f"Test image of class {name}"))
    return element("div", *figures, class_="figures maps")


def add_gates(page: Page, stage: int, answers: Outcome, names: tuple[str, ...]) -> None:
    """Mean gate values by class."""
    drawn = gates.pictures(answers.gates, names)
    page.add(
        "gates",
        "Gates by class",
        paragraph(
            f"Mean over all test images of what the gates of stage {stage} multiply "
            "their convolution by (G of Eq. 3, which lies between 0 and 1). Where rows "
            "differ, the gate tells classes apart. Below each picture stands what its "
            f"colours span, which is {gates.LEAST_SPAN} at the least."
        ),
        *(page.figure(picture, caption, "wide") for picture, caption in drawn),
    )


def add_no_gates(page: Page) -> None:
    """A sentence where there is nothing to show."""
    page.add("gates", "Gates by class", notice("No finished stage has gates."))


def add_mistakes(
    page: Page, facts: Facts, stage: int, dataset: ImageDataset, answers: Outcome
) -> None:
    """Confusion matrix and the images with the highest loss."""
    names = dataset.class_names
    report = evaluation.make_report(answers.logits, answers.labels, names)
    pairs = mistakes.most_confused(report.confusion, NUM_CONFUSED)
    wide = len(names) > mistakes.MOST_NARROW
    matrix = page.figure(
        mistakes.confusion_picture(report.confusion, names),
        "Rows are true classes, columns what the network says; the darker, the larger "
        "the share of the row",
        "wide" if wide else None,
    )
    recorded = facts.results[stage].top1
    content = [
        paragraph(
            f"Stage {stage} on the test set, run anew for this page: "
            f"{percent(report.top1)} classified correctly; recorded when it was "
            f"trained: {percent(recorded)}."
        ),
        *_changed(report.top1, recorded, len(answers.labels)),
        element(
            "div",
            matrix,
            _pairs(pairs, report, names),
            class_=None if wide else "beside",
        ),
    ]
    content.append(element("h3", "Worst mistakes"))
    content.append(
        paragraph(
            "The wrong answers with the highest loss, with the probability that the "
            "network gives to the true class and to its answer."
        )
    )
    content.append(_worst(page, facts, dataset, answers))
    page.add("mistakes", "Mistakes", *content)


def _changed(found: float, recorded: float, num_images: int) -> list[Html]:
    """A notice where the network is not the one whose accuracy was recorded.

    On another machine sums round otherwise, which turns an answer here and there: one
    image in a thousand may differ, and one in all.
    """
    different = round(abs(found - recorded) * num_images)
    if different <= max(1, num_images // 1000):
        return []
    return [
        notice(
            f"These differ by {different} of {num_images:,} images, more than another "
            "machine's rounding changes: model.keras, or the test images, are not "
            "those of the recorded result."
        )
    ]


def _pairs(
    pairs: list[tuple[int, int, int]],
    report: evaluation.Report,
    names: tuple[str, ...],
) -> Html:
    if not pairs:
        return paragraph("No image is taken for another class.")
    totals = report.confusion.sum(axis=1)
    columns = (
        Column("True class"),
        Column("Taken for"),
        Column("Images", True),
        Column("Of the class", True),
    )
    rows = (
        [names[true], names[other], count, percent(count / totals[true], 1)]
        for true, other, count in pairs
    )
    return table("Most frequent confusions", columns, rows)


def _worst(page: Page, facts: Facts, dataset: ImageDataset, answers: Outcome) -> Html:
    found = mistakes.worst(answers.logits, answers.labels, NUM_MISTAKES)
    if not found:
        return paragraph("There is none: every test image gets its own class.")
    images = outcome.test_images(dataset, [mistake.index for mistake in found])
    config = facts.recipe.data
    cards = []
    for place, mistake in enumerate(found, 1):
        true = dataset.class_names[mistake.true]
        said = dataset.class_names[mistake.predicted]
        pixels = outcome.pixels(images[mistake.index], config.mean, config.std)
        picture = mistakes.photograph(
            f"mistake_{place:02d}",
            pixels,
            f"Test image {mistake.index} of class {true}, taken for {said}.",
        )
        page.pictures.append(picture)
        caption = element(
            "figcaption",
            element("span", element("b", true), " "),
            element("span", _share(mistake.true_probability), " ", class_="share"),
            element("span", "taken for ", element("b", said), " "),
            element("span", _share(mistake.predicted_probability), class_="share"),
            element("span", f" loss {mistake.loss:.2f}, image {mistake.index}"),
        )
        cards.append(element("figure", image(picture), caption))
    return element("div", *cards, class_="cards")


def _share(probability: float) -> str:
    """A probability of which two digits matter, "below 0.1 %" for less."""
    return percent(probability, 1) if probability >= 0.001 else "< 0.1\u00a0%"


def check_data(facts: Facts, dataset: ImageDataset) -> None:
    """Raises `InputError` unless the images are those of the run."""
    wanted = facts.identity.get("data_fingerprint")
    if wanted is not None and dataset.fingerprint != wanted:
        raise InputError(
            f"The images of {facts.recipe.data.source} have the fingerprint "
            f"{dataset.fingerprint[:12]}, expected {str(wanted)[:12]} as in "
            f"{facts.workdir.path}: give the --data_dir that the run was trained with."
        )
