"""Evaluates on the test set: a stage of a workdir, or a flatbuffer.

python -m r2b_keras.evaluate --workdir=DIR --stage=3
python -m r2b_keras.evaluate --model=model.tflite --recipe=digits
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from absl import flags

from r2b_keras import command, engine_flag, import_flag, path_flags, threads_flag
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.board.card import ModelCard
    from r2b_keras.converters import verification
    from r2b_keras.converters.tflite_file import Flatbuffer
    from r2b_keras.data import ImageDataset
    from r2b_keras.normalisation import Normalisation
    from r2b_keras.recipes import Recipe
    from r2b_keras.trainers.evaluation import Report
    from r2b_keras.trainers.workdir import Workdir

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("workdir", None, "Folder of a training run.")
    flags.DEFINE_integer(
        "stage", None, "Stage to evaluate, the last finished if unset."
    )
    path_flags.define(
        "model", None, "A .tflite file; with --workdir, it is compared with the stage."
    )
    path_flags.define("recipe", None, "Recipe whose test set a --model is for.")
    engine_flag.define()
    threads_flag.define()
    path_flags.define("data_dir", None, "Folder with the images.")
    import_flag.define()
    flags.DEFINE_bool("json", False, "Print one JSON object instead of text.")


def main() -> int:
    """Evaluates on the test set and prints the report; returns the exit code."""
    import_flag.import_modules(FLAGS)
    if FLAGS.workdir is None:
        command.refuse_unused(FLAGS, ["stage"], "is of a --workdir")
    else:
        command.refuse_unused(FLAGS, ["recipe"], "is the --workdir's own")
    if FLAGS.model is not None:
        return _print_flatbuffer()
    command.refuse_unused(
        FLAGS, ["recipe", "engine", threads_flag.NAME], "is for a --model"
    )
    if FLAGS.workdir is None:
        raise InputError(
            "--workdir is missing, expected the folder of a training run: "
            "--workdir=runs/digits, for example; or a flatbuffer, --model=model.tflite."
        )
    from r2b_keras.trainers.workdir import Workdir

    workdir = Workdir(FLAGS.workdir)
    stage = workdir.finished_stage(FLAGS.stage)
    report = evaluate_stage(workdir, stage, FLAGS.data_dir)
    if FLAGS.json:
        print(json.dumps({"stage": stage, **report.to_dict()}))
    else:
        print(f"{workdir.path}, stage {stage}, test set\n{report.to_text()}")
    return 0


def evaluate_stage(workdir: Workdir, stage: int, data_dir: str | None = None) -> Report:
    """Evaluates the finished student of a stage on the test set.

    Args:
      workdir: the run's folder.
      stage: a complete stage.
      data_dir: where the images lie, None for the source's own places.

    Raises:
      InputError: the model or the data is missing or damaged, or the images are not
        those of the run.
    """
    from r2b_keras.trainers import evaluation
    from r2b_keras.trainers.trained import load_images, load_student

    dataset = load_images(workdir, data_dir)
    student = load_student(workdir, stage)
    test = dataset.test(evaluation.BATCH_SIZE)
    with dataset.broken_image_is_named():
        return evaluation.evaluate(student, test, dataset.class_names)


def _print_flatbuffer() -> int:
    """Evaluates a flatbuffer, beside its Keras model where there is one."""
    from r2b_keras import data
    from r2b_keras.converters import card, engines, pixels, tflite_file, verification
    from r2b_keras.converters.float32 import exactly
    from r2b_keras.trainers import evaluation
    from r2b_keras.trainers.trained import load_images
    from r2b_keras.trainers.workdir import Workdir

    flatbuffer = tflite_file.Flatbuffer(tflite_file.read_bytes(FLAGS.model))
    own = card.read(flatbuffer.content)
    workdir = None if FLAGS.workdir is None else Workdir(FLAGS.workdir)
    recipe = workdir.recipe() if workdir else _recipe(own)
    engine = engines.load(flatbuffer, FLAGS.engine, FLAGS.threads)
    if workdir:
        dataset = load_images(workdir, FLAGS.data_dir)
    else:
        dataset = data.load(recipe.data, FLAGS.data_dir)
    if own:
        shapes = engine.input_shape[1:], (engine.num_classes,)
        own.check_fits(FLAGS.model, *shapes, input_type=engine.input_type.name)
    _check_fits(own, engine, dataset)
    student = _student(workdir, own) if workdir else None
    normalisation = dataset.config.normalisation
    predict = [
        lambda images: engine.predict(pixels.for_engine(engine, images, normalisation)),
        *([student.predict_on_batch] if student else []),
    ]
    with exactly():
        labels, scores, *of_keras = _predict(dataset, predict)
    report = evaluation.make_report(scores, labels, dataset.class_names)
    keras = None
    if own and own.recipe == recipe.name and _is_known(dataset):
        keras = own.accuracy
    compared = None
    if student:
        reference = verification.Reference(
            student, _Images(dataset), of_keras[0], normalisation
        )
        convert = functools.partial(
            _convert, student, normalisation if engine.takes_pixels else None
        )
        compared = _compare(reference, labels, flatbuffer, scores, engine.name, convert)
        keras = compared.keras_top1
    if FLAGS.json:
        values = {
            "engine": engine.name,
            "bytes": len(flatbuffer.content),
            "keras_top1": keras,
            **report.to_dict(),
        }
        if compared:
            values["agreement"] = compared.agreement
        print(json.dumps(values))
    else:
        print(f"{FLAGS.model}, {recipe.name}, test set, engine {engine.name}")
        if keras is not None:
            print(
                f"top-1 of the Keras model {keras:.2%}, of this file {report.top1:.2%}"
            )
        if compared:
            print(compared.text)
        print(report.to_text())
    return 0 if compared is None or compared.accepted else _say_rejected()


def _is_known(dataset: ImageDataset) -> bool:
    """Whether a recipe's name tells the images, as a folder's does not."""
    from r2b_keras.recipes.measured import FINGERPRINTS

    source = dataset.config.source
    return source.startswith("tfds:") or dataset.fingerprint == FINGERPRINTS.get(source)


def _say_rejected() -> int:
    print(
        f"{FLAGS.model} does not do what the network of {FLAGS.workdir} does: give the "
        "stage that it was made of, or convert it again.",
        file=sys.stderr,
    )
    return command.EXIT_PROBLEM


def _recipe(own: ModelCard | None) -> Recipe:
    """The recipe whose test set it is to be."""
    from r2b_keras import recipes

    if FLAGS.recipe is not None:
        return recipes.get(FLAGS.recipe)
    if own and own.recipe in recipes.names():
        return recipes.get(own.recipe)
    said = "does not say which recipe it is from"
    if own and own.recipe:
        said = f"is from {own.recipe!r}, which is no recipe here"
    raise InputError(
        f"{FLAGS.model} {said}: give --recipe, whose test set it is to be evaluated on."
    )


def _check_fits(own: ModelCard | None, engine: Any, dataset: ImageDataset) -> None:
    """Refuses a flatbuffer that was made for other images than the recipe's."""
    from r2b_keras.data import imagenet

    config = dataset.config
    expected: dict[str, Any] = {"image_shape": config.image_shape}
    found: dict[str, Any] = {"image_shape": engine.input_shape[1:]}
    if own:
        names = ("image_shape", "mean", "std", "framing")
        expected = {name: getattr(config, name) for name in names}
        found = {name: getattr(own, name) for name in names}
    expected["num_classes"] = dataset.num_classes
    found["num_classes"] = engine.num_classes
    if own and engine.num_classes == dataset.num_classes:
        sides = (own.class_names, dataset.class_names)
        both = zip(*map(imagenet.readable, sides), strict=True)
        other = next((pair for pair in both if pair[0] != pair[1]), (None, None))
        found["a class"], expected["a class"] = other
    for name, value in found.items():
        if value != expected[name]:
            raise InputError(
                f"{FLAGS.model} was made for {name} {value!r}, and the recipe has "
                f"{expected[name]!r}: give the --workdir that it was trained in, or "
                "the --recipe of its images."
            )


