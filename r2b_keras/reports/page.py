"""The whole page about a run, from its folder: one file, with its pictures in it.

`page.html` is its template: it needs no network and no JavaScript, and all text that
comes from a run is escaped.
"""

import functools
import re
import time
from dataclasses import dataclass
from typing import Any

import jinja2

from r2b_keras import data
from r2b_keras.environment import tf
from r2b_keras.reports import (
    attention,
    deployed,
    gates,
    mistakes,
    operations,
    predictions,
    provenance,
    run_record,
    stages,
)
from r2b_keras.reports.pictures import Picture
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.trainers.trained import load_images, load_student
from r2b_keras.trainers.workdir import Workdir

NUM_IMAGES = 4


@dataclass(frozen=True)
class Page:
    """A page and its pictures.

    Attributes:
      html: the whole file.
      pictures: all that it shows, in no order that matters.
    """

    html: str
    pictures: list[Picture]


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
    dataset = load_images(workdir, data_dir)
    record = run_record.read(workdir, dataset.num_test)

    @functools.cache
    def network(number: int) -> tf.keras.Model:
        return load_student(workdir, number)

    files, problems = deployed.inspect(flatbuffers or {})
    parts = {number: operations.count(network(number)) for number in record.results}
    return render(
        record=record,
        sentence=stages.sentence(record),
        key_figures=deployed.key_figures(record, parts, files),
        facts=stages.facts(record),
        stages=stages.table(record),
        rules=stages.rules(record),
        training=stages.training(record),
        seen=_seen(record, network, dataset, num_images) if record.results else None,
        cost=operations.section(record, parts),
        deployed=deployed.section(record, files, problems),
        again=provenance.section(record, files),
        now=time.gmtime(),
    )


def _seen(
    record: RunRecord,
    network: Any,
    dataset: data.ImageDataset,
    num_images: int,
) -> dict[str, Any]:
    """What finished networks do with the test images, for the template."""
    last = max(record.results)
    gated = [number for number in record.results if gates.gate_names(network(number))]
    names = gates.gate_names(network(last))
    found = of_gates = predictions.predict(network(last), dataset, names)
    if gated and gated[-1] != last:
        names = gates.gate_names(network(gated[-1]))
        of_gates = predictions.predict(network(gated[-1]), dataset, names)
    return {
        "attention": attention.section(record, network, dataset, found, num_images),
        "gated": gated[-1] if gated else None,
        "gates": gates.draw_both(of_gates.gates, dataset.class_names) if gated else [],
        "least_span": gates.LEAST_SPAN,
        "mistakes": mistakes.section(record, last, dataset, found),
    }


def render(**values: Any) -> Page:
    """Fills the template in; a value that it lacks is an error.

    Args:
      **values: see `page.html`.
    """
    shown: list[Picture] = []

    def show(picture: Picture) -> str:
        shown.append(picture)
        return ""

    template = _environment().get_template("page.html")
    return Page(template.render(show=show, **values), shown)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("r2b_keras.reports", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["unbroken"] = _unbroken
    environment.globals["strftime"] = time.strftime
    return environment


def _unbroken(sentence: str) -> str:
    """The sentence, with no end of a line between a number and its sign."""
    return re.sub(r"(?<=\d) (?=%)", "\u00a0", sentence)
