"""The conversion command: what it writes, prints and refuses."""

import dataclasses
import importlib
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from r2b_keras import command, convert
from r2b_keras.converters import card, engines, sources, tflite_file
from r2b_keras.converters import flatbuffer as flatbuffers
from r2b_keras.converters.real_weights import bytes_by_part
from r2b_keras.environment import lq, tf
from r2b_keras.trainers.workdir import Workdir
from tests.commands import assert_one_sentence, flags_of, refusal, run
from tests.converters.mutations import with_filter_bit

layers = tf.keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(4)
    for number in range(20):
        pixels = generator.integers(0, 256, (6, 5, 3), np.uint8)
        image = Image.fromarray(pixels).resize((40, 30), Image.Resampling.BICUBIC)
        image.save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory):
    """A binary network that is not ours, for colour pictures of 12x12."""
    tf.keras.utils.set_random_seed(7)
    image = tf.keras.Input((12, 12, 3))
    x = layers.Conv2D(32, 3)(image)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = lq.layers.QuantConv2D(
        16,
        3,
        use_bias=False,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )(x)
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(x))
    path = tmp_path_factory.mktemp("keras") / "model.keras"
    tf.keras.Model(image, x, name="mine").save(path)
    return path


def test_a_workdir_becomes_a_file_that_says_what_it_is(finished, converted):
    path, result = converted
    content = path.read_bytes()
    assert sorted(file.name for file in path.parent.iterdir()) == ["model.tflite"]
    found = card.read(content)
    trained = Workdir(finished[0]).result(3)
    assert (found.recipe, found.stage, found.accuracy) == ("digits", 3, trained.top1)
    assert (found.image_shape, found.framing) == ((8, 8, 1), "whole")
    assert engines.names_for(content)[0] == "lce"
    assert result.stderr == ""
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:2] == [[str(path)], [f"{finished[0]},", "stage", "3"]]
    counts = tflite_file.count_operators(content)
    assert counts["LceBconv2d"] == 4
    for kind in counts:
        (row,) = [words for words in lines if words[:1] == [kind]]
        assert row[1] == str(counts[kind])
    for part, size in bytes_by_part(content).items():
        assert [*part.split(), f"{size:,}"] in lines
    assert ["total", f"{len(content):,}"] in lines
    text = result.stdout
    assert "144 images, engine lce: top-1 agreement 100.00%" in text
    assert text.endswith("accepted\n")


def give(monkeypatch, flatbuffer):
    """The converter gives what another conversion gave."""
    monkeypatch.setattr(
        flatbuffers,
        "to_tables",
        lambda model, normalisation: tflite_file.parse(flatbuffer),
    )


def test_another_stage_than_the_last(finished, tmp_path):
    output = tmp_path / "model.tflite"
    result = run(
        "convert", f"--workdir={finished[0]}", "--stage=2", f"--output={output}"
    )
    assert result.returncode == 0, result.stderr
    own = card.read(output.read_bytes())
    assert (own.stage, own.network["binarization"]) == (2, "binary_activations")
    assert result.stdout.startswith(f"{output}\n{finished[0]}, stage 2\n")
    assert own.accuracy == Workdir(finished[0]).result(2).top1


@pytest.mark.parametrize(
    ("kind", "flags", "given"),
    [
        ("workdir", ("--workdir=w", "--stage=2", "--data_dir=d"), ("w", 2, "d")),
        (
            "file",
            ("--model=m.keras", "--recipe=digits", "--data_dir=d"),
            ("m.keras", "digits", "d", {}),
        ),
        ("larq_zoo", ("--weights=w.h5",), ("w.h5", {})),
    ],
)
def test_every_flag_is_heard(monkeypatch, kind, flags, given):
    monkeypatch.setattr(sources, f"from_{kind}", lambda *found: found)
    with flags_of("convert", *flags, "--verify_images=p", "--num_images=7"):
        assert convert._source() == (*given, "p", 7)


