"""One's own pictures in folders: layouts, conversions, and what is refused."""

import dataclasses

import numpy as np
import picture_kinds
import pytest
from image_samples import random_images, read_all, write_image

from r2b_keras.board import pictures as predict_pictures
from r2b_keras.board.card import ModelCard
from r2b_keras.data import Augmentation, DataConfig, arrays, load
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.files import FileExamples
from r2b_keras.data.sources import folder as folder_source
from r2b_keras.environment import tf

CONFIG = DataConfig("folder", (8, 6, 3), (0.0,) * 3, (1.0,) * 3, 4, "whole")
CLASSES = ("bird", "cat", "dog")


def write_set(root, num=10, shape=(8, 6, 3)):
    for label, name in enumerate(CLASSES):
        for number, image in enumerate(random_images(num, shape, label)):
            write_image(root / name / f"{number:02}.png", image)


@pytest.fixture
def pictures(tmp_path):
    write_set(tmp_path / "train")
    write_set(tmp_path / "test", 3)
    return tmp_path


def test_pictures_of_the_networks_size_are_held_in_memory(pictures):
    dataset = load(CONFIG, pictures)
    assert isinstance(dataset._train, ArrayExamples)
    assert dataset.class_names == CLASSES
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (26, 4, 9)
    images, labels = read_all(dataset.test(4))
    expected = np.concatenate([random_images(3, (8, 6, 3), k) for k in range(3)])
    np.testing.assert_allclose(images, expected / 255, atol=1e-6)
    np.testing.assert_array_equal(labels.argmax(1), [0, 0, 0, 1, 1, 1, 2, 2, 2])


def test_without_test_folder_a_fixed_fifth_of_each_class_is_held_out(tmp_path):
    write_set(tmp_path)
    dataset = load(CONFIG, str(tmp_path))
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (20, 4, 6)
    np.testing.assert_array_equal(np.bincount(dataset._test.labels), [2, 2, 2])
    assert load(CONFIG, tmp_path).fingerprint == dataset.fingerprint


def test_val_is_a_test_part_and_what_systems_leave_is_passed_over(pictures):
    (pictures / "test").rename(pictures / "val")
    for name in (".DS_Store", "cat/._00.png", "cat/Thumbs.db", "dog/desktop.ini"):
        (pictures / "train" / name).write_bytes(b"x")
    for name in ("val/.hidden", "val/__MACOSX", "__MACOSX", "train/@eaDir"):
        (pictures / name / "more").mkdir(parents=True)
    assert load(CONFIG, pictures).num_test == 9


def test_a_class_name_that_is_no_utf_8(pictures):
    """Shown as an escape, everywhere from here on; the files keep their names."""
    for part in ("train", "test"):
        (pictures / part / "cat").rename(pictures / part / "caf\udce9")
    dataset = load(CONFIG, pictures)
    assert dataset.class_names == ("bird", "caf\\udce9", "dog")
    assert (dataset.num_train, dataset.num_test) == (26, 9)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_val_beside_train_and_test_is_the_validation_part(pictures, name):
    write_set(pictures / name, 2)
    own = dataclasses.replace(CONFIG, validation_size=0)
    dataset = load(own, pictures)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (30, 6, 9)
    images, labels = read_all(dataset.validation(4))
    expected = np.concatenate([random_images(2, (8, 6, 3), k) for k in range(3)])
    np.testing.assert_allclose(images, expected / 255, atol=1e-6)
    np.testing.assert_array_equal(labels.argmax(1), [0, 0, 1, 1, 2, 2])
    write_image(pictures / name / "cat" / "x.png", random_images(1, (9, 9, 3))[0])
    changed = load(own, pictures)
    assert changed.num_validation == 7 and changed.fingerprint != dataset.fingerprint
    with pytest.raises(ValueError, match="of 7 images, and validation_size is 4: set"):
        load(CONFIG, pictures)


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_like_a_part(tmp_path, name):
    write_set(tmp_path)
    (tmp_path / "cat").rename(tmp_path / name)
    assert load(CONFIG, tmp_path).class_names == tuple(sorted(("bird", "dog", name)))


