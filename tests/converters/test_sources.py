"""What can be converted, with the card and the images that come with it."""

import dataclasses
import functools
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from larq_zoo_weights import IMAGE_SHAPE, read_fixture, write_file
from PIL import Image
from small_flatbuffers import refusal

from r2b_keras import data, models, recipes
from r2b_keras.board import pictures
from r2b_keras.converters import sources
from r2b_keras.environment import lq, tf
from r2b_keras.models import PictureConv2D, build_network, larq_zoo
from r2b_keras.trainers.workdir import Workdir

layers = tf.keras.layers
DIGITS = recipes.get("digits").data
GREY = {"mean": (0.25,), "std": (0.5,), "framing": "whole"}


@pytest.fixture(scope="module")
def dataset():
    return data.load(DIGITS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three pictures at two depths, and files that are none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "b").mkdir()
    generator = np.random.default_rng(1)
    for name in ("b/2.PNG", "1.png", "b/3.jpeg"):
        pixels = generator.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "._1.png").write_bytes(b"what a file system leaves beside a picture")
    return folder


def save(tmp_path, model):
    path = tmp_path / "model.keras"
    model.save(path)
    return str(path)


def classifier(shape=(8, 8, 1), num_classes=10):
    image = tf.keras.Input(shape)
    x = layers.GlobalAveragePooling2D()(image)
    return tf.keras.Model(image, layers.Dense(num_classes)(x), name="mine")


def test_a_stage_of_a_workdir(finished, dataset):
    source = sources.from_workdir(finished[0])
    card = source.card
    assert (card.recipe, card.stage, card.framing) == ("digits", 3, "whole")
    assert card.class_names == tuple("0123456789")
    assert (card.image_shape, card.mean, card.std) == ((8, 8, 1), (0.305,), (0.376,))
    assert card.accuracy == Workdir(finished[0]).result(3).top1
    network = Workdir(finished[0]).recipe().stages[3].student
    assert card.network == dataclasses.asdict(network)
    assert card.network["binarization"] == "binary" and card.network["width"] == 8
    assert set(card.versions) == {
        *("r2b_keras", "larq-compute-engine", "larq", "tensorflow"),
    }
    assert card.versions["tensorflow"] == tf.__version__
    (expected,) = dataset.validation(144).as_numpy_iterator()
    np.testing.assert_array_equal(source.images, expected[0])
    np.testing.assert_array_equal(source.labels, expected[1].argmax(axis=1))
    test = dataset.test(359)
    accuracy = np.mean(
        [
            np.argmax(source.model.predict_on_batch(x), 1) == np.argmax(labels, 1)
            for x, labels in test.as_numpy_iterator()
        ]
    )
    assert accuracy == card.accuracy


def test_another_stage_and_fewer_images(finished, dataset):
    source = sources.from_workdir(finished[0], stage=1, limit=100)
    assert source.card.stage == 1 and source.card.network["binarization"] == "soft"
    assert len(source.images) == 100


def test_a_workdir_with_pictures_of_ones_own(finished, folder):
    source = sources.from_workdir(finished[0], verify_images=str(folder))
    expected = [
        pictures.load(folder / name, source.card)
        for name in ("1.png", "b/2.PNG", "b/3.jpeg")
    ]
    np.testing.assert_array_equal(source.images, expected)
    assert source.labels is None
    assert source.images.shape == (3, 8, 8, 1) and source.images.dtype == np.float32
    source = sources.from_workdir(finished[0], verify_images=str(folder), limit=2)
    assert len(source.images) == 2