def test_a_wrong_conversion_is_kept_aside(finished, converted, tmp_path, monkeypatch):
    """A converter with a defect: nothing is overwritten, and the code is not 0."""
    sound = converted[0].read_bytes()
    output = tmp_path / "model.tflite"
    output.write_bytes(b"what was there")
    arguments = (f"--workdir={finished[0]}", f"--output={output}", "--num_images=50")
    give(monkeypatch, with_filter_bit(sound, 0, 0, 1))
    code, printed, errors = run("convert", *arguments)
    assert code == command.EXIT_PROBLEM != 0
    rejected = tmp_path / "model.tflite.rejected"
    assert output.read_bytes() == b"what was there"
    assert errors == (
        "The flatbuffer does not do what the network does: it is kept as "
        f"{rejected} to look at, and not to be used.\n"
    )
    assert printed.splitlines()[0] == str(rejected)
    assert "50 differ by more\n  image 0: " in printed
    assert "not by rounding: " in printed and printed.endswith("REJECTED\n")
    assert card.read(rejected.read_bytes()).stage == 3
    assert sorted(tmp_path.iterdir()) == [output, rejected]
    # Once the defect is gone, so is the rejected file.
    give(monkeypatch, sound)
    code, printed, errors = run("convert", *arguments)
    assert (code, errors) == (0, "") and printed.endswith("accepted\n")
    assert "50 images" in printed
    assert sorted(tmp_path.iterdir()) == [output]
    assert card.read(output.read_bytes()).stage == 3


def test_a_link_at_the_rejected_file_s_place_is_kept(finished, tmp_path):
    output, mine = tmp_path / "model.tflite", tmp_path / "mine"
    mine.write_bytes(b"of something else")
    link = tmp_path / "model.tflite.rejected"
    link.symlink_to(mine)
    arguments = (f"--workdir={finished[0]}", f"--output={output}", "--num_images=5")
    assert run("convert", *arguments)[0] == 0
    assert link.is_symlink() and mine.read_bytes() == b"of something else"


def test_a_file_that_takes_pixels(finished, converted, tmp_path):
    """The same answers as of the file that takes what the network saw."""
    output, picture = tmp_path / "model.tflite", tmp_path / "digit.png"
    arguments = (f"--workdir={finished[0]}", f"--output={output}", "--input=uint8")
    code, printed, _ = run("convert", *arguments, "--num_images=50")
    assert code == 0 and printed.endswith("accepted\n")
    content = output.read_bytes()
    assert card.read(content).input_type == "uint8"
    assert engines.load(content).takes_pixels
    assert card.read(converted[0].read_bytes()).input_type == "float32"
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(pixels).save(picture)
    answers = []
    for path in (output, converted[0]):
        code, printed, _ = run("predict", f"--model={path}", "--json", str(picture))
        (guesses,) = json.loads(printed).values()
        answers.append({x["label"]: x["probability"] for x in guesses})
    assert answers[0] == pytest.approx(answers[1], rel=1e-4)
    code, printed, _ = run("evaluate", f"--model={output}", f"--workdir={finished[0]}")
    assert code == 0 and "accepted" in printed


