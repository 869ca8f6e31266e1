"""The command that names pictures, as a user meets it, against Keras."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from r2b_keras import models, predict
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import convert
from r2b_keras.converters.card import attach
from r2b_keras.data import decoding
from r2b_keras.environment import tf
from tests.commands import InThisProcess, assert_one_sentence, run
from tests.data.picture_kinds import turned_by_half
from tests.test_environment import HIDE_MODULE, run_python

SHAPE = (28, 28, 3)
LABELS = ("apple", "bear", "chair", "dolphin", "elephant", "flower", "grüne Gurke")
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.5, 0.2)
CARD = ModelCard(LABELS, SHAPE, MEAN, STD, "center")
NUM_PICTURES = 4


def keras_model(name, binarization, pictures):
    """A network that gives every picture another answer, untrained as it is.

    Larq's engine is wrong on maps smaller than its filters, which two more groups of
    blocks would come down to.
    """
    tf.keras.utils.set_random_seed(5)
    options = {"width": 8, "blocks": (1, 1), "stem": "small"}
    model = models.build(name, binarization, SHAPE, len(LABELS), **options)
    logits = model.get_layer("logits")
    images = np.stack([network_input(path) for path in pictures])
    scores = model(images, training=False).numpy() - logits.bias.numpy()
    # Logits of mean 0 and standard deviation 1.5 over the pictures.
    scale = 1.5 / scores.std(axis=0)
    logits.kernel.assign(logits.kernel * scale)
    logits.bias.assign(-scores.mean(axis=0) * scale)
    return model


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Four pictures of other sizes than the network's."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(8)
    for number in range(NUM_PICTURES):
        coarse = generator.integers(0, 256, (5, 4, 3), np.uint8)
        size = (40 + 30 * number, 90 - 10 * number)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def real(folder, tmp_path_factory):
    """A real-valued network, which LiteRT runs: Keras model and file with a card."""
    model = keras_model("resnet18", "real", paths_of(folder))
    path = tmp_path_factory.mktemp("real") / "model.tflite"
    flatbuffer = convert(model)
    path.with_name("foreign.tflite").write_bytes(flatbuffer)
    path.write_bytes(attach(flatbuffer, CARD))
    return model, path


@pytest.fixture(scope="session")
def foreign(real):
    """The same without a card, a file with its labels, and the flags that it needs."""
    path = real[1].with_name("foreign.tflite")
    labels = path.with_name("labels.txt")
    labels.write_text("\n".join(LABELS) + "\n", encoding="utf-8")
    flags = {
        "labels": f"--labels={labels}",
        "mean": "--mean=0.5,0.4,0.3",
        "std": "--std=0.25,0.5,0.2",
        "framing": "--framing=center",
    }
    return path, labels, flags


def paths_of(folder):
    return [str(folder / f"{number}.png") for number in range(NUM_PICTURES)]


def network_input(path, framing="center"):
    """[H, W, C]: training's preprocessing."""
    image = decoding.decode_framed(Path(path).read_bytes(), SHAPE, framing).numpy()
    return ((image / 255 - MEAN) / STD).astype(np.float32)


def expected_shares(model, path, framing="center"):
    """[K]: training's preprocessing, Keras, and softmax."""
    image = network_input(path, framing)[np.newaxis]
    return tf.nn.softmax(model(image, training=False))[0].numpy()


def assert_top(guesses, shares, count=5):
    """The guesses are the `count` largest shares, in order and by the right names."""
    order = np.argsort(-shares)[:count]
    assert [guess["index"] for guess in guesses] == order.tolist()
    assert [guess["label"] for guess in guesses] == [LABELS[i] for i in order]
    found = [guess["probability"] for guess in guesses]
    # Float32 with BatchNorm folded into the convolutions, and up to a level of 255 in
    # a pixel in a thousand where a picture is antialiased.
    np.testing.assert_allclose(found, shares[order], atol=2e-3)


def test_pictures_get_the_labels_that_keras_gives_them(real, folder):
    model, path = real
    paths = paths_of(folder)
    # Options and pictures in any order.
    result = run("predict", paths[0], f"--model={path}", "--json", *paths[1:])
    assert result.returncode == 0 and result.stderr == "", result.stderr
    found = json.loads(result.stdout)
    assert list(found) == paths
    shares = [expected_shares(model, name) for name in paths]
    for name, expected in zip(paths, shares, strict=True):
        assert_top(found[name], expected)
    assert len({np.argmax(expected) for expected in shares}) > 1, (
        "a test worth its name"
    )


