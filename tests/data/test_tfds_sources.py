"""Sets of TensorFlow Datasets, prepared by the tests without any network."""

import re
import warnings

import numpy as np
import pytest
from image_samples import read_all

from r2b_keras.data import Augmentation, DataConfig, arrays, load
from r2b_keras.data.arrays import ArrayExamples
from r2b_keras.data.sources import idx
from r2b_keras.data.streams import StreamedExamples
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

NUM_TRAIN, NUM_TEST = 60, 10


def prepare(
    data_dir,
    set_name,
    splits,
    shape,
    label=None,
    files=None,
    more=None,
    keys=True,
    shuffled=True,
):
    """Prepares a set whose image k is filled with the value k.

    Args:
      data_dir: tfds's data folder.
      set_name: name of the set.
      splits: (first k, k after the last) by the name of the split.
      shape: of the images; None is 9.
      label: feature of the label, two classes when None.
      files: paths by k, for images taken from a file as they are.
      more: further features by name, each with the value of all examples.
      keys: whether the set says which features are the supervised ones.
      shuffled: whether tfds has shuffled it.
    """
    files = files or {}
    more_features = {key: feature for key, (feature, _) in (more or {}).items()}
    more_values = {key: value for key, (_, value) in (more or {}).items()}
    label = label or tfds.features.ClassLabel(names=["no", "yes"])
    image = tfds.features.Image(shape=shape, encoding_format="png")

    class TestSet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        """A set of the test."""

        name = set_name
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(
                    {"image": image, "label": label, **more_features}
                ),
                supervised_keys=("image", "label") if keys else None,
                disable_shuffling=not shuffled,
            )

        def _split_generators(self, dl_manager):
            return {
                split: self._generate_examples(*numbers)
                for split, numbers in splits.items()
            }

        def _generate_examples(self, start, stop, known=True):
            size = [side or 9 for side in shape]
            for k in range(start, stop):
                picture = files.get(k, np.full(size, k, np.uint8))
                label = k % 2 if known else -1
                yield k, {"image": picture, "label": label, **more_values}

    tfds.disable_progress_bar()
    config = tfds.download.DownloadConfig(num_shards=3)
    TestSet(data_dir=data_dir).download_and_prepare(download_config=config)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    train, test = (0, NUM_TRAIN), (NUM_TRAIN, NUM_TRAIN + NUM_TEST)
    # As ImageNet: images of any size, a test split without labels.
    unlabelled = {"train": train, "validation": test, "test": (200, 210, False)}
    prepare(folder, "any_size", unlabelled, (None, None, 3))
    prepare(folder, "fashion_mnist", {"train": train, "test": test}, (9, 9, 1))
    prepare(folder, "only_train", {"train": train}, (9, 9, 3))
    prepare(folder, "no_train", {"test": test}, (9, 9, 3))
    number = tfds.features.Scalar(np.int64)
    prepare(folder, "no_classes", {"train": train}, (9, 9, 3), number)
    return folder


def open_set(name, folder, shape=(9, 9, 3), held_out=6):
    channels = shape[2]
    mean, std = (0.0,) * channels, (1.0,) * channels
    config = DataConfig(name, shape, mean, std, held_out)
    return load(config, folder)


def numbers(images) -> list[int]:
    """Which images these are."""
    return np.round(images.mean((1, 2, 3)) * 255).astype(int).tolist()


def test_a_set_without_supervised_keys(tmp_path):
    """As tfds's `store_as_tfds_dataset` writes it: one image and one class label."""
    splits = {"train": (0, 20), "test": (20, 26)}
    file_name = {"file_name": (tfds.features.Text(), "a.png")}
    prepare(tmp_path, "plain", splits, (9, 9, 3), more=file_name, keys=False)
    dataset = open_set("tfds:plain", tmp_path)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (14, 6, 6)
    images, labels = read_all(dataset.test(6))
    assert sorted(numbers(images)) == list(range(20, 26))
    np.testing.assert_array_equal(labels.argmax(1), np.array(numbers(images)) % 2)
    colour = {"colour": (tfds.features.ClassLabel(names=["red", "blue"]), "red")}
    prepare(tmp_path, "two_labels", splits, (9, 9, 3), more=colour, keys=False)
    with pytest.raises(ValueError, match="no supervised features and one of each"):
        open_set("tfds:two_labels", tmp_path)