def test_a_foreign_file_with_what_the_flags_say(keras_file, folder, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("apple\nbear\ngrüne Gurke\n", encoding="utf-8")
    output = tmp_path / "model.tflite"
    code, printed, errors = run(
        "convert",
        *(f"--model={keras_file}", f"--output={output}", f"--labels={labels}"),
        *("--mean=0.5,0.4,0.3", "--std=0.25,0.5,0.2", "--framing=center"),
        *(f"--verify_images={folder}", "--real_weights=float16"),
    )
    assert (code, errors) == (0, "")
    assert printed.count("20 images, engine lce: top-1 agreement 100.00%") == 2
    found = card.read(output.read_bytes())
    assert found.class_names == ("apple", "bear", "grüne Gurke")
    assert (found.mean, found.std) == ((0.5, 0.4, 0.3), (0.25, 0.5, 0.2))
    assert (found.framing, found.real_weights) == ("center", "float16")
    assert (found.recipe, found.image_shape) == (None, (12, 12, 3))
    counts = tflite_file.count_operators(output.read_bytes())
    assert counts["LceBconv2d"] == 1


def test_a_file_with_the_recipe_of_its_data(finished, converted, tmp_path, monkeypatch):
    """The same network as the workdir's, so that its conversion need not be redone."""
    sound = converted[0].read_bytes()
    give(monkeypatch, sound)
    model = finished[0] / "stage_3" / "model.keras"
    output = tmp_path / "model.tflite"
    code, printed, _ = run(
        "convert", f"--model={model}", "--recipe=digits", f"--output={output}"
    )
    assert code == 0 and "144 images, engine lce: top-1 agreement 100.00%" in printed
    found, other = card.read(output.read_bytes()), card.read(sound)
    assert (found.recipe, found.stage, found.network) == ("digits", None, None)
    expected = dataclasses.replace(other, stage=None, accuracy=None, network=None)
    assert found == expected


@pytest.fixture
def refused(tmp_path):
    """The sentence it ends in; nothing is written."""

    def sentence(*arguments, output=tmp_path / "model.tflite"):
        before = sorted(tmp_path.rglob("*"))
        given = () if output is None else (f"--output={output}",)
        message = refusal("convert", *given, *arguments)
        assert sorted(tmp_path.rglob("*")) == before
        return message

    return sentence


def test_what_is_missing_is_asked_for(refused, tmp_path):
    assert "--output is missing" in refused("--workdir=run", output=None)
    message = refused()
    assert "Expected one of --workdir" in message and "none of them came" in message
    message = refused("--workdir=run", "--model=model.keras")
    assert "--workdir and --model came" in message
    message = refused("--model=model.keras", "--weights=weights.h5")
    assert "--model and --weights came" in message


@pytest.mark.parametrize(
    ("kind", "unused"),
    [
        ("workdir", ("recipe=digits",)),
        ("model", ("stage=1", "data_dir=pictures")),
        ("weights", ("stage=0", "recipe=digits", "data_dir=pictures", "import=os")),
    ],
)
def test_flags_without_a_meaning(refused, kind, unused):
    for flag in unused:
        message = refused(f"--{kind}=given", f"--{flag}")
        assert message.startswith(f"--{flag.split('=')[0]} ")
        assert message.endswith(": leave it out.")


def test_places_that_cannot_be_written(refused, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for output in (tmp_path, tmp_path / "none" / "model.tflite"):
        message = refused("--workdir=run", output=output)
        assert f"--output={output} is a folder or lies in none" in message
    assert "is a device" in refused("--workdir=run", output=tmp_path / "pipe")
    assert "too long" in refused("--workdir=run", output=tmp_path / ("m" * 250))


def test_names_of_other_files(refused, tmp_path):
    """Of Keras's, for example: the file would be none."""
    (tmp_path / "link.tflite").symlink_to(tmp_path / "model.keras")
    for name in ("model.keras", "model.tflite.rejected", "model", ".tflite"):
        message = refused("--workdir=run", output=tmp_path / name)
        assert f"--output={tmp_path / name} does not end in .tflite" in message
    message = refused("--workdir=run", output=tmp_path / "link.tflite")
    assert message == (
        f"--output={tmp_path / 'model.keras'} does not end in .tflite, expected a "
        f"name that does: --output={tmp_path / 'model.tflite'}, for example."
    )


@pytest.mark.parametrize("flag", convert._READ)
def test_what_is_read_is_not_overwritten(refused, tmp_path, flag):
    """Under any name, and not by what is kept of a rejected conversion either."""
    given, link = tmp_path / "given", tmp_path / "link.tflite"
    given.write_bytes(b"is read")
    link.symlink_to(given)
    os.link(given, tmp_path / "m.tflite.rejected")
    for output in (given, link, tmp_path / "m.tflite"):
        message = refused(f"--{flag}={given}", output=output)
        assert f"is {given}, which this command reads" in message
    assert given.read_bytes() == b"is read"


def test_what_is_in_the_workdir_is_not_overwritten(refused, finished):
    workdir = finished[0]
    for name in ("recipe.json", "metrics.csv", "stage_3/model.keras"):
        before = (workdir / name).read_bytes()
        message = refused(f"--workdir={workdir}", output=workdir / name)
        assert "which this command reads" in message
        assert (workdir / name).read_bytes() == before


def test_each_source_is_asked(refused):
    """What they refuse is in the tests of `sources`."""
    assert "holds no recipe.json" in refused("--workdir=none")
    assert "There is no file none.keras" in refused("--model=none.keras")
    assert "There is no file none.h5" in refused("--weights=none.h5")
    for flags in (["--workdir=none"], ["--model=none.keras", "--recipe=digits"]):
        message = refused(*flags, "--mean=0.5")
        assert "come from the recipe: leave them out" in message


def test_a_users_layer_and_the_module_that_registers_it(
    refused, folder, tmp_path, monkeypatch
):
    (tmp_path / "theirs.py").write_text(
        "from r2b_keras.environment import tf\n"
        "@tf.keras.utils.register_keras_serializable('theirs')\n"
        "class Doubled(tf.keras.layers.Layer):\n"
        "    def call(self, x):\n"
        "        return 2 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    doubled = importlib.import_module("theirs").Doubled()
    image = tf.keras.Input((6, 6, 3))
    x = layers.Dense(3)(layers.GlobalAveragePooling2D()(doubled(image)))
    path = tmp_path / "model.keras"
    tf.keras.Model(image, x).save(path)
    tf.keras.utils.get_custom_objects().pop("theirs>Doubled")
    sys.modules.pop("theirs")
    plain = (
        f"--model={path}",
        f"--verify_images={folder}",
        "--mean=0,0,0",
        "--std=1,1,1",
        "--framing=whole",
    )
    assert "theirs>Doubled of the module theirs" in refused(*plain)
    message = refused(*plain, "--import=nowhere")
    assert "--import=nowhere cannot be imported (ModuleNotFoundError: " in message
    (tmp_path / "broken.py").write_text("1 / 0")
    message = refused(*plain, "--import=broken")
    assert "--import=broken cannot be imported (ZeroDivisionError: " in message
    try:
        output = f"--output={tmp_path / 'model.tflite'}"
        code, printed, errors = run("convert", *plain, "--import=theirs", output)
    finally:
        tf.keras.utils.get_custom_objects().pop("theirs>Doubled", None)
        sys.modules.pop("theirs", None)
    assert (code, errors) == (0, "") and printed.endswith("accepted\n")


def test_a_full_or_read_only_disk_leaves_nothing_behind(
    finished, converted, tmp_path, monkeypatch
):
    """Found at the very end."""
    sound = converted[0].read_bytes()
    give(monkeypatch, sound)
    output = tmp_path / "model.tflite"
    output.write_bytes(b"what was there")

    def refuse(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert.pathlib.Path, "write_bytes", refuse)
    code, _, errors = run("convert", f"--workdir={finished[0]}", f"--output={output}")
    assert code == 1 and errors.startswith("No space left on device (")
    assert str(output) in errors and errors.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [output]
    assert output.read_bytes() == b"what was there"


def test_one_sentence_without_a_traceback(tmp_path):
    """As a user meets it; the reasons are tested above."""
    output = tmp_path / "model.tflite"
    result = run("convert", f"--workdir={tmp_path}", f"--output={output}")
    assert_one_sentence(result, "holds no recipe.json")
    result = run("convert", f"--output={output}", "--real_weights=int4")
    assert result.returncode == 1 and "int8" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []
