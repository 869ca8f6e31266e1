"""The command that names pictures, as a user meets it, against Keras."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from r2b_keras import predict
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import convert, engines
from r2b_keras.converters.card import attach
from r2b_keras.data import decoding
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from tests.commands import assert_one_sentence, refusal, run
from tests.converters.small_flatbuffers import binary, dense
from tests.data.picture_kinds import turned_by_half
from tests.networks import build_model
from tests.test_environment import HIDE_MODULE, run_python

LABELS = ("apple", "bear", "chair", "dolphin", "elephant", "flower", "grüne Gurke")
SHAPE, MEAN, STD = (28, 28, 3), (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)
NUM_PICTURES = 4
# Of a network of one matrix product, which takes 64 pixels in a row.
CARD = ModelCard(LABELS, (1, 64, 1), (0.5,), (0.25,), "center")


@pytest.fixture(scope="session")
def paths(tmp_path_factory):
    """Four pictures of other sizes than the networks'."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(8)
    for number in range(NUM_PICTURES):
        coarse = generator.integers(0, 256, (5, 4, 3), np.uint8)
        size = (40 + 30 * number, 90 - 10 * number)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
    return [str(folder / f"{number}.png") for number in range(NUM_PICTURES)]


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(attach(dense(64, len(LABELS)), CARD))
    return path


@pytest.fixture
def flags(tmp_path):
    """What a network without a card needs: each of its fields, by name."""
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    return {
        "labels": f"--labels={labels}",
        "mean": "--mean=0.5",
        "std": "--std=0.25",
        "framing": "--framing=center",
    }


def refused(*arguments):
    return refusal("predict", *arguments)


def guesses(*arguments):
    """What it prints as JSON, by path."""
    result = run("predict", *arguments, "--json")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout)


def network_input(path, framing):
    """[H, W, C]: training's preprocessing."""
    image = decoding.decode_framed(Path(path).read_bytes(), SHAPE, framing).numpy()
    return ((image / 255 - MEAN) / STD).astype(np.float32)


def keras_model(name, binarization, images):
    """A network that gives every picture another answer, untrained as it is.

    Larq's engine is wrong on maps smaller than its filters, which two more groups of
    blocks would come down to.
    """
    tf.keras.utils.set_random_seed(5)
    options = {"width": 8, "blocks": (1, 1), "stem": "small"}
    model = build_model(name, binarization, SHAPE, len(LABELS), **options)
    logits = model.get_layer("logits")
    scores = model(images, training=False).numpy() - logits.bias.numpy()
    # Logits of mean 0 and standard deviation 1.5 over the pictures.
    scale = 1.5 / scores.std(axis=0)
    logits.kernel.assign(logits.kernel * scale)
    logits.bias.assign(-scores.mean(axis=0) * scale)
    return model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "binarization", "framing", "has_card"),
    [
        ("resnet18", "real", "center", True),
        ("resnet18", "real", "whole", False),
        ("real_to_binary18", "binary", "center", True),
    ],
)
def test_pictures_get_the_labels_that_keras_gives_them(
    tmp_path, paths, flags, name, binarization, framing, has_card
):
    images = np.stack([network_input(path, framing) for path in paths])
    network = keras_model(name, binarization, images)
    file = tmp_path / "model.tflite"
    card = ModelCard(LABELS, SHAPE, MEAN, STD, framing)
    options = [f"--model={file}", "--threads=2", "--top=100"]
    if has_card:
        file.write_bytes(attach(convert(network), card))
    else:
        file.write_bytes(convert(network))
        options += [flags["labels"], f"--framing={framing}"]
        options += ["--mean=0.5,0.4,0.3", "--std=0.25,0.5,0.2"]
    # Options and pictures in any order.
    found = guesses(paths[0], *options, *paths[1:])
    assert list(found) == paths
    shares = tf.nn.softmax(network(images, training=False)).numpy()
    assert len(set(shares.argmax(axis=1))) > 1, "a test worth its name"
    for path, expected in zip(paths, shares, strict=True):
        order = np.argsort(-expected)
        assert [each["index"] for each in found[path]] == order.tolist()
        assert [each["label"] for each in found[path]] == [LABELS[i] for i in order]
        # Float32 with BatchNorm folded into the convolutions, and up to a level of 255
        # in a pixel in a thousand where a picture is antialiased.
        np.testing.assert_allclose(
            [each["probability"] for each in found[path]], expected[order], atol=2e-3
        )