def _predict(
    dataset: ImageDataset, networks: Sequence[Callable[[np.ndarray], np.ndarray]]
) -> list[np.ndarray]:
    """The classes of all test images, and the scores of each network for them."""
    from r2b_keras.trainers import evaluation

    parts = []
    with dataset.broken_image_is_named():
        test = dataset.test(evaluation.BATCH_SIZE).as_numpy_iterator()
        for images, targets in test:
            scores = [predict(images) for predict in networks]
            parts.append([np.argmax(targets, axis=1), *scores])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


class _Images:
    """The test images by number; read when some are asked for, never all at once."""

    _start: int  # number of the first image of the batch
    _batch: np.ndarray

    def __init__(self, dataset: ImageDataset) -> None:
        """Reads nothing yet."""
        self._dataset = dataset
        self._rewind()

    def __len__(self) -> int:
        """How many there are."""
        return self._dataset.num_test

    def __getitem__(self, numbers: slice | np.ndarray) -> np.ndarray:
        """Reads on to the images of these numbers, from the first where one is past."""
        found = []
        with self._dataset.broken_image_is_named():
            for number in np.arange(len(self))[numbers]:
                if number < self._start:
                    self._rewind()
                while number >= self._start + len(self._batch):
                    self._start += len(self._batch)
                    self._batch, _ = next(self._batches)
                found.append(self._batch[number - self._start])
        return np.stack(found)

    def _rewind(self) -> None:
        from r2b_keras.trainers import evaluation

        test = self._dataset.test(evaluation.BATCH_SIZE)
        self._batches = test.as_numpy_iterator()
        self._start = 0
        self._batch = np.zeros((0, *self._dataset.config.image_shape), np.float32)


