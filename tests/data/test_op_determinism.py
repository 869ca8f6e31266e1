"""With TensorFlow's op determinism on, the pipeline gives the same numbers."""

import hashlib
import subprocess
import sys

import pytest
from image_samples import random_images, smooth_image, write_image

from r2b_keras.data import Augmentation, DataConfig, load

ARRAYS = Augmentation(
    flip=True, pad_and_crop=1, rotation_degrees=10, color_jitter=0.2, mixup_alpha=0.2
)
FILES = Augmentation(
    random_resized_crop=True, flip=True, color_jitter=0.2, mixup_alpha=0.2
)
SIZES = ((40, 50), (60, 30), (33, 33))


def digest(dataset, augmentation) -> str:
    """sha256 over the second of two epochs."""
    result = hashlib.sha256()
    for images, labels in dataset.train(7, augmentation, 5, 1, 2).as_numpy_iterator():
        result.update(images.tobytes() + labels.tobytes())
    return result.hexdigest()


def digests(folder) -> list[str]:
    """Of a set in memory and of one in files."""
    digits = load(DataConfig("digits", (8, 8, 1), (0.3,), (0.35,), 100))
    pictures = load(
        DataConfig("folder", (24, 24, 3), (0.4,) * 3, (0.2,) * 3, 4), folder
    )
    return [digest(digits, ARRAYS), digest(digits, FILES), digest(pictures, FILES)]


@pytest.mark.slow
def test_same_numbers_in_another_process_with_op_determinism(tmp_path):
    for k in range(30):
        image = smooth_image(*SIZES[k % 3], seed=k)
        write_image(tmp_path / f"class_{k % 2}" / f"{k}.jpg", image)
    write_image(tmp_path / "class_0" / "x.png", random_images(1, (50, 50, 3))[0])
    run = [sys.executable, __file__, str(tmp_path)]
    result = subprocess.run(run, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == digests(tmp_path)


if __name__ == "__main__":
    from r2b_keras.environment import tf

    tf.config.experimental.enable_op_determinism()
    print(*digests(sys.argv[1]))
    if "tensorflow_datasets" in sys.modules:
        sys.exit("a source that does not need tensorflow_datasets imports it")