@pytest.mark.parametrize("name", ["tfds:fashion_mnist", "fashion_mnist"])
def test_sets_of_one_size_are_held_in_memory(prepared, name):
    dataset = open_set(name, prepared, (9, 9, 1))
    assert isinstance(dataset._train, ArrayExamples)
    assert dataset.class_names == ("no", "yes")
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (54, 6, 10)
    images, labels = read_all(dataset.test(4))
    assert sorted(numbers(images)) == list(range(60, 70))
    np.testing.assert_array_equal(labels.argmax(1), np.array(numbers(images)) % 2)


def test_without_test_split_a_fifth_is_held_out(prepared):
    dataset = open_set("tfds:only_train", prepared)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (42, 6, 12)
    parts = [dataset.train(42, Augmentation(), 0), dataset.validation(6)]
    found = [
        k for part in [*parts, dataset.test(6)] for k in numbers(read_all(part)[0])
    ]
    assert sorted(found) == list(range(60))


@pytest.mark.parametrize("shape", [(9, 9, 3), (None, None, 3)])
def test_a_validation_split_beside_test_is_the_validation_part(tmp_path, shape):
    splits = {"train": (0, 20), "test": (20, 26), "validation": (30, 34)}
    prepare(tmp_path, "three", splits, shape)
    dataset = open_set("tfds:three", tmp_path, held_out=0)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (20, 4, 6)
    images, labels = read_all(dataset.validation(3))
    assert sorted(numbers(images)) == [30, 31, 32, 33]
    np.testing.assert_array_equal(labels.argmax(1), np.array(numbers(images)) % 2)
    assert sorted(numbers(read_all(dataset.test(6))[0])) == list(range(20, 26))
    with pytest.raises(ValueError, match="of 4 images, and validation_size is 6: set"):
        open_set("tfds:three", tmp_path)


def test_labels_of_streamed_sets_are_looked_at(tmp_path, monkeypatch):
    three = tfds.features.ClassLabel(names=["no", "yes", "never"])
    splits = {"train": (0, 20), "test": (20, 26)}
    prepare(tmp_path, "lacking", splits, (None, None, 3), three)
    with pytest.raises(ValueError, match="training part .* the class 'never'"):
        open_set("tfds:lacking", tmp_path)
    prepare(tmp_path, "unlabelled", {"train": (0, 20, False)}, (None, None, 3))
    with pytest.raises(ValueError, match="unlabelled has images without a label"):
        open_set("tfds:unlabelled", tmp_path)
    monkeypatch.setattr("r2b_keras.data.streams.LABELS_BYTES", 0)
    assert open_set("tfds:lacking", tmp_path)._train.labels is None


@pytest.mark.parametrize("held_out", [0, 4])
def test_of_an_unshuffled_stream_nothing_is_held_out(tmp_path, held_out):
    """Its first images may be all of a class."""
    splits, shape = {"train": (0, 20), "test": (20, 26)}, (None, None, 3)
    prepare(tmp_path, "in_order", splits, shape, shuffled=False)
    if not held_out:
        assert open_set("tfds:in_order", tmp_path, held_out=0).num_train == 20
        return
    with pytest.raises(InputError, match="in_order/1.0.0 was prepared without shuff"):
        open_set("tfds:in_order", tmp_path, held_out=held_out)


@pytest.mark.parametrize("parts", [("train", "test"), ("train", "validation", "test")])
def test_of_an_unshuffled_stream_some_images_can_be_taken(tmp_path, parts):
    """Whatever their classes: a conversion is verified with them."""
    splits = {name: (20 * i, 20 * i + 20) for i, name in enumerate(parts)}
    prepare(tmp_path, "in_order", splits, (None, None, 3), shuffled=False)
    dataset = open_set("tfds:in_order", tmp_path, held_out=0)
    images, _ = read_all(dataset.sample(5, 2))
    assert numbers(images) == list(range(20, 25))