class _Comparison(NamedTuple):
    """How a file agrees with the Keras model that it is of."""

    agreement: float
    keras_top1: float
    text: str
    accepted: bool


def _student(workdir: Workdir, own: ModelCard | None) -> Any:
    """The network of the stage that the file is of."""
    from r2b_keras.converters.float32 import in_float32
    from r2b_keras.trainers.trained import load_student

    recipe = workdir.recipe().name
    if own and own.recipe and own.recipe != recipe:
        raise InputError(
            f"{FLAGS.model} is of the recipe {own.recipe!r}, and {workdir.path} of "
            f"{recipe!r}: give the --workdir that it was converted from."
        )
    stage = FLAGS.stage if FLAGS.stage is not None or not own else own.stage
    return in_float32(load_student(workdir, workdir.finished_stage(stage)))


def _compare(
    reference: verification.Reference,
    labels: np.ndarray,
    flatbuffer: Flatbuffer,
    scores: np.ndarray,
    engine: str,
    convert: Callable[[], Flatbuffer],
) -> _Comparison:
    """Compares scores with those of the workdir's stage.

    Scores do not tell a file of rounded weights from another network's: it is compared
    with the float32 file that `convert` makes of the stage.
    """
    from r2b_keras.converters import (
        real_weights,
        rounded_verification,
        score_comparison,
    )

    top1 = float(np.mean(reference.scores.argmax(axis=1) == labels))
    agreement = score_comparison.agreement(reference.scores, scores)
    if real_weights.are_rounded(flatbuffer.model):
        problem = rounded_verification.problem_of_file(convert(), flatbuffer)
        problem = problem or rounded_verification.problem_of_quality(
            reference.scores, scores, labels
        )
        verdict = f"REJECTED: {problem}" if problem else "accepted"
        text = f"{len(labels)} images: top-1 agreement {agreement:.2%}\n{verdict}"
        return _Comparison(agreement, top1, text, accepted=problem is None)
    found = reference.compare(flatbuffer, engine, scores)
    return _Comparison(agreement, top1, found.to_text(), found.accepted)


def _convert(student: Any, normalisation: Normalisation | None) -> Flatbuffer:
    """The file of float32 weights, from which one of rounded weights is made."""
    from r2b_keras.converters import flatbuffer, tflite_file

    tables = flatbuffer.to_tables(student, normalisation)
    return tflite_file.Flatbuffer(tflite_file.serialize(tables))


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="")


if __name__ == "__main__":
    start()
