"""The whole page about a run, from its folder."""

import functools
import time

from r2b_keras import data
from r2b_keras.environment import tf
from r2b_keras.reports import (
    costs,
    deployed,
    evidence,
    facts,
    gates,
    operations,
    origin,
    outcome,
    summary,
)
from r2b_keras.reports.deployed import Deployed
from r2b_keras.reports.page import Html, Page, element, join, paragraph
from r2b_keras.trainers.stage import load_student
from r2b_keras.trainers.workdir import Workdir

NUM_IMAGES = 4


def compose(
    workdir: Workdir,
    data_dir: str | None = None,
    flatbuffers: dict[str, bytes] | None = None,
    num_images: int = NUM_IMAGES,
) -> Page:
    """Makes the page about a run.

    Args:
      workdir: the run's folder; finished stages are shown, others named.
      data_dir: where the images lie, None for the source's own places.
      flatbuffers: converted networks by name, measured on this machine.
      num_images: test images whose attention maps are shown.

    Raises:
      InputError: the folder is none of a run, a file in it or a flatbuffer is damaged,
        or the images are missing or of another kind.
    """
    recipe = workdir.recipe()
    dataset = data.load(recipe.data, data_dir)
    known = facts.read(workdir, dataset.num_test)
    evidence.check_data(known, dataset)

    @functools.cache
    def network(number: int) -> tf.keras.Model:
        return load_student(workdir, number)

    files, problems = deployed.inspect(flatbuffers or {})
    parts = {number: operations.count(network(number)) for number in known.results}
    page = Page(f"{recipe.name}, report")
    page.head = summary.head(known, costs.key_figures(known, parts, files))
    summary.add_stages(page, known)
    summary.add_training(page, known)
    if known.last is not None:
        _add_evidence(page, known, network, dataset, num_images)
    costs.add_operations(page, known, parts)
    costs.add_deployed(page, known, files, problems)
    origin.add_provenance(page, known, files)
    page.foot = _foot(known, files)
    return page


def _add_evidence(
    page: Page,
    known: facts.Facts,
    network: evidence.Networks,
    dataset: data.ImageDataset,
    num_images: int,
) -> None:
    """The sections that need finished networks and the test images."""
    last = max(known.results)
    gated = [number for number in known.results if gates.gate_names(network(number))]
    names = gates.gate_names(network(last))
    answers = outcome.run(network(last), dataset, names)
    evidence.add_attention(page, known, network, dataset, answers, num_images)
    if not gated:
        evidence.add_no_gates(page)
    else:
        of_gates = answers
        if gated[-1] != last:
            names = gates.gate_names(network(gated[-1]))
            of_gates = outcome.run(network(gated[-1]), dataset, names)
        evidence.add_gates(page, gated[-1], of_gates, dataset.class_names)
    evidence.add_mistakes(page, known, last, dataset, answers)


def _foot(known: facts.Facts, files: list[Deployed]) -> Html:
    """When and from what the page was made."""
    now = time.gmtime()
    date = element(
        "time",
        time.strftime("%Y-%m-%d %H:%M UTC", now),
        datetime=time.strftime("%Y-%m-%dT%H:%MZ", now),
    )
    measured = "; latencies are of that moment" if files else ""
    return paragraph(
        join(
            [
                "Made ",
                date,
                f" from {known.workdir.path} by r2b_keras.report{measured}.",
            ]
        )
    )
