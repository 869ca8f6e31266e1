"""Image classification sets of TensorFlow Datasets that are prepared on this machine.

Nothing is downloaded: <https://www.tensorflow.org/datasets/cli> prepares a set.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from google.protobuf import json_format

from r2b_keras.data.arrays import ArrayExamples, fit_in_memory
from r2b_keras.data.config import DataConfig
from r2b_keras.data.sources import Source
from r2b_keras.data.splits import size_of_test_part
from r2b_keras.data.streams import StreamedExamples
from r2b_keras.environment import tf
from r2b_keras.errors import InputError, one_line

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

READ_BATCH = 1024


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens the set named in `config.source`, for example `tfds:cifar10`.

    The test part is the split `test`, the validation part `validation`. Where `test` is
    missing or has no labels (ImageNet), `validation` is the test part; a set with
    neither gives a fixed fifth of `train`.

    Args:
      config: gives source, image shape and framing.
      data_dir: tfds's data folder, `~/tensorflow_datasets` when None.

    Raises:
      InputError: the set is not prepared there, or is not for image classification.
    """
    return open_named(config.source.removeprefix("tfds:"), config, data_dir)


def open_named(
    name: str, config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens the set of this name; see `open_source`."""
    builder = _builder(name, data_dir)
    try:
        return _read(name, builder, config)
    except tf.errors.OpError as error:  # files that are missing or damaged
        raise InputError(
            f"tfds:{name} cannot be read from {builder.data_dir} "
            f"({error.message.splitlines()[0]}): prepare it again."
        ) from error


def _read(name: str, builder: "tfds.core.DatasetBuilder", config: DataConfig) -> Source:
    """The parts of a set; those that fit into memory are read."""
    image_key, label_key = _keys(name, builder)
    label = builder.info.features[label_key]

    def part(split: str) -> StreamedExamples:
        size = builder.info.splits[split].num_examples
        keys = (image_key, label_key)
        return StreamedExamples(
            builder, keys, split, 0, size, config.image_shape, config.framing
        )

    streamed = {"train": part(_train_split(name, builder))}
    for role, split in zip(
        ("test", "validation"), _held_out_splits(builder, label_key), strict=False
    ):
        streamed[role] = part(split)
    image_size = builder.info.features[image_key].shape
    held = sum(each.num_examples for each in streamed.values())
    parts: dict[str, Any] = dict(streamed)
    # Others than equally large images stay encoded.
    if None not in image_size and fit_in_memory(held, image_size):
        for role, each in streamed.items():
            parts[role] = _to_arrays(each, image_size)
    for each in parts.values():
        _check_labels(name, each.labels)
    if "test" not in parts:
        size = size_of_test_part(parts["train"].num_examples)
        train, test = parts["train"].split(size, kept=1, held_out=1)
        parts = {"train": train, "test": test}
    return Source(class_names=tuple(label.names), **parts)


def _import_tfds() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import tensorflow_datasets
    except ImportError as error:
        raise InputError(
            f"Sources tfds:NAME need TensorFlow Datasets, which cannot be imported "
            f"({error}): run `pip install tensorflow-datasets importlib_resources`."
        ) from error
    return tensorflow_datasets


def _builder(
    name: str, data_dir: str | os.PathLike[str] | None
) -> "tfds.core.DatasetBuilder":
    """A builder that only reads: it needs no code for the set and no network."""
    tfds = _import_tfds()
    folder = None if data_dir is None else os.path.expanduser(data_dir)
    try:
        return tfds.core.read_only_builder.builder_from_files(name, data_dir=folder)
    except tfds.core.registered.DatasetNotFoundError as error:
        shown = folder or tfds.core.constants.DATA_DIR
        argument = "" if folder is None else f", data_dir='{folder}'"
        raise InputError(
            f"The set {name} of TensorFlow Datasets is not prepared in {shown}: "
            'prepare it once with network, `python -c "import tensorflow_datasets as '
            f"tfds; tfds.load('{name}'{argument})\"`, or give the folder that has it "
            "as --data_dir."
        ) from error
    except (ValueError, json_format.ParseError) as error:
        raise InputError(
            f"The set {name} of TensorFlow Datasets cannot be read "
            f"({one_line(error)}): expected a name such as cifar10 or mnist:3.0.1; if "
            "it is right, delete the set's folder and prepare it again."
        ) from error


def _keys(name: str, builder: "tfds.core.DatasetBuilder") -> tuple[str, str]:
    """The names of the image and of the label in an example."""
    features = builder.info.features
    keys = builder.info.supervised_keys
    # Other sets have nested keys, or no features by name.
    if keys and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        if _is_image(features[keys[0]]) and _is_label(features[keys[1]]):
            return keys[0], keys[1]
    elif not keys and isinstance(features, _import_tfds().features.FeaturesDict):
        images = [key for key in features if _is_image(features[key])]
        labels = [key for key in features if _is_label(features[key])]
        if len(images) == len(labels) == 1:
            return images[0], labels[0]
    raise InputError(
        f"tfds:{name} has the supervised features {keys} among {list(features)}, "
        "expected an image of 8 bits and a class label, or no supervised features and "
        "one of each: choose a set for image classification."
    )


def _is_image(feature: Any) -> bool:
    if not isinstance(feature, _import_tfds().features.Image):
        return False
    return feature.dtype == np.uint8 and feature.shape[-1] in (1, 3, None)


def _is_label(feature: Any) -> bool:
    return isinstance(feature, _import_tfds().features.ClassLabel)


def _train_split(name: str, builder: "tfds.core.DatasetBuilder") -> str:
    if "train" not in builder.info.splits:
        raise InputError(
            f"tfds:{name} has the splits {sorted(builder.info.splits)}, but no split "
            "train: choose another set."
        )
    return "train"


def _held_out_splits(builder: "tfds.core.DatasetBuilder", label_key: str) -> list[str]:
    """Those of `test` and `validation` that have labels: the first is to test with."""
    tfds = _import_tfds()
    found = []
    for split in ("test", "validation"):
        if split in builder.info.splits:
            first = builder.as_dataset(
                split=f"{split}[:1]",
                decoders=tfds.decode.PartialDecoding({label_key}),
                shuffle_files=False,
            )
            if all(example[label_key].numpy() >= 0 for example in first):
                found.append(split)
    return found


def _to_arrays(
    examples: StreamedExamples, image_size: tuple[int, int, int]
) -> ArrayExamples:
    images = np.empty((examples.num_examples, *image_size), np.uint8)
    labels = np.empty(examples.num_examples, np.int64)
    start = 0
    batches = examples.decoded(image_size[2]).batch(READ_BATCH)
    for batch, of_batch in batches.as_numpy_iterator():
        stop = start + len(of_batch)
        images[start:stop], labels[start:stop] = batch, of_batch
        start = stop
    return ArrayExamples(images, labels, examples.image_shape, examples.framing)


def _check_labels(name: str, labels: np.ndarray | None) -> None:
    if labels is not None and labels.min(initial=0) < 0:
        raise InputError(f"tfds:{name} has images without a label: choose another set.")
