"""Image classification sets of TensorFlow Datasets that are prepared on this machine.

Nothing is downloaded: <https://www.tensorflow.org/datasets/cli> prepares a set.
"""

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.config import TFDS_PREFIX, DataConfig
from r2b_keras.data.image_shapes import fit_to_shape
from r2b_keras.data.sources import Source
from r2b_keras.data.splits import size_of_test_part
from r2b_keras.data.streams import StreamedExamples
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

# Sets of equally large images are held in memory up to this; others stay encoded.
MEMORY_BYTES = 2**30
READ_BATCH = 1024


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens the set named in `config.source`, for example `tfds:cifar10`.

    The test part is the split `test`, or `validation` where `test` is missing or has no
    labels (ImageNet); a set with neither gives a fixed fifth of `train`.

    Args:
      config: gives source and image shape.
      data_dir: tfds's data folder, `~/tensorflow_datasets` when None.

    Raises:
      InputError: the set is not prepared there, or is not for image classification.
    """
    return open_named(config.source.removeprefix(TFDS_PREFIX), config, data_dir)


def open_named(
    name: str, config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens the set of this name; see `open_source`."""
    builder = _builder(name, data_dir)
    image_key, label_key = _keys(name, builder)
    label = builder.info.features[label_key]

    def part(split: str) -> StreamedExamples:
        size = builder.info.splits[split].num_examples
        keys = (image_key, label_key)
        return StreamedExamples(builder, keys, split, 0, size, config.image_shape)

    train = part(_train_split(name, builder))
    test_split = _test_split(builder, label_key)
    image_size = builder.info.features[image_key].shape
    held = train.num_examples + (part(test_split).num_examples if test_split else 0)
    fits = None not in image_size and held * np.prod(image_size) <= MEMORY_BYTES
    parts: list[Any] = [train] if test_split is None else [train, part(test_split)]
    if fits:
        parts = [_to_arrays(name, each, config.image_shape) for each in parts]
    if test_split is None:
        parts = list(parts[0].split(size_of_test_part(train.num_examples)))
    return Source(parts[0], parts[1], tuple(label.names))


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


def _keys(name: str, builder: "tfds.core.DatasetBuilder") -> tuple[str, str]:
    """The names of the image and of the label in an example."""
    features = _import_tfds().features
    keys = builder.info.supervised_keys
    # Other sets have nested keys, or no features by name.
    if keys and len(keys) == 2 and all(isinstance(key, str) for key in keys):
        image, label = (builder.info.features[key] for key in keys)
        is_image = isinstance(image, features.Image) and image.dtype == np.uint8
        if is_image and isinstance(label, features.ClassLabel):
            return keys[0], keys[1]
    raise InputError(
        f"tfds:{name} has the supervised features {keys}, expected an image of 8 bits "
        "and a class label: choose a set for image classification."
    )


def _train_split(name: str, builder: "tfds.core.DatasetBuilder") -> str:
    if "train" not in builder.info.splits:
        raise InputError(
            f"tfds:{name} has the splits {sorted(builder.info.splits)}, but no split "
            "train: choose another set."
        )
    return "train"


def _test_split(builder: "tfds.core.DatasetBuilder", label_key: str) -> str | None:
    """The first of `test` and `validation` that has labels."""
    tfds = _import_tfds()
    for split in ("test", "validation"):
        if split in builder.info.splits:
            first = builder.as_dataset(
                split=f"{split}[:1]",
                decoders=tfds.decode.PartialDecoding({label_key}),
                shuffle_files=False,
            )
            if all(example[label_key].numpy() >= 0 for example in first):
                return split
    return None


def _to_arrays(
    name: str, examples: StreamedExamples, shape: tuple[int, int, int]
) -> ArrayExamples:
    try:
        batches = list(examples.decoded().batch(READ_BATCH).as_numpy_iterator())
    except tf.errors.OpError as error:
        raise InputError(
            f"tfds:{name} cannot be read from {examples.builder.data_dir} "
            f"({error.message.splitlines()[0]}): prepare it again."
        ) from error
    images, labels = (np.concatenate(each) for each in zip(*batches, strict=True))
    array = ArrayExamples(images, labels.astype(np.int64))
    if array.labels.min() < 0:
        raise InputError(
            f"tfds:{name} has images without a label in its split "
            f"{examples.split_name}: choose another set."
        )
    return ArrayExamples(fit_to_shape(array.images, shape), array.labels)
