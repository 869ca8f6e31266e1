"""One's own pictures: a folder per class, JPEG, PNG or WebP."""

import dataclasses
import os
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np

from r2b_keras.board.pictures import SUFFIXES
from r2b_keras.data import decoding
from r2b_keras.data.arrays import ArrayExamples, fit_in_memory
from r2b_keras.data.config import DataConfig
from r2b_keras.data.files import (
    FileExamples,
    decoding_problem,
    first_problem,
    image_size,
    quick_problem,
)
from r2b_keras.data.sources import Source
from r2b_keras.data.splits import size_of_test_part
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

TRAIN, TEST, VALIDATION = "train", "test", ("val", "valid", "validation")
PARTS = (TRAIN, TEST, *VALIDATION)
# What else they are called, in small letters.
MISNAMED = {name: name for name in PARTS} | {"training": TRAIN, "testing": TEST}
# What systems leave in folders; hidden files are passed over too.
LEFT_BY_SYSTEMS = ("thumbs.db", "desktop.ini", "__macosx", "@eadir")
# Up to this many bytes of files every image is decoded once for a check; beyond it
# only the ends of each are looked at, which ImageNet needs a minute for.
FULL_CHECK_BYTES = 2**29


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where the parts of a set lie; None for one that is to be split off."""

    train: Path
    validation: Path | None = None
    test: Path | None = None


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Opens `data_dir/{train,val,test}/CLASS/*` or `data_dir/CLASS/*`.

    Without `test`, `val` is the test part; without both, a fixed, stratified fifth of
    the pictures is. The classes are the folders' names in sorted order. Hidden files
    and what systems leave in folders are passed over.

    Args:
      config: gives image shape and framing.
      data_dir: the folder.

    Raises:
      InputError: no folder is given, or a folder or picture is not as expected.
    """
    folder = _require_folder(data_dir)
    layout = _find_parts(folder)
    names = _class_names(layout.train)

    def listed(part: Path) -> FileExamples:
        _check_same_classes(part, names, layout.train)
        return _list_examples(folder, part, names, config)

    train = listed(layout.train)
    if layout.test is None:
        _check_can_be_split(layout.train, names, train.labels)
        size = size_of_test_part(train.num_examples)
        train, test = train.split(size, kept=1, held_out=1)
    else:
        test = listed(layout.test)
    parts = {"train": train, "test": test}
    if layout.validation is not None:
        parts["validation"] = listed(layout.validation)
    paths = [path for part in parts.values() for path in part.paths]
    check_images(paths)
    if _fits_in_memory(paths, config.image_shape):
        arrays = {name: _read_all(part) for name, part in parts.items()}
        return Source(class_names=names, **arrays)
    return Source(class_names=names, **parts)


def check_images(paths: Sequence[Path]) -> None:
    """Raises `InputError` naming the first picture that is not sound."""
    few = sum(path.stat().st_size for path in paths) <= FULL_CHECK_BYTES
    problem = first_problem(paths, decoding_problem if few else quick_problem)
    if problem:
        raise InputError(f"{problem}: replace or remove it.")


def _require_folder(data_dir: str | os.PathLike[str] | None) -> Path:
    if data_dir is None:
        raise InputError(
            "--data_dir is missing, expected the folder of your pictures: "
            "--data_dir=DIR, with DIR/train/CLASS/*.jpg and DIR/test/CLASS/*.jpg, or "
            "DIR/CLASS/*.jpg."
        )
    folder = Path(data_dir)
    if not folder.is_dir():
        raise InputError(f"--data_dir={folder} is not a folder: give an existing one.")
    return folder


def _find_parts(folder: Path) -> Layout:
    """The parts that are kept apart; a folder of pictures is a class of that name."""
    found = {path.name: path for path in _folders(folder)}
    parts = {name: path for name, path in found.items() if name in PARTS}
    others = sorted(found.keys() - parts.keys())
    _check_spelling([found[name] for name in others], parts)
    if not parts or others and not any(_folders(path) for path in parts.values()):
        return Layout(folder)
    held_out = [parts[name] for name in (TEST, *VALIDATION) if name in parts]
    if TRAIN not in parts:
        raise InputError(
            f"{folder} has a folder {held_out[0].name}, but no train: add it."
        )
    if not held_out:
        raise InputError(
            f"{folder} has a folder train, but no test or val beside it: add one, or "
            "give a folder that holds the class folders itself, to be split."
        )
    if len(held_out) > 1 + (TEST in parts):
        raise InputError(
            f"{folder} has {' and '.join(path.name for path in held_out)}: keep one "
            "validation part."
        )
    if others:
        raise InputError(
            f"{folder / others[0]} lies beside {', '.join(sorted(parts))}, and is no "
            "part of the set: move it elsewhere."
        )
    _check_no_picture(folder, ", ".join(sorted(parts)))
    validation = held_out[1] if len(held_out) == 2 else None
    return Layout(parts[TRAIN], validation, held_out[0])


