"""Small sets of images for the tests, held in memory or written to files."""

import functools
import gzip
import struct
from pathlib import Path

import numpy as np

from r2b_keras.data import DataConfig, ImageDataset
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.sources import Source
from r2b_keras.environment import tf

MEAN, STD = (0.4, 0.3, 0.2), (0.25, 0.5, 0.125)


def random_images(num: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """[num, *shape] uint8."""
    return np.random.default_rng(seed).integers(0, 256, (num, *shape), np.uint8)


def make_array_dataset(
    num_train: int = 50, shape: tuple[int, int, int] = (6, 7, 3), validation: int = 8
) -> ImageDataset:
    """Random images of three classes in memory, with 11 test images."""
    channels = shape[2]
    config = DataConfig("idx", shape, MEAN[:channels], STD[:channels], validation)
    parts = [
        ArrayExamples(random_images(num, shape, num), np.arange(num) % 3, shape)
        for num in (num_train, 11)
    ]
    return ImageDataset(config, Source(*parts, ("a", "b", "c")))


def read_all(dataset) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a dataset of batches."""
    batches = list(dataset.as_numpy_iterator())
    return tuple(np.concatenate(each) for each in zip(*batches, strict=True))


def write_idx(path: Path, array: np.ndarray, magic: bytes | None = None) -> None:
    """Writes an IDX file, compressed if its name ends in `.gz`."""
    magic = magic or bytes([0, 0, 8, array.ndim])
    header = magic + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def smooth_image(height: int, width: int, seed: int) -> np.ndarray:
    """[height, width, 3] uint8 without sharp edges, which JPEG keeps well."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / a + y / b + c)
        for a, b, c in generator.uniform([20, 20, 0], [60, 60, 6], (3, 3))
    ]
    return np.round(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes a PNG or JPEG file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    png = path.suffix.lower() == ".png"
    encode = (
        tf.io.encode_png if png else functools.partial(tf.io.encode_jpeg, quality=95)
    )
    path.write_bytes(encode(image).numpy())