def test_text_shows_percentages(real, folder):
    model, path = real
    names = paths_of(folder)[:2]
    result = run("predict", f"--model={path}", "--top=2", *names)
    lines = result.stdout.splitlines()
    assert [lines[0], lines[3]] == names and len(lines) == 6
    shares = expected_shares(model, names[0])
    percentage, label = lines[1].split(maxsplit=1)
    assert label == LABELS[np.argmax(shares)]
    assert float(percentage.removesuffix("%")) == pytest.approx(
        100 * shares.max(), abs=0.2
    )


def test_binary_network_runs_in_larqs_engine(tmp_path, folder, refused):
    names = paths_of(folder)
    model = keras_model("real_to_binary18", "binary", names)
    path = tmp_path / "binary.tflite"
    path.write_bytes(attach(convert(model), CARD))
    result = run("predict", f"--model={path}", "--json", *names)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    found = json.loads(result.stdout)
    for name in names:
        assert_top(found[name], expected_shares(model, name))
    sentence = refused(f"--model={path}", "--engine=litert", names[0])
    assert "litert cannot run" in sentence and "lce" in sentence


def test_model_without_a_card_and_fewer_classes_than_asked_for(real, foreign, folder):
    path, _, flags = foreign
    name = paths_of(folder)[0]
    given = [*flags.values()][:3]
    options = (f"--model={path}", *given, "--framing=whole", "--json", "--top=100")
    result = run("predict", *options, "--num_threads=2", name)
    assert result.returncode == 0, result.stderr
    guesses = json.loads(result.stdout)[name]
    assert len(guesses) == len(LABELS)
    assert_top(guesses, expected_shares(real[0], name, "whole"), len(LABELS))
    assert sum(guess["probability"] for guess in guesses) == pytest.approx(1)


def test_neither_the_command_nor_its_engine_needs_tensorflow(real, folder, tmp_path):
    _, path = real
    for number, module in enumerate(("tensorflow", "tf_keras", "larq")):
        hidden = tmp_path / str(number)
        hidden.mkdir()
        (hidden / "sitecustomize.py").write_text(HIDE_MODULE.format(module))
        arguments = ("-m", "r2b_keras.predict", f"--model={path}", paths_of(folder)[0])
        result = run_python(*arguments, PYTHONPATH=str(hidden))
        assert result.returncode == 0 and result.stderr == ""
        assert result.stdout.count("%") == 5
    code = (
        "import sys\n"
        "from r2b_keras import predict\n"
        "predict.define_flags()\n"
        f"predict.FLAGS(['predict', '--model={path}'])\n"
        f"print(predict.main({paths_of(folder)!r}))\n"
        "print('tensorflow' in sys.modules)"
    )
    result = run_python("-c", code)
    assert result.stdout.splitlines()[-2:] == ["0", "False"], result.stderr


def test_a_package_that_is_missing_is_told(tmp_path):
    for module, package in (("PIL", "pillow"), ("absl", "absl-py")):
        (tmp_path / "sitecustomize.py").write_text(HIDE_MODULE.format(module))
        result = run_python(
            *("-m", "r2b_keras.predict", "--model=a.tflite", "a.png"),
            PYTHONPATH=str(tmp_path),
        )
        assert_one_sentence(result, f"The package {package} is not installed")


def test_a_bad_picture_does_not_stop_the_others(real, folder, tmp_path):
    _, path = real
    good = paths_of(folder)
    cut = tmp_path / "cut.jpg"
    Image.open(good[1]).save(cut, quality=95)
    cut.write_bytes(cut.read_bytes()[:-200])
    text = tmp_path / "text.png"
    text.write_text("no picture")
    missing = tmp_path / "missing.png"
    bad = [str(cut), str(text), str(missing)]
    result = run("predict", f"--model={path}", "--json", good[0], *bad, good[1])
    assert result.returncode == 1
    assert list(json.loads(result.stdout)) == good[:2]
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    for line, name, words in zip(
        lines,
        bad,
        ("is broken or cut off", "neither a JPEG nor a PNG", "There is no picture"),
        strict=True,
    ):
        assert name in line and words in line


@pytest.fixture
def refused():
    """The sentence that the command, run in this process, ends with."""
    return InThisProcess(predict).refusal


