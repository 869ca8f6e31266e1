"""Pictures of every kind into networks that take pixels, and into those of float32."""

import io

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import pictures
from r2b_keras.converters import convert, engines
from r2b_keras.converters.card import ModelCard, attach
from r2b_keras.environment import tf
from r2b_keras.models import PictureConv2D
from r2b_keras.normalisation import Normalisation
from r2b_runtime import InputError, Interpreter, refusals
from r2b_runtime.__main__ import main
from r2b_runtime.board import pictures as runtime_pictures
from tests.converters.small_flatbuffers import refusal
from tests.runtime.graph_files import GraphFile

layers = tf.keras.layers
SHAPE = (12, 10, 3)
NORMALISATION = Normalisation((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


def card(input_type, framing="center"):
    return ModelCard(
        class_names=("a", "b", "c"),
        image_shape=SHAPE,
        mean=NORMALISATION.mean,
        std=NORMALISATION.std,
        framing=framing,
        input_type=input_type,
    )


@pytest.fixture(scope="module")
def files():
    """A network that takes pixels by its first layer, and one by its file."""
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input(SHAPE)
    x = PictureConv2D(4, 3, NORMALISATION.mean, NORMALISATION.std)(image)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    whole = tf.keras.Model(image, layers.Dense(3)(x))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(image))
    real = tf.keras.Model(image, layers.Dense(3)(x))
    return {
        "integer": attach(convert(whole), card("uint8")),
        "pixels": attach(convert(real, normalisation=NORMALISATION), card("uint8")),
        "float": attach(convert(real), card("float32")),
    }


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("kind", ["integer", "pixels", "float"])
def test_pictures_of_every_kind(files, kind, tmp_path):
    interpreter = Interpreter(files[kind])
    assert interpreter.input_type == ("float32" if kind == "float" else "uint8")
    camera = pixels(3, *SHAPE)
    given = camera
    if kind == "float":
        given = pictures.normalize(camera, NORMALISATION)
    expected = engines.load(files[kind], "litert").predict(given)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    for images in (camera, list(camera), tuple(camera), camera[:, ::-1][:, ::-1]):
        np.testing.assert_allclose(interpreter.predict(images), expected, atol=1e-5)
    np.testing.assert_allclose(interpreter.predict(camera[1]), expected[1:2], atol=1e-5)
    # Other sizes are framed as files are, by whatever way they come.
    large = pixels(50, 64, 3, seed=1)
    path = tmp_path / "picture.png"
    Image.fromarray(large).save(path)
    of_file = interpreter.predict(pictures.load(path, interpreter.card)[None])
    assert np.abs(of_file - expected).max() > 1e-3
    opened = Image.open(path)
    for picture in (large, path, str(path), opened, [path], [large], large[None]):
        np.testing.assert_array_equal(interpreter.predict(picture), of_file)
    mixed = interpreter.predict([camera[0], path, Image.fromarray(large)])
    np.testing.assert_array_equal(mixed[1], mixed[2])
    np.testing.assert_allclose(mixed[:2], [expected[0], of_file[0]], atol=1e-5)
    assert interpreter.predict(camera[:0]).shape == (0, 3)


class Tensor:
    """As TensorFlow's and PyTorch's: it becomes an array."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return self.values


@pytest.mark.parametrize("kind", ["pixels", "float"])
def test_one_picture_that_is_no_array_of_numpys_is_one(files, kind):
    """Not as many grey pictures as it has rows; those in a list are several."""
    interpreter, picture = Interpreter(files[kind]), pixels(50, 64, 3, seed=1)
    expected = interpreter.predict(picture)
    for given in (Tensor(picture), memoryview(picture)):
        np.testing.assert_array_equal(interpreter.predict(given), expected)
        found = interpreter.predict([given, given])
        np.testing.assert_array_equal(found, np.repeat(expected, 2, axis=0))


def test_pictures_are_prepared_a_batch_at_a_time(files, monkeypatch):
    """All of them at once may be more than a board's memory."""
    interpreter, done = Interpreter(files["integer"], batch_size=2), []
    prepare, run = runtime_pictures.prepare, interpreter.run
    monkeypatch.setattr(
        runtime_pictures, "prepare", lambda *x: (done.append("prepare"), prepare(*x))[1]
    )
    monkeypatch.setattr(interpreter, "run", lambda: (done.append("run"), run()))
    large = [pixels(20, 30, 3, seed=seed) for seed in range(5)]
    scores = interpreter.predict(large)
    assert done == ["prepare", "prepare", "run"] * 2 + ["prepare", "run"]
    alone = [interpreter.predict(each)[0] for each in large]
    np.testing.assert_array_equal(scores, alone)
    np.testing.assert_array_equal(interpreter.predict(np.stack(large)), alone)


def test_a_photograph_is_turned_as_files_are(files, tmp_path):
    """Pillow's image still says how it is to be turned."""
    interpreter = Interpreter(files["integer"])
    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(30, 40, 3)).save(path, exif=exif)
    of_file = interpreter.predict(path)
    np.testing.assert_array_equal(interpreter.predict(Image.open(path)), of_file)
    stored = interpreter.predict(np.asarray(Image.open(path)))
    assert np.abs(stored - of_file).max() > 1e-4