def test_images_of_any_size_stay_encoded(prepared):
    dataset = open_set("tfds:any_size", prepared)
    assert isinstance(dataset._train, StreamedExamples)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (54, 6, 10)
    validation = numbers(read_all(dataset.validation(4))[0])
    images, labels = read_all(dataset.train(9, Augmentation(), 1, 0, 3))
    epochs = np.array(numbers(images)).reshape(3, 54)
    for epoch in epochs:
        assert sorted([*epoch, *validation]) == list(range(60))
    assert (epochs[0] != epochs[1]).any() and (epochs[1] != epochs[2]).any()
    np.testing.assert_array_equal(labels.argmax(1), epochs.ravel() % 2)
    # The unlabelled split `test` is passed over.
    assert sorted(numbers(read_all(dataset.test(3))[0])) == list(range(60, 70))


@pytest.mark.parametrize("global_seed", [None, 7])
def test_streamed_epochs_resume_to_the_bit(prepared, global_seed, monkeypatch):
    dataset = open_set("tfds:any_size", prepared)
    monkeypatch.setattr("r2b_keras.data.streams.CHUNK_BYTES", 1000)
    augmentation = Augmentation(random_resized_crop=True, flip=True, mixup_alpha=0.3)
    images, labels = read_all(dataset.train(8, augmentation, 3, 0, 3))
    if global_seed is not None:
        tf.random.set_seed(global_seed)
    again, again_labels = read_all(dataset.train(8, augmentation, 3, 2, 3))
    np.testing.assert_array_equal(images[96:], again)
    np.testing.assert_array_equal(labels[96:], again_labels)
    others, _ = read_all(dataset.train(8, augmentation, 4, 2, 3))
    assert np.mean(others == again) < 0.5


def test_the_order_of_chunks_changes_with_the_epoch_and_the_seed(prepared, monkeypatch):
    """Here a chunk is one image: only files that change places change the order."""
    monkeypatch.setattr("r2b_keras.data.streams.CHUNK_BYTES", 1)
    dataset = open_set("tfds:any_size", prepared)
    orders = set()
    for seed in range(2):
        images, _ = read_all(dataset.train(1, Augmentation(), seed, 0, 3))
        known = numbers(images)
        size = len(known) // 3
        epochs = [tuple(known[size * k : size * (k + 1)]) for k in range(3)]
        assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs)
        orders.update(epochs)
    # Three files have six orders.
    assert 3 <= len(orders) <= 6


def test_examples_of_a_chunk_change_places(tmp_path):
    prepare(tmp_path, "any", {"train": (0, 60), "test": (60, 70)}, (None, None, 3))
    images, _ = read_all(
        open_set("tfds:any", tmp_path).train(9, Augmentation(), 0, 0, 8)
    )
    epochs = np.array(numbers(images)).reshape(8, 54)
    assert len({epoch.tobytes() for epoch in epochs}) == 8  # three files: six orders


def test_fingerprints(prepared):
    found = set()
    for name in ("tfds:any_size", "tfds:only_train", "tfds:fashion_mnist"):
        shape = (9, 9, 1) if name == "tfds:fashion_mnist" else (9, 9, 3)
        fingerprint = open_set(name, prepared, shape).fingerprint
        assert fingerprint == open_set(name, prepared, shape).fingerprint
        found.add(fingerprint)
    assert len(found) == 3


def test_a_streamed_set_of_other_pictures_has_another_fingerprint(tmp_path):
    """As many under the same name, one of them larger."""
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), np.uint8)
    path.write_bytes(tf.io.encode_png(noise).numpy())
    found = set()
    for number, files in enumerate(({}, {20: str(path)})):
        folder, splits = tmp_path / str(number), {"train": (0, 20), "test": (20, 24)}
        prepare(folder, "same", splits, (None, None, 3), files=files)
        found.add(open_set("tfds:same", folder).fingerprint)
    assert len(found) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:cifar10", "The set cifar10 of TensorFlow Datasets is not prepared in"),
        ("tfds:any_size:9.0.0", "is not prepared in"),
        ("tfds:no_train", "no split train"),
        ("tfds:any_size@1", "such as cifar10 or mnist:3.0.1"),
        ("tfds:foo bar", "such as cifar10 or mnist:3.0.1"),
        ("tfds:no_classes", "choose a set for image classification"),
    ],
)
def test_what_is_missing_is_said(prepared, name, message):
    with pytest.raises(ValueError) as error:
        open_set(name, prepared)
    assert message in str(error.value)
    if "not prepared" in message:
        assert str(prepared) in str(error.value)
        assert "tfds.load(" in str(error.value)


