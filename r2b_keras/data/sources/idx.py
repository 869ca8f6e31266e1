"""IDX files, the format of MNIST and its kin: <http://yann.lecun.com/exdb/mnist/>."""

import gzip
import hashlib
import io
import math
import os
import zlib
from pathlib import Path

import numpy as np

from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.config import DataConfig
from r2b_keras.data.sources import Source
from r2b_keras.errors import InputError

DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"
UNSIGNED_BYTE = 0x08
# Sets in memory may be this large; those of IDX files are far smaller.
MEMORY_BYTES = 2**32
READ_BYTES = 2**20
LABELS_DIMENSIONS, IMAGES_DIMENSIONS = 1, 3

# sha256 of the training labels, which tells Fashion-MNIST from other sets.
FASHION_MNIST_LABELS = (
    "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7"
)
FASHION_MNIST_CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Reads `{train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]` from a folder.

    Args:
      config: gives image shape and framing.
      data_dir: the folder; Debian's folder for Fashion-MNIST when None.

    Raises:
      InputError: a file is missing, broken or does not fit the others.
    """
    folder = Path(data_dir or DEBIAN_FOLDER)
    train_images, train_labels = _read_part(folder, "train")
    test_images, test_labels = _read_part(folder, "t10k")
    _check_classes(folder, train_labels, test_labels)
    shape, framing = config.image_shape, config.framing
    return Source(
        ArrayExamples(train_images, train_labels, shape, framing),
        ArrayExamples(test_images, test_labels, shape, framing),
        _class_names(train_labels),
    )


def has_files(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder holds at least the training images."""
    return _find(Path(folder), "train-images-idx3-ubyte") is not None


def read_idx(path: Path, num_dimensions: int) -> np.ndarray:
    """Reads one IDX file of unsigned bytes, gzip-compressed if it ends in `.gz`.

    Args:
      path: the file.
      num_dimensions: 1 for labels, 3 for images.

    Returns:
      A uint8 array with that many dimensions.

    Raises:
      InputError: the file cannot be read, or is not such an IDX file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_array(path, file, num_dimensions)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read ({error}): get it again.") from error


def _read_array(
    path: Path, file: "io.BufferedIOBase | gzip.GzipFile", num_dimensions: int
) -> np.ndarray:
    """Reads straight into the array, as a copy would double the memory."""
    start = file.read(4)
    expected = bytes([0, 0, UNSIGNED_BYTE, num_dimensions])
    if start != expected:
        raise InputError(
            f"{path} starts with the bytes {start.hex() or 'of nothing'}, but an "
            f"IDX file of {num_dimensions} dimension(s) of unsigned bytes starts with "
            f"{expected.hex()}: get the file again."
        )
    sizes = file.read(4 * num_dimensions).ljust(4 * num_dimensions, b"\0")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    size = math.prod(shape)
    if size > MEMORY_BYTES:
        raise InputError(
            f"{path} says it holds {' x '.join(map(str, shape))} bytes, and IDX files "
            f"are kept in memory, up to {MEMORY_BYTES} bytes: write larger sets as "
            "pictures in class folders, which are read one by one."
        )
    array = np.empty(size, np.uint8)
    found = 0
    while count := file.readinto(array.data[found : found + READ_BYTES]):
        found += count
    found += len(file.read())
    if found != size or size == 0:
        raise InputError(
            f"{path} says it holds {' x '.join(map(str, shape))} bytes, but has "
            f"{found}: the file is cut off or empty, get it again."
        )
    return array.reshape(shape)


def _read_part(folder: Path, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [N, H, W, 1] uint8 and labels [N] int64 of one part."""
    images_path = _require(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _require(folder, f"{prefix}-labels-idx1-ubyte")
    images = read_idx(images_path, IMAGES_DIMENSIONS)
    labels = read_idx(labels_path, LABELS_DIMENSIONS)
    if len(images) != len(labels):
        raise InputError(
            f"{images_path} has {len(images)} images, but {labels_path} has "
            f"{len(labels)} labels: the two files do not belong together."
        )
    return images[..., np.newaxis], labels.astype(np.int64)


def _check_classes(folder: Path, train: np.ndarray, test: np.ndarray) -> None:
    """Every class 0..K-1 has training images, and the test part has no other class."""
    known = np.unique(train)
    missing = sorted(set(range(int(known[-1]) + 1)) - set(known.tolist()))
    if missing or len(known) < 2:
        raise InputError(
            f"{folder}: the training labels are {known.tolist()}, expected 0 to the "
            "number of classes minus 1, at least two, and each at least once."
        )
    unknown = sorted(set(np.unique(test).tolist()) - set(known.tolist()))
    if unknown:
        raise InputError(
            f"{_require(folder, 't10k-labels-idx1-ubyte')} has the labels {unknown}, "
            "which no training image has: the files do not belong together."
        )


def _class_names(train_labels: np.ndarray) -> tuple[str, ...]:
    digest = hashlib.sha256(train_labels.astype(np.uint8).tobytes()).hexdigest()
    if digest == FASHION_MNIST_LABELS:
        return FASHION_MNIST_CLASSES
    return tuple(str(label) for label in range(train_labels.max() + 1))


def _find(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.gz")
    return next((path for path in candidates if path.is_file()), None)


def _require(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise InputError(
            f"{folder / name} (or {name}.gz) does not exist: give the folder with the "
            "four IDX files as --data_dir, or install Fashion-MNIST with "
            "`apt install dataset-fashion-mnist`."
        )
    return path
