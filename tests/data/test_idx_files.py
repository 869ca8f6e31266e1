"""IDX files: sound ones, broken ones, and Fashion-MNIST where it is installed."""

import gzip
import tracemalloc

import numpy as np
import pytest
from image_samples import random_images, read_all, write_idx

from r2b_keras.data import Augmentation, DataConfig, load
from r2b_keras.data.sources import idx

CONFIG = DataConfig("idx", (5, 4, 1), (0.0,), (1.0,), 8)
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"


def test_reads_plain_and_compressed_files(idx_folder):
    dataset = load(CONFIG, idx_folder)
    assert dataset.class_names == ("0", "1", "2", "3")
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (32, 8, 10)
    images, labels = read_all(dataset.test(10))
    np.testing.assert_allclose(
        images * 255, random_images(10, (5, 4, 1), 10), atol=1e-4
    )
    assert labels.argmax(1).tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def cut_off(path):
    content = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(content[:-1]))


def cut_off_gzip(path):
    path.write_bytes(path.read_bytes()[:-20])


def no_gzip(path):
    path.write_bytes(b"hello")


def empty(path):
    path.write_bytes(gzip.compress(b""))


def header_only(path):
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 3, 0, 0])))


def too_long(path):
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + b"x"))


def two_dimensions(path):
    write_idx(path, np.zeros((40, 20)))


def of_floats(path):
    write_idx(path, np.zeros((40, 5, 4)), bytes([0, 0, 0x0D, 3]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_off, "says it holds 40 x 5 x 4 bytes, but has 799"),
        (cut_off_gzip, "cannot be read"),
        (no_gzip, "cannot be read"),
        (empty, "starts with the bytes of nothing"),
        (header_only, "but has 0"),
        (too_long, "but has 801"),
        (two_dimensions, "starts with the bytes 00000802"),
        (of_floats, "starts with the bytes 00000d03"),
    ],
)
def test_a_broken_file_is_named(idx_folder, damage, message):
    damage(idx_folder / TRAIN_IMAGES)
    with pytest.raises(ValueError) as error:
        load(CONFIG, idx_folder)
    assert str(error.value).startswith(str(idx_folder / TRAIN_IMAGES))
    assert message in str(error.value)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_memory_is_bounded_by_the_files_whatever_the_networks_size(tmp_path, suffix):
    for prefix, num in (("train", 4000), ("t10k", 400)):
        images = random_images(num, (50, 40, 1), num)[..., 0]
        write_idx(tmp_path / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(tmp_path / f"{prefix}-labels-idx1-ubyte", np.arange(num) % 4)
    config = DataConfig("idx", (200, 160, 1), (0.0,), (1.0,), 500)
    tracemalloc.start()
    dataset = load(config, tmp_path)
    batches = dataset.train(8, Augmentation(flip=True), 0, 0, 1)
    images, _ = next(iter(batches))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert images.shape == (8, 200, 160, 1)
    assert peak < 1.25 * 4400 * 50 * 40


def test_too_much_for_memory_is_refused_before_it_is_read(idx_folder, monkeypatch):
    monkeypatch.setattr(idx, "MEMORY_BYTES", 40 * 20 - 1)
    with pytest.raises(ValueError, match="40 x 5 x 4 bytes, and IDX files are kept in"):
        load(CONFIG, idx_folder)


def test_a_class_without_test_images_is_refused(idx_folder):
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.arange(10) % 3)
    with pytest.raises(ValueError, match="test part of idx has no images of .*'3'"):
        load(CONFIG, idx_folder)


def test_count_of_labels_must_match(idx_folder):
    write_idx(idx_folder / TRAIN_LABELS, np.arange(39) % 4)
    with pytest.raises(ValueError, match="has 40 images, but .*-ubyte has 39 labels"):
        load(CONFIG, idx_folder)


def test_labels_must_be_0_to_k(idx_folder):
    write_idx(idx_folder / TRAIN_LABELS, np.where(np.arange(40) % 2, 0, 200))
    with pytest.raises(ValueError, match=r"training labels are \[0, 200\]"):
        load(CONFIG, idx_folder)


def test_the_test_part_has_no_class_of_its_own(idx_folder):
    write_idx(idx_folder / "t10k-labels-idx1-ubyte", np.arange(10))
    with pytest.raises(ValueError, match=r"t10k-labels.* has the labels \[4, 5, 6, 7"):
        load(CONFIG, idx_folder)


def test_a_missing_file_is_named(idx_folder):
    (idx_folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte .* does not exist"):
        load(CONFIG, idx_folder)


def test_fashion_mnist_as_debian_installs_it():
    if not idx.has_files(idx.DEBIAN_FOLDER):
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = load(DataConfig("fashion_mnist", (28, 28, 1), (0.0,), (1.0,), 5000))
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (
        *(55000, 5000),
        10000,
    )
    # The order of the set's own README.
    assert dataset.class_names == (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
    labels = dataset._train.labels
    np.testing.assert_array_equal(np.bincount(labels), [5500] * 10)
    # The mean pixel of the 60,000 training images is known to be 0.2860.
    parts = [dataset._train.images, dataset._validation.images]
    assert round(np.concatenate(parts).mean() / 255, 4) == 0.2860