def test_parts_without_classes_are_no_classes(tmp_path):
    """A folder train and a folder test that hold nothing but pictures."""
    for name in ("train", "test"):
        write_image(tmp_path / name / "0.png", random_images(1, (8, 6, 3))[0])
    with pytest.raises(ValueError, match="train has no class folders: expe"):
        load(CONFIG, tmp_path)


@pytest.mark.parametrize("channels", [1, 3])
def test_evaluation_and_predict_see_the_same(pictures, channels):
    shape = (20, 30, channels)
    config = DataConfig("folder", shape, (0.5,) * channels, (0.25,) * channels, 4)
    card = ModelCard(CLASSES, shape, config.mean, config.std, config.framing)
    turned = picture_kinds.TURNED["PNG, orientation 3"][1]
    for number, content in enumerate([*picture_kinds.KINDS.values(), turned]):
        suffix = ".webp" if content[:4] == b"RIFF" else ".png"
        (pictures / "test/cat" / f"x{number:02}{suffix}").write_bytes(content)
    images, _ = read_all(load(config, pictures).test(10))
    paths = sorted((pictures / "test").rglob("*.*"))
    for found, path in zip(images, paths, strict=True):
        np.testing.assert_array_equal(found, predict_pictures.load(path, card))


@pytest.mark.parametrize("counts", [(2, 2), (100, 2, 3), (2,) * 7, (9, 2)])
def test_a_split_leaves_every_class_something_to_train_and_to_test(tmp_path, counts):
    for label, count in enumerate(counts):
        for number, image in enumerate(random_images(count, (8, 6, 3), label)):
            write_image(tmp_path / f"class_{label}" / f"{number}.png", image)
    dataset = load(dataclasses.replace(CONFIG, validation_size=0), tmp_path)
    assert dataset.num_train + dataset.num_test == sum(counts)
    for part in (dataset._train, dataset._test):
        assert np.bincount(part.labels, minlength=len(counts)).min() >= 1


def test_pictures_of_other_sizes_stay_in_their_files(pictures):
    write_image(
        pictures / "train" / "cat" / "large.JPG", random_images(1, (90, 70, 3))[0]
    )
    dataset = load(CONFIG, pictures)
    assert isinstance(dataset._train, FileExamples)
    images, labels = read_all(dataset.train(9, Augmentation(), 0, 0, 1))
    assert images.shape == (27, 8, 6, 3) and labels.shape == (27, 3)
    fingerprint = dataset.fingerprint
    assert load(CONFIG, pictures).fingerprint == fingerprint
    (pictures / "train" / "cat" / "large.JPG").rename(pictures / "train/cat/big.JPG")
    assert load(CONFIG, pictures).fingerprint != fingerprint
    # Another picture of the same name is told by the size of its file.
    fingerprint = load(CONFIG, pictures).fingerprint
    write_image(pictures / "test" / "cat" / "00.png", random_images(1, (8, 7, 3))[0])
    assert load(CONFIG, pictures).fingerprint != fingerprint


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_are_converted(tmp_path, channels):
    write_set(tmp_path / "train")
    write_set(tmp_path / "test", shape=(8, 6, 1))
    write_image(tmp_path / "test" / "cat" / "x.png", np.full((8, 6, 4), 9, np.uint8))
    config = DataConfig(
        "folder", (8, 6, channels), (0,) * channels, (1,) * channels, 4, "whole"
    )
    images, _ = read_all(load(config, tmp_path).test(10))
    assert images.shape == (31, 8, 6, channels)
    grey = np.broadcast_to(random_images(10, (8, 6, 1), 0), (10, 8, 6, channels))
    np.testing.assert_allclose(images[:10], grey / 255, atol=1e-6)


def test_epochs_of_files_resume_to_the_bit(pictures):
    write_image(pictures / "train" / "cat" / "x.jpg", random_images(1, (20, 20, 3))[0])
    dataset = load(CONFIG, pictures)
    augmentation = Augmentation(
        random_resized_crop=True, flip=True, color_jitter=0.3, mixup_alpha=0.4
    )
    images, labels = read_all(dataset.train(5, augmentation, 3, 0, 3))
    last = 2 * dataset.steps_per_epoch(5) * 5
    for expected, found in zip(
        (images[last:], labels[last:]),
        read_all(dataset.train(5, augmentation, 3, 2, 3)),
        strict=True,
    ):
        np.testing.assert_array_equal(expected, found)
    others, _ = read_all(dataset.train(5, augmentation, 4, 2, 3))
    assert np.mean(others == images[last:]) < 0.5