def test_grey_pictures(files):
    interpreter = Interpreter(files["integer"])
    grey = pixels(*SHAPE[:2])
    expected = interpreter.predict(np.stack([grey] * 3, axis=-1))
    for picture in (grey, grey[..., None], Image.fromarray(grey)):
        if isinstance(picture, Image.Image):
            framed = pictures.frame(grey[..., None].repeat(3, -1), SHAPE[:2], "center")
            expected = interpreter.predict(framed)
        np.testing.assert_array_equal(interpreter.predict(picture), expected)


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((2, *SHAPE), np.float32), "are of float32, the network takes pixels"),
        (np.zeros((2, *SHAPE), int), "are of int64, the network takes pixels, uint8"),
        (np.zeros((2, 9, 9, 4), np.uint8), r"is uint8 of the shape \(9, 9, 4\), expec"),
        (np.zeros((0, 9, 3), np.uint8), r"of the shape \(0, 9, 3\), expected uint8"),
        ("missing.png", "There is no picture missing.png"),
        ([np.zeros(3), np.zeros(4)], "are of several shapes, the network takes"),
        (b"\xff\xd8\xff", "are of the type bytes, expected paths, Pillow's images or"),
        (None, "are of the type NoneType, expected paths"),
        ([None, None], "are of the type NoneType, expected paths"),
        (io.BytesIO(b"\xff\xd8\xff"), "are of the type BytesIO, expected paths"),
        (iter([]), "are of the type list_iterator, expected paths"),
        ("", "A picture's name is '', expected that of a file"),
        ("a\0b.png", "A picture's name is 'a.x00b.png', expected that of a file"),
    ],
)
def test_refused(files, images, sentence):
    with pytest.raises(InputError, match=sentence):
        Interpreter(files["integer"]).predict(images)


def test_of_no_picture_there_are_no_scores(files):
    interpreter = Interpreter(files["integer"])
    for none in ([], (), np.zeros((0, *SHAPE), np.uint8)):
        assert interpreter.predict(none).shape == (0, *interpreter.output_shape[1:])


def test_without_a_card(files):
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input(SHAPE)
    x = layers.Flatten()(PictureConv2D(1, 3, (0.4,) * 3, (0.2,) * 3)(image))
    interpreter = Interpreter(convert(tf.keras.Model(image, x)), batch_size=2)
    assert interpreter.predict(pixels(3, *SHAPE)).shape == (3, 80)
    with pytest.raises(
        InputError, match=r"no model card .* \('N', 12, 10, 3\) of uint8"
    ):
        interpreter.predict("picture.png")


def test_the_commands(files, tmp_path, capsys):
    model, picture = tmp_path / "model.tflite", tmp_path / "picture.png"
    Image.fromarray(pixels(30, 40, 3)).save(picture)
    model.write_bytes(files["integer"])
    assert main(["classify", str(model), str(picture)]) == 0
    assert "%  a" in capsys.readouterr().out
    assert main(["benchmark", str(model), "--runs=2"]) == 0
    wrong = attach(files["integer"], card("float32"))
    model.write_bytes(wrong)
    assert main(["classify", str(model), str(picture)]) == 1
    assert "takes images of uint8, and its model card says float32" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize("shape", [(64,), (8, 8), (8, 8, 1)])
def test_what_a_network_takes_is_no_picture(shape):
    """Without a card too, in an array and in a list; sums of integers are exact."""
    file, full = GraphFile(), (1, *shape)
    weights = np.random.default_rng(0).integers(-9, 10, (3, 64))
    image = file.input("uint8", full)
    x = file.builtin("CAST", [image], file.tensor("float", full))
    given = [x, file.constant("float", weights), -1]
    scores = file.builtin("FULLY_CONNECTED", given, file.tensor("float", (1, 3)))
    interpreter = Interpreter(file.content(scores))
    images = pixels(5, *shape)
    expected = images.reshape(5, 64) @ weights.T
    for given in (images, list(images), tuple(images)):
        np.testing.assert_array_equal(interpreter.predict(given), expected)
    for other in (images[0], pixels(5, 9, 9, 3), [*images, pixels(9, 9, 3)]):
        assert "has no model card that tells how" in refusal(interpreter.predict, other)


@pytest.mark.parametrize(
    ("value", "fits"), [(6.9, True), (7.1, False), (-6.9, True), (-7.1, False)]
)
def test_three_ranges_to_either_side_of_what_pictures_become(value, fits):
    images = np.float32([[0.0, value]])
    if fits:
        refusals.check_range(images, -1.0, 1.0)
    else:
        assert f"{value:g}" in refusal(refusals.check_range, images, -1.0, 1.0)
