"""`python -m r2b_runtime info`: what a file says of itself, and nothing made up."""

import dataclasses
import json

import numpy as np
import pytest

from r2b_keras.board.card import ModelCard
from r2b_keras.converters.card import attach
from tests.converters.small_flatbuffers import (
    DENSE_CARD,
    binary,
    changed,
    dense,
    dense_of_card,
    schema,
    tensor,
)
from tests.runtime.test_runtime_commands import python_m

# Of `binary`'s 4 classes where it takes pixels in three channels.
FULL = ModelCard(
    class_names=("Katze", "grüne Gurke", "犬", 'a "b"\n'),
    image_shape=(4, 5, 3),
    mean=(0.485, 0.456, 0.1 + 0.2),
    std=(1 / 3, 1e-7, 2),
    framing="center",
    upright=False,
    recipe="digits",
    stage=3,
    accuracy=0.98885,
    network={"name": "real_to_binary18", "blocks": [2, 2]},
    real_weights="int8",
    input_type="uint8",
    versions={"r2b_keras": "0.1.0", "larq": "0.13.3"},
)


def takes_pixels(model, graph):
    graph.tensors[graph.inputs[0]].type = schema.TensorType.UINT8


def takes_two(model, graph):
    graph.inputs = [graph.inputs[0], graph.inputs[0]]


@pytest.fixture
def write(tmp_path):
    def write(content):
        path = tmp_path / "model.tflite"
        path.write_bytes(content)
        return path

    return write


def kib(path):
    return f"{path}, {path.stat().st_size / 1024:.0f} KiB\n"


def test_what_people_read(run, write):
    path = write(attach(dense_of_card(), DENSE_CARD))
    assert run("info", path) == (
        0,
        kib(path) + "input         height 1, width 64, 1 channel (grey)\n"
        "takes         (pixel / 255 - mean) / std, float32\n"
        "mean          0.5\n"
        "std           0.25\n"
        "framing       whole: the whole picture is scaled\n"
        "pictures      turned by their EXIF orientation\n"
        "real weights  float32\n"
        "classes       3\n"
        "       0  apple\n"
        "       1  bear\n"
        "       2  grüne Gurke\n",
        "",
    )
    path = write(attach(changed(binary(4, shape=(4, 5, 3)), takes_pixels), FULL))
    assert run("info", path) == (
        0,
        kib(path) + "input         height 4, width 5, 3 channels (red, green, blue)\n"
        "takes         pixels, uint8; mean and std are in the file\n"
        "mean          0.485,0.456,0.30000000000000004\n"
        "std           0.3333333333333333,1e-07,2\n"
        "framing       center: the middle 224/256 of the shorter side is scaled\n"
        "pictures      as they are stored\n"
        "recipe        digits, stage 3\n"
        "accuracy      98.89% (top-1 of the Keras model, test set)\n"
        "network       real_to_binary18\n"
        "real weights  int8\n"
        "made with     r2b_keras 0.1.0, larq 0.13.3\n"
        "classes       4\n"
        "       0  Katze\n"
        "       1  grüne Gurke\n"
        "       2  犬\n"
        '       3  a "b"\\n\n',
        "",
    )


def test_a_file_without_a_card(run, write):
    path = write(dense())
    assert run("info", path) == (
        0,
        kib(path) + "input         tensor_0: 1 x 1 x 64 x 1, float32\n"
        "output        tensor_2: 1 x 3, float32\n"
        "There is no model card in it: classes, mean, std and framing are what the "
        "network was trained with.\n",
        "",
    )
    signature = np.array([-1, -1, 64, 1], np.int32)
    path = write(tensor(dense, 0, shapeSignature=signature))
    assert "tensor_0: 1 x any x 64 x 1, float32" in run("info", path)[1]
    path = write(changed(binary(), takes_two))
    lines = run("info", path)[1].splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["input", "input", "output"]


def test_what_programs_read(run, write):
    content = attach(changed(binary(4, shape=(4, 5, 3)), takes_pixels), FULL)
    code, out, error = run("info", write(content), "--json")
    found = json.loads(out)
    assert (code, error, found["num_bytes"]) == (0, "", len(content))
    assert ModelCard(**found["card"]) == FULL
    assert [(each["shape"], each["type"]) for each in found["inputs"]] == [
        ([1, 4, 5, 3], "uint8")
    ]
    assert [(each["shape"], each["type"]) for each in found["outputs"]] == [
        ([1, 4], "float32")
    ]
    _, out, _ = run("info", write(binary()), "--json")
    assert json.loads(out)["card"] is None


def test_files_that_are_none_and_cards_of_others(refused, write, tmp_path):
    assert "There is no file" in refused(1, "info", tmp_path / "none.tflite")
    path = write(b"")
    assert refused(1, "info", path).startswith(
        f"{path} is empty, not a .tflite file: expected a file"
    )
    path = write(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert refused(1, "info", path).startswith(f"{path} is no .tflite file: expected")
    path = write(dense()[:40])
    assert "The .tflite file is damaged (" in refused(1, "info", path)
    other = dataclasses.replace(DENSE_CARD, image_shape=(64, 1, 1))
    for content, words in (
        (attach(dense_of_card(), other), "(64, 1, 1) and 3, one for each class name"),
        (
            attach(changed(dense_of_card(), takes_pixels), DENSE_CARD),
            "takes images of uint8, and its model card says float32",
        ),
        (
            attach(changed(dense_of_card(), takes_two), DENSE_CARD),
            "has a model card, and 2 inputs and 1 outputs, expected one of each",
        ),
    ):
        assert words in refused(1, "info", write(content))
    assert "arguments: --threads=2" in refused(2, "info", path, "--threads=2")


def test_neither_litert_nor_numpy_is_needed(write, tmp_path):
    for name in ("numpy", "ai_edge_litert", "PIL"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('none here')")
    path = write(attach(dense_of_card(), DENSE_CARD))
    result = python_m("info", path, env={"PYTHONPATH": str(tmp_path)})
    assert (result.returncode, result.stderr) == (0, "")
    assert "classes       3\n" in result.stdout