def test_what_is_missing_is_asked_for(refused, real, foreign):
    assert "--model is missing" in refused("a.png")
    assert "No picture is given" in refused(f"--model={real[1]}")
    path, _, flags = foreign
    wanted = {
        "labels": "--labels=FILE (the 7 class names, one per line)",
        "mean": "--mean (3 numbers)",
        "std": "--std (3 numbers)",
        "framing": "--framing (whole or center)",
    }
    for left_out in (["labels"], ["mean", "std"], ["framing"], list(flags)):
        given = [flag for name, flag in flags.items() if name not in left_out]
        sentence = refused(f"--model={path}", *given, "a.png")
        for name, words in wanted.items():
            assert (words in sentence) == (name in left_out), sentence


def test_flags_that_cannot_be_used(refused, foreign, tmp_path):
    path, _, flags = foreign
    short = tmp_path / "short.txt"
    short.write_text("one\ntwo\n")
    latin = tmp_path / "latin.txt"
    latin.write_bytes("Gürkchen\n".encode("latin-1"))
    for name, flag, words in (
        ("mean", "--mean=0.5;0.4", "is not a list of numbers"),
        ("mean", "--mean=0.5,nan,0.3", "is not a list of numbers"),
        ("mean", "--mean=0.5", "expected one number for each of the 3 channels"),
        ("std", "--std=0.5,0,0.5", "expected positive numbers"),
        ("labels", f"--labels={short}", "has 7 outputs, expected"),
        ("labels", f"--labels={latin}", "it is no text in UTF-8"),
        ("labels", f"--labels={tmp_path}", "cannot be read (Is a directory)"),
        ("labels", "--labels=none.txt", "cannot be read (No such file"),
    ):
        chosen = {**flags, name: flag}.values()
        sentence = refused(f"--model={path}", *chosen, "a.png")
        assert words in sentence, sentence


def test_flags_must_not_contradict_a_card(refused, real, foreign, tmp_path):
    path = real[1]
    other = tmp_path / "other.txt"
    other.write_text("\n".join(reversed(LABELS)))
    for flag in (
        *("--mean=0.5,0.4,0.31", "--std=1,1,1", "--framing=whole"),
        f"--labels={other}",
    ):
        sentence = refused(f"--model={path}", flag, "a.png")
        assert flag in sentence and "contradicts the model card" in sentence


def test_pictures_are_turned_as_the_card_or_the_flag_says(real, folder, tmp_path):
    by_exif, by_pixels = turned_by_half(paths_of(folder)[0], tmp_path)
    command = InThisProcess(predict)

    def answer(*arguments):
        code, out, _ = command.run(*arguments, "--json")
        assert code == 0
        return next(iter(json.loads(out).values()))

    turned = answer(f"--model={real[1]}", by_pixels)
    assert answer(f"--model={real[1]}", by_exif) == turned
    assert answer(f"--model={real[1]}", by_exif, "--noupright") != turned
    old = tmp_path / "old.tflite"
    card = dataclasses.replace(CARD, upright=False)
    old.write_bytes(attach(real[1].with_name("foreign.tflite").read_bytes(), card))
    assert answer(f"--model={old}", by_exif) != turned
    assert answer(f"--model={old}", by_exif, "--upright") == turned


def test_flags_that_agree_with_a_card(monkeypatch, real, foreign):
    given = {"class_names": LABELS, "mean": MEAN, "std": STD, "framing": "center"}
    monkeypatch.setattr(predict.card_flags, "given", lambda values: given)
    assert predict.load_network(str(real[1]))[1] == CARD


def test_models_that_are_none(refused, real, tmp_path):
    content = real[1].read_bytes()
    path = tmp_path / "model.tflite"
    assert str(path) in refused(f"--model={path}", "a.png")
    for damaged, words in (
        (b"", "is no .tflite file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "is no .tflite file"),
        (content[: len(content) // 2], "damaged"),
        (content[:3000] + b"\xff\xff" + content[3002:], "damaged"),
    ):
        path.write_bytes(damaged)
        assert words in refused(f"--model={path}", "a.png")
    path.write_bytes(attach(content, ModelCard(LABELS, (32, 28, 3), MEAN, STD)))
    sentence = refused(f"--model={path}", "a.png")
    assert "(28, 28, 3)" in sentence and "(32, 28, 3)" in sentence
    assert "--engine" not in sentence


def test_unknown_engine(refused, real):
    sentence = refused(f"--model={real[1]}", "--engine=gpu", "a.png")
    assert "There is no engine 'gpu'" in sentence


def test_class_names_that_a_terminal_cannot_show(real, folder):
    _, path = real
    result = subprocess.run(
        [sys.executable, "-m", "r2b_keras.predict", f"--model={path}"]
        + ["--top=100", paths_of(folder)[0]],
        env={"PYTHONIOENCODING": "ascii", "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert r"gr\xfcne Gurke" in result.stdout