@pytest.mark.parametrize("content", ["", "{}", '{"name": '])
def test_damaged_information_of_a_set(tmp_path, content):
    prepare(tmp_path, "small", {"train": (0, 9), "test": (9, 12)}, (9, 9, 3))
    (path,) = tmp_path.rglob("dataset_info.json")
    path.write_text(content)
    with pytest.raises(InputError, match="The set small .* cannot be read"):
        open_set("tfds:small", tmp_path)


def test_fashion_mnist_prefers_the_prepared_copy(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    monkeypatch.setattr(idx, "DEBIAN_FOLDER", "/nowhere")
    assert open_set("fashion_mnist", None, (9, 9, 1)).num_train == 54


def test_broken_images_are_found(tmp_path):
    """An image that cannot be decoded is named by its number in the split."""
    path = tmp_path / "cut_off.png"
    path.write_bytes(tf.io.encode_png(np.zeros((9, 9, 3), np.uint8)).numpy()[:-20])
    splits = {"train": (0, 20), "test": (100, 104)}
    prepare(tmp_path, "whole", splits, (None, None, 3))
    assert open_set("tfds:whole", tmp_path).find_broken_image() is None
    nothing_held_out = open_set("tfds:whole", tmp_path, held_out=0)
    nothing_held_out.require_sound_evaluation()
    assert nothing_held_out.find_broken_image() is None
    prepare(tmp_path, "broken", splits, (None, None, 3), files={102: str(path)})
    dataset = open_set("tfds:broken", tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError):
        read_all(dataset.test(4))
    found = re.fullmatch(
        r"image (\d) of broken/1.0.0, split test is broken or cut off",
        dataset.find_broken_image(),
    )
    others = dataset._test.ordered_batches(1).take(int(found[1]))
    assert len(list(others)) == int(found[1])


def test_damaged_files_are_named(tmp_path):
    prepare(tmp_path, "damaged", {"train": (0, 20), "test": (0, 4)}, (9, 9, 3))
    record = sorted(tmp_path.glob("damaged/1.0.0/*train*tfrecord*"))[1]
    record.write_bytes(record.read_bytes()[:-7])
    with pytest.raises(ValueError, match="tfds:damaged cannot be read from"):
        open_set("tfds:damaged", tmp_path)


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
@pytest.mark.parametrize("shape", [(9, 9, 3), (None, None, 3)])
@pytest.mark.parametrize("split", ["train", "test"])
def test_a_copy_that_lacks_files_is_named(tmp_path, content, shape, split):
    """In memory and streamed; labels are read first of the parts held out."""
    prepare(tmp_path, "partial", {"train": (0, 20), "test": (0, 4)}, shape)
    for record in tmp_path.glob(f"partial/1.0.0/*{split}*tfrecord*"):
        record.unlink()
        if content is not None:
            record.write_bytes(content)
    with pytest.raises(InputError, match="tfds:partial cannot be read from .* again"):
        open_set("tfds:partial", tmp_path)


def test_the_limit_for_memory(prepared, monkeypatch):
    monkeypatch.setattr(arrays, "MEMORY_BYTES", 60 * 243)
    assert isinstance(open_set("tfds:only_train", prepared)._train, ArrayExamples)
    monkeypatch.setattr(arrays, "MEMORY_BYTES", 60 * 243 - 1)
    dataset = open_set("tfds:only_train", prepared)
    assert isinstance(dataset._train, StreamedExamples)
    assert (dataset.num_train, dataset.num_validation, dataset.num_test) == (42, 6, 12)
    parts = [dataset.train(42, Augmentation(), 0), dataset.validation(6)]
    found = [
        k for part in [*parts, dataset.test(6)] for k in numbers(read_all(part)[0])
    ]
    assert sorted(found) == list(range(60))