def test_folders_of_pictures_may_be_links(finished, folder, tmp_path):
    """As those that are trained on; one that leads up is no second one."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("1.png", "b"):
        (linked / name).symlink_to(folder / name)
    (linked / "up").symlink_to(linked)
    (linked / "album.jpg").mkdir()
    source = sources.from_workdir(finished[0], verify_images=str(linked))
    assert source.images.shape == (3, 8, 8, 1)


@pytest.mark.parametrize("name", ["1.png", "nowhere"])
def test_what_is_no_folder_of_pictures_is_told(finished, folder, name):
    load = functools.partial(sources.from_workdir, finished[0])
    message = refusal(load, verify_images=str(folder / name))
    assert f"{name} is no folder, expected one with" in message


def assert_balanced(found, images, labels):
    """Some images of a part, each once and of each class its share."""
    assert len(np.unique(found, axis=0)) == len(found)
    numbers = [np.flatnonzero((images == x).all(axis=(1, 2, 3)))[0] for x in found]
    counts = np.bincount(labels[numbers].argmax(axis=1), minlength=labels.shape[1])
    expected = labels.sum(axis=0) * len(found) / len(images)
    assert np.abs(counts - expected).max() <= 1


def test_a_recipe_without_a_validation_part(dataset):
    config = dataclasses.replace(DIGITS, validation_size=0)
    card = sources._card(recipes.get("digits"), dataset)
    found, labels = sources._images(card, data.load(config), None, 300)
    (expected,) = dataset.test(359).as_numpy_iterator()
    assert_balanced(found, *expected)
    for image, label in zip(found, labels, strict=True):
        assert expected[1][(expected[0] == image).all(axis=(1, 2, 3)), label].all()


def test_stages_that_are_not_there(finished, tmp_path):
    assert "--stage=4 is out of range" in refusal(sources.from_workdir, finished[0], 4)
    assert "holds no recipe.json" in refusal(sources.from_workdir, tmp_path)
    assert "No stage is complete" in refusal(
        sources.from_workdir, untrained(finished[0], tmp_path)
    )


def untrained(workdir, tmp_path):
    (tmp_path / "recipe.json").write_bytes((workdir / "recipe.json").read_bytes())
    return tmp_path


def test_a_file_with_a_recipe(dataset, tmp_path):
    source = sources.from_file(save(tmp_path, classifier()), "digits", limit=7)
    card = source.card
    assert (card.recipe, card.stage, card.accuracy) == ("digits", None, None)
    assert (card.network, card.class_names) == (None, dataset.class_names)
    (expected,) = dataset.validation(144).as_numpy_iterator()
    assert_balanced(source.images, *expected)
    assert "'no'" in refusal(sources.from_file, save(tmp_path, classifier()), "no")


def test_a_file_of_anything_else(tmp_path, folder):
    path = save(tmp_path, classifier((12, 16, 3), 2))
    given = {"mean": (0.5, 0.4, 0.3), "std": (0.25, 0.5, 0.2), "framing": "whole"}
    source = sources.from_file(path, given=given, verify_images=str(folder))
    card = source.card
    assert (card.image_shape, card.framing, card.recipe) == ((12, 16, 3), "whole", None)
    assert card.class_names == ("class 0", "class 1")
    assert (card.mean, card.std) == (given["mean"], given["std"])
    expected = pictures.load(folder / "1.png", card)
    np.testing.assert_array_equal(source.images[0], expected)
    names = {"class_names": ("cat", "dog"), "framing": "center"}
    source = sources.from_file(path, given=given | names, verify_images=str(folder))
    assert source.card.class_names == ("cat", "dog")
    assert source.card.framing == "center"
    assert not np.array_equal(source.images[0], expected)


def test_layers_of_larq_are_known(tmp_path, folder):
    image = tf.keras.Input((8, 8, 1))
    x = lq.layers.QuantConv2D(4, 3, kernel_quantizer="ste_sign")(image)
    x = layers.Dense(2)(layers.Flatten()(x))
    path = save(tmp_path, tf.keras.Model(image, x))
    source = sources.from_file(path, given=GREY, verify_images=str(folder))
    assert isinstance(source.model.layers[1], lq.layers.QuantConv2D)


def test_what_a_foreign_file_leaves_open_is_asked_for(tmp_path, folder):
    path = save(tmp_path, classifier())
    message = refusal(sources.from_file, path)
    missing = "--mean and --std and --framing (whole or center), or the --recipe"
    assert path in message and f"give {missing}" in message
    for name in GREY:
        given = {key: value for key, value in GREY.items() if key != name}
        message = refusal(sources.from_file, path, given=given)
        assert f"give --{name}" in message and ", or the --recipe" in message
    message = refusal(sources.from_file, path, given=GREY)
    assert "folder of real JPEG, PNG or WebP pictures, --verify_images=DIR" in message


def test_a_network_with_its_normalisation_in_it_is_not_asked_for_it(tmp_path, folder):
    image = tf.keras.Input((8, 8, 1))
    x = PictureConv2D(3, 3, (0.25,), (0.5,))(image)
    model = tf.keras.Model(image, tf.keras.layers.Dense(3)(layers.Flatten()(x)))
    path = save(tmp_path, model)
    message = refusal(sources.from_file, path)
    assert "give --framing (whole or center), or" in message
    given = {"framing": "center"}
    card = sources.from_file(path, given=given, verify_images=str(folder)).card
    assert (card.mean, card.std) == ((0.25,), (0.5,))


def test_what_is_given_must_fit(tmp_path, folder):
    load = functools.partial(sources.from_file, verify_images=str(folder))
    path = save(tmp_path, classifier())
    message = refusal(load, path, given=GREY | {"class_names": ("a", "b")})
    assert (
        "goes from (8, 8, 1) to (10,), and the data from (8, 8, 1) to (2,)" in message
    )
    message = refusal(load, path, given=GREY | {"mean": (0.5, 0.5), "std": (1, 1)})
    assert "expected one number for each of the 1 channels" in message
    message = refusal(load, path, given=GREY | {"std": (-1,)})
    assert "expected positive numbers" in message
    path = save(tmp_path, classifier((9, 8, 1)))
    message = refusal(load, path, "digits")
    assert "goes from (9, 8, 1) to (10,), and the data from (8, 8, 1)" in message


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
def test_networks_of_other_shapes(tmp_path):
    image, other = tf.keras.Input((8, 8, 1)), tf.keras.Input((8, 8, 1))
    flat = layers.Flatten()
    sums = layers.add([flat(image), flat(other)])
    for model, words in (
        (tf.keras.Model([image, other], sums), "expected one input"),
        (tf.keras.Model(image, [flat(image), image]), "expected one input"),
        (tf.keras.Model(image, image), "outputs (None, 8, 8, 1), expected one input"),
        (classifier((None, None, 3)), "names height and width"),
        (tf.keras.Sequential([flat]), "has inputs None and outputs None"),
    ):
        path = save(tmp_path, model)
        assert words in refusal(sources.from_file, path, given=GREY)


@tf.keras.utils.register_keras_serializable("tests")
class Code(tf.keras.Model):
    """A network that is code."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = tf.keras.layers.Dense(3)

    def call(self, images):
        return self.dense(tf.reduce_mean(images, [1, 2]))