def test_an_epoch_reads_every_file_once(pictures):
    write_image(pictures / "train" / "cat" / "x.png", random_images(1, (20, 20, 3))[0])
    dataset = load(CONFIG, pictures)
    images, labels = read_all(dataset.train(27, Augmentation(), 0, 0, 1))
    ordered, true_labels = read_all(
        dataset._train.ordered_batches(27).map(lambda x, y: (tf.cast(x, "float32"), y))
    )
    keys = {
        image.tobytes(): label
        for image, label in zip(ordered, true_labels, strict=True)
    }
    assert len(keys) == 27
    found = [keys[np.round(image * 255).tobytes()] for image in images]
    assert found == labels.argmax(1).tolist()


def empty_file(root):
    (root / "train/cat/00.png").write_bytes(b"")


def text_file(root):
    (root / "train/cat/00.png").write_bytes(b"no picture at all")


def cut_off_png(root):
    path = root / "train/cat/00.png"
    path.write_bytes(path.read_bytes()[:-30])


def cut_off_jpeg(root):
    path = root / "test/dog/00.jpg"
    write_image(path, random_images(1, (40, 40, 3))[0])
    path.write_bytes(path.read_bytes()[:-200])


def cut_off_webp(root):
    path = root / "train/cat/00.png"
    path.write_bytes(picture_kinds.WEBP_KINDS["WebP"][:-30])


def cut_off_cmyk(root):
    content = picture_kinds.JPEG_KINDS["CMYK"]
    (root / "train/cat/00.png").write_bytes(content[: len(content) // 2])


def no_picture(root):
    (root / "train/cat/notes.txt").write_bytes(b"x")


def folder_in_class(root):
    (root / "train/cat/more").mkdir()


def empty_class(root):
    (root / "train/ant").mkdir()


def empty_test_class(root):
    for path in (root / "test/cat").iterdir():
        path.unlink()


def unknown_test_class(root):
    write_image(root / "test/zebra/0.png", random_images(1, (8, 6, 3))[0])


def missing_test_class(root):
    (root / "test/cat").rename(root / "test/.cat")


def one_class(root):
    for name in ("cat", "dog"):
        (root / "train" / name).rename(root / "train" / f".{name}")


def no_test_folder(root):
    (root / "test").rename(root / "other")


def no_train_folder(root):
    (root / "train").rename(root / "other")


def two_validation_folders(root):
    for name in ("val", "valid"):
        write_set(root / name, 1)


def folder_beside_the_parts(root):
    write_set(root / "more", 1)


def picture_beside_the_classes(root):
    write_image(root / "train/x.png", random_images(1, (8, 6, 3))[0])


def picture_beside_the_parts(root):
    write_image(root / "x.png", random_images(1, (8, 6, 3))[0])


def class_behind_a_dead_link(root):
    (root / "train/emu").symlink_to(root / "unplugged")


def part_behind_a_dead_link(root):
    (root / "val").symlink_to(root / "unplugged")


def picture_behind_a_dead_link(root):
    (root / "train/cat/x.png").symlink_to(root / "unplugged.png")


def capital_part(root):
    (root / "train").rename(root / "Train")


def parts_of_other_names(root):
    (root / "train").rename(root / "Training")
    (root / "test").rename(root / "Testing")


def another_train(root):
    write_set(root / "Training", 1)


def one_picture_to_split(root):
    for name in ("train", "test"):
        (root / name).rename(root / f".{name}")
    write_set(root, 3)
    for path in sorted((root / "cat").iterdir())[1:]:
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "name", "message"),
    [
        (empty_file, "train/cat/00.png", "is empty"),
        (text_file, "train/cat/00.png", "is neither a JPEG nor a PNG"),
        (cut_off_png, "train/cat/00.png", "is broken or cut off"),
        (cut_off_jpeg, "test/dog/00.jpg", "is broken or cut off"),
        (cut_off_webp, "train/cat/00.png", "is broken or cut off"),
        (cut_off_cmyk, "train/cat/00.png", "is broken or cut off"),
        (no_picture, "train/cat/notes.txt", "is not a picture"),
        (folder_in_class, "train/cat/more", "is a folder: move its pictures into"),
        (empty_class, "train/ant", "has no picture"),
        (empty_test_class, "test/cat", "has no picture"),
        (unknown_test_class, "test/zebra", "is a class that"),
        (missing_test_class, "test/cat", "does not exist"),
        (one_class, "train", "has one class folder, bird: expected at least"),
        (no_test_folder, "", "but no test or val beside it"),
        (no_train_folder, "", "but no train"),
        (two_validation_folders, "", "has test and val and valid: keep one"),
        (folder_beside_the_parts, "more", "lies beside test, train, and is no part"),
        (picture_beside_the_classes, "train/x.png", "lies beside the class folders"),
        (picture_beside_the_parts, "x.png", "lies beside test, train, and is of no"),
        (class_behind_a_dead_link, "train/emu", "unplugged, which is not there: mend"),
        (part_behind_a_dead_link, "val", "unplugged, which is not there: mend the"),
        (picture_behind_a_dead_link, "train/cat/x.png", "which is not there: mend the"),
        (
            capital_part,
            "Train",
            "train, test, val, valid, validation): rename it to tr",
        ),
        (
            parts_of_other_names,
            "Testing",
            "holds folders, as a part of a set does, and",
        ),
        (another_train, "Training", "lies beside test, train, and is no part of the"),
        (one_picture_to_split, "cat", "has one picture, expected at least two"),
    ],
)
def test_what_is_wrong_is_named(pictures, damage, name, message):
    damage(pictures)
    with pytest.raises(ValueError) as error:
        load(CONFIG, pictures)
    assert str(error.value).startswith(str(pictures / name))
    assert message in str(error.value)


