"""What can be converted: a stage of a training run, a Keras file, larq-zoo's weights.

Each comes with its model card and with real images to verify with.
"""

import dataclasses
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import r2b_keras
from r2b_keras import data, models, recipes
from r2b_keras.board import machine, pictures
from r2b_keras.board.card import ModelCard
from r2b_keras.board.pictures import SUFFIXES
from r2b_keras.converters import graph
from r2b_keras.converters.float32 import in_float32
from r2b_keras.converters.one_output import with_two_outputs
from r2b_keras.data import imagenet
from r2b_keras.data.splits import stratified_split
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models.integers import picture_layer
from r2b_keras.recipes import Recipe
from r2b_keras.trainers import evaluation
from r2b_keras.trainers.trained import load_images, load_student
from r2b_keras.trainers.workdir import Workdir

_PACKAGES = ("larq-compute-engine", "larq")


@dataclasses.dataclass(frozen=True)
class Source:
    """A network to be converted.

    Attributes:
      model: the Keras network, from `[N, H, W, C]` to `[N, K]`, in float32.
      card: what the flatbuffer will say about itself.
      images: `[N, H, W, C]` float32, as the network sees them, to verify with.
      labels: their classes, `[N]`, None where they are not known.
    """

    model: tf.keras.Model
    card: ModelCard
    images: np.ndarray
    labels: np.ndarray | None = None


def from_workdir(
    path: str | pathlib.Path,
    stage: int | None = None,
    data_dir: str | None = None,
    verify_images: str | None = None,
    limit: int = 500,
) -> Source:
    """A finished stage of a training run.

    Args:
      path: the workdir.
      stage: its stage, the last finished one when None.
      data_dir: where the recipe's images lie, None for the source's own places.
      verify_images: folder of pictures to verify with, None for the images
        held out, or the test part where none are.
      limit: images to verify with, at most.

    Raises:
      InputError: the stage is not finished, or data is missing, damaged or not what
        the run was trained with.
    """
    workdir = Workdir(path)
    number = workdir.finished_stage(stage)
    recipe, result = workdir.recipe(), workdir.result(number)
    dataset = load_images(workdir, data_dir)
    model = load_student(workdir, number)
    card = dataclasses.replace(
        _card(recipe, dataset),
        stage=number,
        accuracy=result.top1 if result else None,
        network=dataclasses.asdict(recipe.stages[number].student),
    )
    return _source(model, card, *_images(card, dataset, verify_images, limit))


def from_file(
    path: str,
    recipe: str | None = None,
    data_dir: str | None = None,
    given: Mapping[str, Any] | None = None,
    verify_images: str | None = None,
    limit: int = 500,
) -> Source:
    """A network saved as `.keras`, ours or any other of Keras and larq layers.

    Args are those of `from_workdir`, and:
      path: the file.
      recipe: name of the recipe whose data it was trained on, or None.
      given: without a recipe, fields of the card: class_names, mean, std, framing.

    Raises:
      InputError: something is missing or damaged; the message says what.
    """
    model = models.load(path)
    _check_classifier(model)
    model = with_two_outputs(model)
    if recipe is not None:
        found = recipes.get(recipe)
        dataset = data.load(found.data, data_dir)
        card = _card(found, dataset)
        return _source(model, card, *_images(card, dataset, verify_images, limit))
    card = _foreign_card(path, model, dict(given or {}))
    return _source(model, card, _pictures(card, verify_images, limit))


def from_larq_zoo(
    path: str,
    given: Mapping[str, Any] | None = None,
    verify_images: str | None = None,
    limit: int = 500,
) -> Source:
    """larq-zoo's Real-to-Binary network for ImageNet.

    Args are those of `from_workdir`, and:
      path: its HDF5 file.
      given: fields of the card; `class_names` are ImageNet's unless they are given,
        and numbers where there are not as many.

    Raises:
      InputError: something is missing or damaged; the message says what.
    """
    from r2b_keras.models import larq_zoo

    model = larq_zoo.load_weights(path)
    classes = tuple(imagenet.names().values())
    values = {
        "class_names": classes
        if model.output_shape[-1] == len(classes)
        else _numbered(model),
        "mean": larq_zoo.MEAN,
        "std": larq_zoo.STD,
        "framing": "center",
        **(given or {}),
    }
    card = ModelCard(
        image_shape=model.input_shape[1:],
        recipe="larq-zoo",
        network=dataclasses.asdict(larq_zoo.NETWORK),
        **values,
    )
    return _source(model, card, _pictures(card, verify_images, limit))