def test_a_network_that_is_code_is_told_how_to_be_saved(tmp_path):
    model, path = Code(), tmp_path / "code.keras"
    model(np.zeros((1, 4, 4, 1), np.float32))
    model.save(path)
    message = refusal(sources.from_file, path, given=GREY)
    assert (
        "is code, without an input of its own: save `tf.keras.Model(image, " in message
    )


def test_files_that_are_no_network(tmp_path):
    path = tmp_path / "model.keras"
    assert f"There is no file {path}" in refusal(sources.from_file, str(path))
    for content in (b"", b"PK\3\4 and so on", b"\x89HDF\r\n\x1a\n"):
        path.write_bytes(content)
        message = refusal(sources.from_file, str(path))
        assert f"{path} is damaged or not a saved network" in message
    assert "is a folder, expected a file" in refusal(sources.from_file, str(tmp_path))


def test_pictures_that_cannot_be_used(tmp_path, folder):
    load = functools.partial(
        sources.from_file, save(tmp_path, classifier()), given=GREY
    )
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "notes.txt").touch()
    message = refusal(load, verify_images=str(empty))
    assert f"--verify_images={empty} holds no JPEG, PNG or WebP pictures" in message
    broken = empty / "broken.jpg"
    broken.write_bytes((folder / "b" / "3.jpeg").read_bytes()[:-200])
    message = refusal(load, verify_images=str(empty))
    assert message.startswith(f"{broken} is broken or cut off")


