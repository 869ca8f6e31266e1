"""One's own pictures: a folder per class, JPEG or PNG."""

import functools
import os
from pathlib import Path

import numpy as np

from r2b_keras.data import decoding
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.config import DataConfig
from r2b_keras.data.files import (
    FileExamples,
    decoding_problem,
    first_problem,
    header_problem,
    image_size,
)
from r2b_keras.data.sources import Source
from r2b_keras.data.splits import size_of_test_part
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png")
TEST_FOLDERS = ("test", "val")
# Up to this many bytes of files every image is decoded once for a check; beyond it
# only the first bytes of each are looked at, which ImageNet needs a minute for.
FULL_CHECK_BYTES = 2**29
# Images that have the network's size already are held in memory up to this.
MEMORY_BYTES = 2**30


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens `data_dir/{train,test}/CLASS/*` or `data_dir/CLASS/*`.

    `val` is accepted for `test`. Without these two, a fixed, stratified fifth of the
    pictures is the test part. The classes are the folders' names in sorted order;
    hidden files are passed over.

    Args:
      config: gives the image shape.
      data_dir: the folder.

    Raises:
      InputError: no folder is given, or a folder or picture is not as expected.
    """
    folder = _require_folder(data_dir)
    train_folder, test_folder = _parts(folder)
    names = _class_names(train_folder)
    train = _list_examples(folder, train_folder, names, config.image_shape)
    if test_folder is None:
        train, test = train.split(size_of_test_part(train.num_examples))
    else:
        _check_same_classes(test_folder, names, train_folder)
        test = _list_examples(folder, test_folder, names, config.image_shape)
    check_images(train.paths + test.paths, config.image_shape[2])
    if _fits_in_memory(train.paths + test.paths, config.image_shape):
        return Source(_read_all(train), _read_all(test), names)
    return Source(train, test, names)


def check_images(paths: tuple[Path, ...], channels: int) -> None:
    """Raises `InputError` naming the first picture that is no sound JPEG or PNG.

    Args:
      paths: the pictures.
      channels: 1 if they are to be grey, 3 for RGB.
    """
    few = sum(path.stat().st_size for path in paths) <= FULL_CHECK_BYTES
    whole = functools.partial(decoding_problem, channels=channels)
    problem = first_problem(paths, whole if few else header_problem)
    if problem:
        raise InputError(f"{problem}: replace or remove it.")


def _require_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    if data_dir is None:
        raise InputError(
            "The source folder needs --data_dir=DIR, with DIR/train/CLASS/*.jpg and "
            "DIR/test/CLASS/*.jpg, or DIR/CLASS/*.jpg."
        )
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError(f"--data_dir={folder} is not a folder: give an existing one.")
    return folder


def _parts(folder: Path) -> tuple[Path, Path | None]:
    """The training folder and the test folder, if they are kept apart."""
    tests = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    if (folder / "train").is_dir():
        if tests:
            return folder / "train", tests[0]
        raise InputError(
            f"{folder} has a folder train, but no test or val beside it: add one, or "
            "give a folder that holds the class folders itself, to be split."
        )
    if tests:
        raise InputError(
            f"{folder} has a folder {tests[0].name}, but no train: add it."
        )
    return folder, None


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _visible(folder) if path.is_dir())
    if len(names) < 2:
        raise InputError(
            f"{folder} has {len(names)} class folders {list(names)}: expected at least "
            "two, each with the pictures of one class."
        )
    return names


def _check_same_classes(
    test_folder: Path, names: tuple[str, ...], train_folder: Path
) -> None:
    unknown = [name for name in _class_names(test_folder) if name not in names]
    if unknown:
        raise InputError(
            f"{test_folder / unknown[0]} is a class that {train_folder} does not have: "
            "both need the same class folders."
        )


def _list_examples(
    root: Path, folder: Path, names: tuple[str, ...], shape: tuple[int, int, int]
) -> FileExamples:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        if not (folder / name).is_dir():
            raise InputError(
                f"{folder / name} does not exist: add the class's pictures."
            )
        pictures = _visible(folder / name)
        for path in pictures:
            if path.suffix.lower() not in SUFFIXES or not path.is_file():
                raise InputError(
                    f"{path} is not a picture ({', '.join(SUFFIXES)}): convert it or "
                    "move it elsewhere."
                )
        if not pictures:
            raise InputError(
                f"{folder / name} has no picture: add some or remove the folder."
            )
        paths += pictures
        labels += [label] * len(pictures)
    return FileExamples(root, tuple(paths), np.array(labels, np.int64), shape)


def _fits_in_memory(paths: tuple[Path, ...], shape: tuple[int, int, int]) -> bool:
    """Whether all pictures have the network's size, and are few enough."""
    if len(paths) * int(np.prod(shape)) > MEMORY_BYTES:
        return False
    return all(image_size(path) == shape[:2] for path in paths)


def _read_all(examples: FileExamples) -> ArrayExamples:
    channels = examples.image_shape[2]
    with tf.device("CPU:0"):
        images = [
            decoding.decode(path.read_bytes(), channels).numpy()
            for path in examples.paths
        ]
    return ArrayExamples(np.stack(images), examples.labels)