def _source(
    model: tf.keras.Model,
    card: ModelCard,
    images: np.ndarray,
    labels: np.ndarray | None = None,
) -> Source:
    found = model.input_shape[1:], model.output_shape[1:]
    expected = card.image_shape, (len(card.class_names),)
    if found != expected:
        raise InputError(
            f"Model {model.name!r} goes from {found[0]} to {found[1]}, and the data "
            f"from {expected[0]} to {expected[1]}: give the recipe or --labels that it "
            "was trained with."
        )
    versions = {"r2b_keras": r2b_keras.__version__}
    for package in _PACKAGES:
        versions[package] = machine.package_version(package) or "unknown"
    # TensorFlow may be here as tensorflow-cpu, or as a build of one's own.
    versions["tensorflow"] = tf.__version__
    card = dataclasses.replace(card, versions=versions)
    return Source(in_float32(model), card, images, labels)


def _check_classifier(model: tf.keras.Model) -> None:
    """Raises `InputError` unless the network goes from images to scores."""
    # A network that was never built has no shapes at all.
    shapes: list[Any] = [
        getattr(model, name, None) for name in ("input_shape", "output_shape")
    ]
    # One that is not built yet has no shapes either, and is told so below.
    if not graph.is_graph(model) and not isinstance(model, tf.keras.Sequential):
        raise InputError(
            f"Model {model.name!r} is code, without an input of its own: save "
            "`tf.keras.Model(image, model(image))` instead, `image` being "
            "`tf.keras.Input((height, width, channels))`."
        )
    single = all(isinstance(shape, tuple) for shape in shapes)
    if not single or [len(shape) for shape in shapes] != [4, 2]:
        raise InputError(
            f"Model {model.name!r} has inputs {shapes[0]} and outputs {shapes[1]}, "
            "expected one input (N, height, width, channels) and one output (N, "
            "classes)."
        )
    if None in (*shapes[0][1:], *shapes[1][1:]):
        raise InputError(
            f"Model {model.name!r} goes from {shapes[0]} to {shapes[1]}, expected "
            "sizes: build it with an `Input` that names height and width."
        )


def _card(recipe: Recipe, dataset: data.ImageDataset) -> ModelCard:
    return ModelCard(
        class_names=imagenet.readable(dataset.class_names),
        image_shape=recipe.data.image_shape,
        mean=recipe.data.mean,
        std=recipe.data.std,
        framing=recipe.data.framing,
        recipe=recipe.name,
    )


def _foreign_card(path: str, model: tf.keras.Model, given: dict[str, Any]) -> ModelCard:
    if (first := picture_layer(model)) is not None:  # it has them in it
        given.setdefault("mean", first.normalisation.mean)
        given.setdefault("std", first.normalisation.std)
    flags = {"mean": "--mean", "std": "--std", "framing": "--framing (whole or center)"}
    missing = [flag for name, flag in flags.items() if name not in given]
    if missing:
        raise InputError(
            f"{path} does not say how its images were prepared: give "
            f"{' and '.join(missing)}, or the --recipe it was trained with."
        )
    return ModelCard(
        image_shape=tuple(model.input_shape[1:]),
        **{"class_names": _numbered(model), **given},
    )


def _numbered(model: tf.keras.Model) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(model.output_shape[-1]))


def _images(
    card: ModelCard, dataset: data.ImageDataset, folder: str | None, limit: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Images to verify with, and their classes where they are the recipe's."""
    if folder is not None:
        return _pictures(card, folder, limit), None
    batches = dataset.sample(limit, evaluation.BATCH_SIZE)
    with dataset.broken_image_is_named():
        parts = zip(*batches.as_numpy_iterator(), strict=True)
        images, targets = map(np.concatenate, parts)
    return images, targets.argmax(axis=1)


def _files_below(folder: str) -> Iterator[pathlib.Path]:
    """All files; folders of classes may be links, as those that are trained on."""
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:  # a link that leads up
            folders.clear()
            continue
        seen.add(place)
        yield from (pathlib.Path(parent, name) for name in names)


def _pictures(card: ModelCard, folder: str | None, limit: int) -> np.ndarray:
    if folder is None:
        raise InputError(
            "There are no images to verify the conversion with: give a folder of real "
            "JPEG, PNG or WebP pictures, --verify_images=DIR."
        )
    if not os.path.isdir(folder):
        raise InputError(
            f"--verify_images={folder} is no folder, expected one with pictures."
        )
    paths = sorted(
        path
        for path in _files_below(folder)
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise InputError(
            f"--verify_images={folder} holds no JPEG, PNG or WebP pictures, expected a "
            "folder with some."
        )
    if len(paths) > limit:
        # Pictures of a class lie in a folder: some of each, always the same ones.
        _, classes = np.unique([str(x.parent) for x in paths], return_inverse=True)
        paths = [paths[index] for index in stratified_split(classes, limit)[1]]
    return np.stack([pictures.load(path, card) for path in paths])
