"""Fixtures of the data tests."""

from pathlib import Path

import numpy as np
import pytest
from image_samples import random_images, write_idx


@pytest.fixture
def idx_folder(tmp_path) -> Path:
    """Four IDX files: 40 training and 10 test images of 5x4, four classes."""
    for prefix, num in (("train", 40), ("t10k", 10)):
        images = random_images(num, (5, 4, 1), num)[..., 0]
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", np.arange(num) % 4)
    return tmp_path