def test_pictures_of_every_class(tmp_path):
    """Ten times as many of one class as of the others, which comes first by name."""
    for name, count in (("apple", 20), ("bear", 2), ("cat/young", 2)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            value = len(name) * 20 + number
            Image.new("L", (8, 8), value).save(tmp_path / name / f"{number}.png")
    card = sources.ModelCard(("a", "b"), (8, 8, 1), (0.0,), (1.0,))

    def classes(limit):
        images = sources._pictures(card, str(tmp_path), limit)
        values = np.rint(images[:, 0, 0, 0] * 255).astype(int)
        assert len(set(values)) == len(values) == min(limit, 24)
        assert np.array_equal(images, sources._pictures(card, str(tmp_path), limit))
        # As many of each class as 20 values from its first one on.
        return [np.sum(values // 20 == first) for first in (5, 4, 9)]

    assert classes(12) == [10, 1, 1]
    assert classes(24) == classes(99) == [20, 2, 2]
    assert classes(6)[0] == 5


def test_a_stage_that_was_trained_with_16_bits(finished, dataset, tmp_path):
    workdir = shutil.copytree(finished[0], tmp_path / "run")
    path = workdir / "stage_3" / "model.keras"
    trained = models.load(path)
    network = Workdir(workdir).recipe().stages[3].student
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        mixed = build_network(network, (8, 8, 1), 10)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    mixed.set_weights(trained.get_weights())
    mixed.save(path)
    source = sources.from_workdir(workdir)
    images = source.images
    np.testing.assert_array_equal(source.model(images), trained(images))
    assert not np.array_equal(mixed(images), trained(images))


def test_larq_zoos_network(tmp_path, folder, monkeypatch):
    """At 64x64, as building it for pictures of 224x224 takes long."""
    small = functools.partial(larq_zoo.load_weights, input_shape=IMAGE_SHAPE)
    monkeypatch.setattr(larq_zoo, "load_weights", small)
    path = tmp_path / "r2b_weights.h5"
    write_file(path, read_fixture()["shapes"])
    source = sources.from_larq_zoo(str(path), verify_images=str(folder))
    card = source.card
    assert (card.recipe, card.stage, card.framing) == ("larq-zoo", None, "center")
    assert card.class_names[::999] == ("tench", "toilet tissue")
    assert (card.mean, card.std) == (larq_zoo.MEAN, larq_zoo.STD)
    assert card.network["name"] == "real_to_binary18"
    expected = pictures.load(folder / "1.png", card)
    np.testing.assert_array_equal(source.images[0], expected)
    assert source.images.shape == (3, *IMAGE_SHAPE)
    names = {"class_names": tuple(f"n{number:08}" for number in range(1000))}
    source = sources.from_larq_zoo(str(path), given=names, verify_images=str(folder))
    assert source.card.class_names == names["class_names"]
    message = refusal(sources.from_larq_zoo, str(path))
    assert "--verify_images=DIR" in message


def test_other_files_of_larq_zoo(tmp_path):
    path = tmp_path / "none.h5"
    assert f"There is no file {path}" in refusal(sources.from_larq_zoo, str(path))


def test_a_card_has_the_framing_of_the_recipe():
    """Digits are "whole", which is a card's default too."""
    recipe = sources.recipes.get("pictures")
    card = sources._card(recipe, SimpleNamespace(class_names=("dog", "cat")))
    assert card.class_names == ("dog", "cat")  # the order of the outputs
    assert card.framing == recipe.data.framing == "center"
    assert (card.mean, card.std) == (recipe.data.mean, recipe.data.std)
