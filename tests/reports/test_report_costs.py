"""Sizes, latencies and commands of converted files, worked out by hand."""

import dataclasses
import re

import pytest

from r2b_keras import recipes
from r2b_keras.board.card import ModelCard
from r2b_keras.converters.benchmarking import Measurement
from r2b_keras.files import written_whole
from r2b_keras.reports import deployed, operations, provenance
from r2b_keras.reports.deployed import Deployed
from r2b_keras.reports.history import Metrics
from r2b_keras.reports.operations import Part
from r2b_keras.reports.run_record import RunRecord
from r2b_keras.trainers.workdir import StageResult, Workdir


def result(number, top1):
    # 62,464 bytes are 61 KiB.
    return StageResult(number, "n", "binary", top1, 1.0, 0.9, 1, 1.0, 62_464, 1, 1)


RECORD = RunRecord(
    workdir=Workdir("run"),
    recipe=recipes.get("digits"),
    identity={"seed": 0, "precision": "float32", "deterministic": True},
    runs=[],
    metrics=Metrics({}),
    results={2: result(2, 0.97), 3: result(3, 0.98)},
    num_test=359,
)
# Binary MACs: 1,600,000 + 22,016; real ones are not shown beside them.
PARTS = {
    2: [Part("stem", 10, 320, 0, 9_216)],
    3: [Part("a", 9, 9, 1_600_000, 0), Part("b", 9, 288, 22_016, 5_000_000)],
}
CARD = ModelCard(
    ("0", "1"), (8, 8, 1), (0.3,), (0.4,), recipe="digits", stage=3, accuracy=0.98
)


def file(name, num_bytes, *medians, card=CARD):
    engines = ("r2b_runtime", "lce_indirect")
    rows = [
        Measurement(name, engine, 1, ms, ms, ms, 1.0, 1.0, 1.0, 9, 9, 1.0, None, 1.0)
        for engine, ms in zip(engines, medians, strict=False)
    ]
    return Deployed(name, num_bytes, card, (("LceBconv2d", 1),), tuple(rows))


def other(**changes):
    return dataclasses.replace(CARD, **changes)


WITHOUT_FILES = [
    ("test top-1", "98.00 %"),
    ("binary MACs an image", "1.6 M"),
    ("weights, packed", "61 KiB"),
]


def test_what_is_still_being_written_is_no_file_yet(tmp_path):
    done = tmp_path / "exports" / "model.tflite"
    done.parent.mkdir()
    done.write_bytes(b"done")
    with written_whole(tmp_path / "next.tflite") as partial:
        partial.write_bytes(b"half")
        assert deployed.find(tmp_path) == [done]
    assert deployed.find(tmp_path) == [done, tmp_path / "next.tflite"]


def test_key_figures_without_files():
    assert deployed.key_figures(RECORD, PARTS, []) == WITHOUT_FILES
    empty = dataclasses.replace(RECORD, results={})
    assert deployed.key_figures(empty, {}, []) == []


def test_key_figures_of_real_weights():
    first = dataclasses.replace(RECORD, results={2: RECORD.results[2]})
    assert deployed.key_figures(first, PARTS, [])[1] == (
        "real MACs an image",
        "9.2 k",
    )


def test_size_and_latency_are_of_one_file():
    """The fastest file's; the smallest file is another."""
    files = [
        file("small.tflite", 82_944, 0.9, 0.8),
        file("fast.tflite", 102_400, 0.7, 0.25),
        file("slow.tflite", 92_160, 3.0),
    ]
    assert deployed.key_figures(RECORD, PARTS, files) == [
        *WITHOUT_FILES,
        ("size of fast.tflite", "100 KiB"),
        ("median latency of fast.tflite, lce_indirect", "0.2500 ms"),
    ]


@pytest.mark.parametrize(
    "card",
    [
        None,
        other(recipe="fashion_mnist"),
        other(recipe=None),
        other(accuracy=0.979),
        other(stage=2, accuracy=0.97),
    ],
)
def test_files_of_other_networks_are_not_at_the_top(card):
    files = [file("other.tflite", 1024, 0.1, card=card)]
    assert deployed.key_figures(RECORD, PARTS, files) == WITHOUT_FILES


def test_strangers_are_told():
    files = [
        file("own.tflite", 1),
        file("early.tflite", 1, card=other(stage=2, accuracy=0.97)),
        file("bare.tflite", 1, card=None),
        file("unnamed.tflite", 1, card=other(recipe=None)),
        file("missing.tflite", 1, card=other(stage=1, accuracy=0.5)),
        file("coat.tflite", 1, card=other(recipe="fashion_mnist")),
        file("again.tflite", 1, card=other(accuracy=0.9721)),
        file("better.tflite", 1, card=other(accuracy=0.99)),
    ]
    assert [told for f in files if (told := deployed.mismatch(f, RECORD))] == [
        "coat.tflite is of the recipe fashion_mnist, this run of digits.",
        "again.tflite says 97.21 % of stage 3, this folder 98.00 %: it is of another "
        "run.",
        "better.tflite says 99.00 % of stage 3, this folder 98.00 %: it is of another "
        "run.",
    ]


