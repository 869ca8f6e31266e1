"""scikit-learn's handwritten digits: 1,797 grey images of 8x8, no download needed."""

import os

import numpy as np

from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.config import DataConfig
from r2b_keras.data.sources import Source
from r2b_keras.data.splits import size_of_test_part
from r2b_keras.errors import InputError

LARGEST_PIXEL = 16


def open_source(
    config: DataConfig, data_dir: str | os.PathLike[str] | None = None
) -> Source:
    """Loads the digits; a fixed, stratified fifth of them is the test part.

    The set has no official split.

    Args:
      config: gives image shape and framing.
      data_dir: None, as nothing is read from a folder.

    Raises:
      InputError: a folder is given, or scikit-learn is not installed.
    """
    if data_dir is not None:
        raise InputError(
            f"--data_dir={data_dir} is given, and the source digits reads no folder: "
            "leave it out, or choose a recipe that does, such as --recipe=pictures."
        )
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise InputError(
            "The source digits is part of scikit-learn, which is not installed: run "
            "`pip install scikit-learn`."
        ) from error
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / LARGEST_PIXEL)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    examples = ArrayExamples(
        pixels[..., np.newaxis], labels, config.image_shape, config.framing
    )
    train, test = examples.split(size_of_test_part(examples.num_examples))
    return Source(train, test, tuple(str(name) for name in digits.target_names))