def test_it_starts_at_once_in_a_terminal_that_cannot_show_all(model, paths, tmp_path):
    """Without TensorFlow, whose import takes seconds."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "slow = {'tensorflow', 'tf_keras', 'larq'}\n"
        "tell = lambda: print(*slow & set(sys.modules), end='', file=sys.stderr)\n"
        "atexit.register(tell)\n"
    )
    result = run_python(
        *("-m", "r2b_keras.predict", f"--model={model}", "--top=100", paths[0]),
        PYTHONPATH=str(tmp_path),
        PYTHONIOENCODING="ascii",
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count("%") == 7 and r"gr\xfcne Gurke" in result.stdout


@pytest.mark.parametrize(("module", "name"), [("PIL", "pillow"), ("absl", "absl-py")])
def test_a_package_that_is_missing_is_told(tmp_path, module, name):
    (tmp_path / "sitecustomize.py").write_text(HIDE_MODULE.format(module))
    result = run_python(
        *("-m", "r2b_keras.predict", "--model=a.tflite", "a.png"),
        PYTHONPATH=str(tmp_path),
    )
    assert_one_sentence(result, f"The package {name} is not installed")


def test_a_bad_picture_is_told_in_the_exit_code(model, paths):
    result = run("predict", f"--model={model}", paths[0], "none.png", "--top=2")
    assert result.returncode == 1 and result.stdout.count("%") == 2
    assert_one_sentence(result, "There is no picture none.png")


def test_a_name_does_not_break_the_line():
    assert_one_sentence(run("predict", "--model=no\nne.tflite", "a.png"), r"no\nne")


def test_what_is_missing_is_asked_for(model, flags):
    assert "--model is missing" in refused("a.png")
    assert "No picture is given" in refused(f"--model={model}")
    model.write_bytes(dense(64, len(LABELS)))
    wanted = {
        "labels": "--labels=FILE (the 7 class names, one per line)",
        "mean": "--mean (1 number)",
        "std": "--std (1 number)",
        "framing": "--framing (whole or center)",
    }
    for left_out in (["labels"], ["mean", "std"], ["framing"], list(flags)):
        given = [flag for name, flag in flags.items() if name not in left_out]
        sentence = refused(f"--model={model}", *given, "a.png")
        for name, words in wanted.items():
            assert (words in sentence) == (name in left_out), sentence


def test_a_file_of_one_score(model, flags):
    model.write_bytes(dense(64, 1))
    assert "gives one score, expected one for each" in refused(f"--model={model}", "a")
    sentence = refused(f"--model={model}", *flags.values(), "a.png")
    assert "gives one score, expected one for each class: convert" in sentence


def test_flags_that_cannot_be_used(model, flags, tmp_path):
    model.write_bytes(dense(64, len(LABELS)))
    short = tmp_path / "short.txt"
    short.write_text("one\ntwo\n")
    for name, flag, words in (
        ("mean", "--mean=0.5;0.4", "is not a list of numbers"),
        ("mean", "--mean=0.5,0.4", "expected one number for each of the 1 channels"),
        ("std", "--std=0", "expected positive numbers"),
        ("labels", f"--labels={short}", "has 7 outputs, expected (1, 64, 1) and 2"),
        ("labels", f"--labels={short}", "convert the network again, or mend --labels"),
        ("labels", "--labels=none.txt", "cannot be read (No such file"),
    ):
        chosen = {**flags, name: flag}.values()
        assert words in refused(f"--model={model}", *chosen, "a.png")


def test_flags_beside_a_card(model, flags, paths, tmp_path):
    assert guesses(f"--model={model}", *flags.values(), paths[0])
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed(LABELS)))
    for flag in ("--mean=0.51", "--std=1", "--framing=whole", f"--labels={other}"):
        sentence = refused(f"--model={model}", flag, "a.png")
        assert flag in sentence and "contradicts the model card" in sentence


def test_pictures_are_turned_as_the_card_or_the_flag_says(model, paths, tmp_path):
    by_exif, by_pixels = turned_by_half(paths[0], tmp_path)

    def answer(*arguments):
        return next(iter(guesses(f"--model={model}", *arguments).values()))

    turned = answer(by_pixels)
    assert answer(by_exif) == turned
    assert answer(by_exif, "--noupright") == answer(paths[0]) != turned
    card = dataclasses.replace(CARD, upright=False)
    model.write_bytes(attach(model.read_bytes(), card))
    assert answer(by_exif) == answer(paths[0])
    assert answer(by_exif, "--upright") == turned


def test_engine_and_threads_are_heard(model, paths, monkeypatch):
    asked, load = [], engines.load

    def loading(content, name, num_threads):
        asked.append((name, num_threads))
        return load(content, name, num_threads)

    monkeypatch.setattr(engines, "load", loading)
    guesses(f"--model={model}", "--engine=litert", "--threads=3", paths[0])
    assert asked == [("litert", 3)]


def test_a_model_of_pixels_without_a_card():
    loaded = SimpleNamespace(
        input_shape=(1, *CARD.image_shape),
        input_type=np.dtype("uint8"),
        num_classes=len(LABELS),
    )
    names = ("class_names", "mean", "std", "framing")
    given = {name: getattr(CARD, name) for name in names}
    found = predict._card_of_flags("model.tflite", loaded, given)
    assert found == dataclasses.replace(CARD, input_type="uint8")
    # Nothing is made of its pixels.
    del given["mean"], given["std"]
    found = predict._card_of_flags("model.tflite", loaded, given)
    assert (found.class_names, found.input_type) == (CARD.class_names, "uint8")
    loaded.input_type = np.dtype("float32")
    with pytest.raises(InputError, match="give --mean .1 number., --std"):
        predict._card_of_flags("model.tflite", loaded, given)


def test_models_that_are_none(model):
    content = model.read_bytes()
    place = content.index(b"apple")
    for damaged, words in (
        (b"", f"{model} is empty, not a .tflite file: expected"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), f"{model} is no .tflite file"),
        (content[: len(content) // 2], "damaged"),
        (content[:place] + b"\xff\xff" + content[place + 2 :], "damaged"),
        (attach(content, ModelCard(LABELS, (64, 1, 1), (0,), (1,))), "(64, 1, 1)"),
    ):
        model.write_bytes(damaged)
        assert words in refused(f"--model={model}", "a.png")
    model.unlink()
    assert str(model) in refused(f"--model={model}", "a.png")


def test_engines_that_will_not_do(model):
    sentence = refused(f"--model={model}", "--engine=gpu", "a.png")
    assert "There is no engine 'gpu'" in sentence
    model.write_bytes(binary())
    sentence = refused(f"--model={model}", "--engine=litert", "a.png")
    assert "litert cannot run" in sentence and "lce" in sentence