@pytest.mark.parametrize(
    ("commands", "folder"),
    [
        ([], None),
        ([["train.py", "--recipe=digits"]], None),
        ([["train.py", "--data_dir=a"], ["train.py", "--data_dir=b"]], "b"),
        ([["train.py", "--data_dir=a=b"], ["train.py", "--seed=1"]], "a=b"),
        ([["train.py", "-data_dir", "a b", "--seed=1"]], "a b"),
        ([["train.py", "--data_dir=a", "--data_dir", "b"]], "b"),
        ([["--data_dir=script", "--data_dir_of=a", "data_dir=b", "--data_dir"]], None),
    ],
)
def test_the_folder_of_images_is_read_from_the_commands(commands, folder):
    runs = [{"command": command} for command in commands]
    assert provenance.data_dir(runs) == folder


@pytest.mark.parametrize(
    ("commands", "modules"),
    [
        ([["train.py", "--data_dir=a"]], []),
        ([["train.py", "--import=a", "-import", "b"]], ["--import=a", "--import=b"]),
        ([["train.py", "--import=a"], ["train.py", "--import=b"]], ["--import=b"]),
        ([["train.py", "--import=a"], ["train.py"]], ["--import=a"]),
    ],
)
def test_modules_are_read_from_the_commands_too(commands, modules):
    assert provenance.own_code([{"command": command} for command in commands]) == (
        modules
    )
    line = provenance.train_command(RECORD, None, modules)
    assert re.findall(r"--import=\w", line) == modules
    line = provenance.convert_command(RECORD.workdir, "m", CARD, None, modules)
    assert re.findall(r"--import=\w", line) == modules


def test_commands_name_the_folder_of_images():
    plainly = provenance.train_command(RECORD, None)
    assert "--data_dir" not in plainly
    line = provenance.train_command(RECORD, "my images")
    assert line.replace(" \\\n    '--data_dir=my images'", "") == plainly
    assert line != plainly


def test_a_conversion_by_its_card():
    card = other(real_weights="int8", input_type="uint8", stage=2)
    line = provenance.convert_command(RECORD.workdir, "a b.tflite", card, "images")
    assert line == (
        "python -m r2b_keras.convert \\\n    --workdir=run \\\n    --stage=2 \\\n"
        "    --real_weights=int8 \\\n    --input=uint8 \\\n    --data_dir=images \\\n"
        "    '--output=a b.tflite'"
    )
    modules = ["--import=mine"]
    first = provenance.convert_command(RECORD.workdir, "a.tflite", None, "my", modules)
    assert first == (
        "python -m r2b_keras.convert --workdir=run --data_dir=my --import=mine "
        "--output=a.tflite"
    ).replace(" --", " \\\n    --")
    assert "--data_dir" not in provenance.convert_command(
        RECORD.workdir, "a.tflite", CARD, None
    )


@pytest.mark.parametrize(
    ("identity", "is_said"),
    [({"deterministic": True}, False), ({}, False), ({"deterministic": False}, True)],
)
def test_a_run_whose_bits_do_not_repeat_is_made_again_like_that(identity, is_said):
    record = dataclasses.replace(RECORD, identity=identity)
    line = provenance.train_command(record, None)
    assert ("--nodeterministic" in line) == is_said


def test_rows_of_files_are_equally_long():
    rows = [
        deployed._file_cells(file("a.tflite", 1, card=card)) for card in (CARD, None)
    ]
    assert len(rows[0]) == len(rows[1]) == 10


def test_cells_of_a_part():
    part = Part("a", parameters=7, bits=81_920, binary_macs=1_600, real_macs=25)
    assert operations._cells(part) == ["1,600", "25", "7", "10.0 KiB"]


def test_cells_of_a_latency():
    measured = file("m.tflite", 1, 5.0)
    unlike = {"p10_ms": 4.0, "p90_ms": 9.0, "ratio": 3.0, "num_inferences": 1_200}
    row = dataclasses.replace(measured.latencies[0], cores_used=0.5, **unlike)
    measured = dataclasses.replace(measured, latencies=(row,))
    assert deployed.section(RECORD, [measured], [])["latencies"] == [
        ["m.tflite", "r2b_runtime", "5.00", "4.00 to 9.00", "1,200", "0.50"]
    ]