def test_a_folder_must_be_given(tmp_path):
    with pytest.raises(ValueError, match="^--data_dir is missing, expected the folder"):
        load(CONFIG)
    with pytest.raises(ValueError, match=f"^{tmp_path} has no class folders: expected"):
        load(CONFIG, tmp_path)
    with pytest.raises(ValueError, match="missing is not a folder"):
        load(CONFIG, tmp_path / "missing")


def test_classes_may_be_called_like_parts_of_others(tmp_path):
    write_set(tmp_path)
    (tmp_path / "cat").rename(tmp_path / "Training")
    assert load(CONFIG, tmp_path).class_names == ("Training", "bird", "dog")


@pytest.mark.parametrize("kept", [(0, 8), (60, 30)])
def test_a_broken_picture_is_named_where_all_are_read_at_once(
    pictures, monkeypatch, kept
):
    """Without a look at each before: files too many for that, images few enough."""
    monkeypatch.setattr(folder_source, "FULL_CHECK_BYTES", 0)
    path = pictures / "train/dog/00.png"
    content = path.read_bytes()
    start, end = (content[: kept[0]] or content[:8]), content[-kept[1] :]
    path.write_bytes(start + bytes(len(content) - len(start) - len(end)) + end)
    with pytest.raises(ValueError, match=f"^{path} is broken or cut off: replace or"):
        load(CONFIG, pictures)


def test_a_picture_that_breaks_later_can_be_found(pictures, monkeypatch):
    """Sets too large for a full check show broken pictures only in mid-epoch."""
    monkeypatch.setattr(folder_source, "FULL_CHECK_BYTES", 0)
    write_image(pictures / "train/cat/x.jpg", random_images(1, (40, 40, 3))[0])
    path = pictures / "train/dog/00.png"
    content = path.read_bytes()
    # Both ends are whole, so that only decoding shows it.
    path.write_bytes(content[:60] + bytes(len(content) - 90) + content[-30:])
    monkeypatch.setattr(arrays, "MEMORY_BYTES", 0)
    dataset = load(CONFIG, pictures)
    with pytest.raises(tf.errors.InvalidArgumentError):
        read_all(dataset.train(27, Augmentation(), 0, 0, 1))
    assert dataset.find_broken_image().startswith(f"{path} is broken or cut off")