def _check_spelling(folders: Sequence[Path], parts: Container[str]) -> None:
    """Raises `InputError` for a part under another name; it would be a class."""
    for folder in folders:
        part = MISNAMED.get(folder.name.lower())
        if part and part not in parts and _folders(folder):
            raise InputError(
                f"{folder} holds folders, as a part of a set does, and is not called "
                f"like one ({', '.join(PARTS)}): rename it to {part}."
            )


def _visible(folder: Path) -> list[Path]:
    found = sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in LEFT_BY_SYSTEMS
    )
    for path in found:
        # It may be of a folder: of a class that nobody would miss.
        if path.is_symlink() and not path.exists():
            raise InputError(
                f"{path} is a link to {os.readlink(path)}, which is not there: mend "
                "the link or remove it."
            )
    return found


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _folders(folder))
    if len(names) < 2:
        found = f"one class folder, {names[0]}" if names else "no class folders"
        raise InputError(
            f"{folder} has {found}: expected at least two, each with the pictures of "
            "one class."
        )
    return names


def _check_same_classes(part: Path, names: tuple[str, ...], train: Path) -> None:
    unknown = [name for name in _class_names(part) if name not in names]
    if unknown:
        raise InputError(
            f"{part / unknown[0]} is a class that {train} does not have: "
            "both need the same class folders."
        )
    _check_no_picture(part, "the class folders")


def _check_no_picture(folder: Path, folders: str) -> None:
    """Raises `InputError` for a picture that belongs to no class."""
    for path in _visible(folder):
        if path.suffix.lower() in SUFFIXES and not path.is_dir():
            raise InputError(
                f"{path} lies beside {folders}, and is of no class: move it into a "
                "class folder or elsewhere."
            )


def _check_can_be_split(
    folder: Path, names: tuple[str, ...], labels: np.ndarray
) -> None:
    """Raises `InputError` for a class with one picture."""
    for name, count in zip(names, np.bincount(labels), strict=True):
        if count < 2:
            raise InputError(
                f"{folder / name} has one picture, expected at least two, one to train "
                "on and one to test with: add some or remove the folder."
            )


def _list_examples(
    root: Path, folder: Path, names: tuple[str, ...], config: DataConfig
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
                raise InputError(_no_picture(path))
        if not pictures:
            raise InputError(
                f"{folder / name} has no picture: add some or remove the folder."
            )
        paths += pictures
        labels += [label] * len(pictures)
    labels_of_all = np.array(labels, np.int64)
    return FileExamples(
        root, tuple(paths), labels_of_all, config.image_shape, config.framing
    )


def _no_picture(path: Path) -> str:
    """Says what is wrong with a path in a class folder."""
    if path.is_dir():
        return (
            f"{path} is a folder: move its pictures into {path.parent}, or the folder "
            "elsewhere."
        )
    return (
        f"{path} is not a picture ({', '.join(SUFFIXES)}): convert it or move it "
        "elsewhere."
    )


def _fits_in_memory(paths: Sequence[Path], shape: tuple[int, int, int]) -> bool:
    """Whether all pictures have the network's size, and are few enough."""
    return fit_in_memory(len(paths), shape) and all(
        image_size(path) == shape[:2] for path in paths
    )


def _read_all(examples: FileExamples) -> ArrayExamples:
    shape = examples.image_shape
    images = np.empty((examples.num_examples, *shape), np.uint8)
    with tf.device("CPU:0"):
        for image, path in zip(images, examples.paths, strict=True):
            try:
                image[:] = decoding.decode(path.read_bytes(), shape[2])
            except (tf.errors.OpError, InputError) as error:
                problem = decoding_problem(path) or f"{path} is broken"
                raise InputError(f"{problem}: replace or remove it.") from error
    return ArrayExamples(images, examples.labels, shape, examples.framing)
