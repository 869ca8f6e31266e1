"""`python -m r2b_keras.benchmark`: table, chart, and what becomes of its workers."""

import contextlib
import importlib.util
import os
import pathlib
import signal
import sys
import time

import pytest

from r2b_keras import benchmark, files
from r2b_keras.converters import benchmark_baseline, benchmark_worker, benchmarking
from r2b_keras.errors import InputError
from tests import commands
from tests.networks import build_model

QUICK = ("--rounds=2", "--seconds=0.01")


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(benchmark_worker.smallest_flatbuffer())
    return path


def run(*arguments):
    return commands.run("benchmark", *arguments)


def test_table_csv_and_chart(model, tmp_path):
    again = tmp_path / "again"
    again.mkdir()
    (again / "model.tflite").write_bytes(model.read_bytes())
    folder = tmp_path / "new" / "results"
    result = run(
        f"--model={model}",
        f"--model={model}",
        f"--model={again / 'model.tflite'}",
        "--engines=litert",
        "--threads=2",
        f"--output_dir={folder}",
        *QUICK,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    names = [str(model), f"{model} #2", str(again / "model.tflite")]
    machine, _, rows, _, header, *lines = result.stdout.splitlines()
    assert "load average" in machine
    assert rows.startswith("3 rows, about 0 s")
    assert header.startswith("model ")
    for name, line in zip(names, lines, strict=False):
        assert line.startswith(f"{name} ") and " litert " in line
    assert sorted(os.listdir(folder)) == ["benchmark.csv", "benchmark.png"]
    found = files.read_csv(folder / "benchmark.csv")
    assert [row["model"] for row in found] == names
    assert {row["threads"] for row in found} == {"2"}
    assert all(float(row["median_ms"]) > 0 for row in found)
    assert found[0]["cpu"] and found[0]["cpu"] in machine
    assert (folder / "benchmark.png").read_bytes().startswith(b"\x89PNG")


def test_defaults_are_the_librarys():
    with commands.flags_of("benchmark"):
        given = (benchmark.FLAGS.rounds, benchmark.FLAGS.seconds)
    assert given == (benchmarking.ROUNDS, benchmarking.SECONDS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["--model is missing", "--model=model.tflite"]),
        (("--model=absent.tflite",), ["absent.tflite"]),
        (("--model={model}", "--rounds=0"), ["rounds is 0"]),
        (("--model={model}", "--seconds=-1"), ["seconds is -1.0"]),
        (("--model={model}", "--engines=litret"), ["'litret'", "mean 'litert'"]),
        (("--model={model}", "--engines=lce_indirect"), ["lce_indirect", "litert"]),
        (("--model={model}", "--model={cut}"), ["cut.tflite", "damaged"]),
        (("--model={picture}",), ["picture.png", "no .tflite file"]),
        (("--model={model}", "{model}"), ["Unknown argument"]),
        (("--model={model}", "--float_baseline"), ["width, blocks, stem", "--workdir"]),
    ],
)
def test_bad_input_is_one_sentence(model, tmp_path, arguments, words):
    (tmp_path / "cut.tflite").write_bytes(model.read_bytes()[:-90])
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" * 20)
    paths = {
        "model": model,
        "cut": tmp_path / "cut.tflite",
        "picture": tmp_path / "picture.png",
    }
    folder = tmp_path / "results"
    arguments = [argument.format(**paths) for argument in arguments]
    result = run(f"--output_dir={folder}", *QUICK, *arguments)
    commands.assert_one_sentence(result, *words)
    assert result.stdout == ""
    assert not folder.exists()


@pytest.mark.parametrize("flag", ["--threads=0", "--threads=1025"])
def test_threads_are_within_one_range_in_every_command(model, flag):
    result = run(f"--model={model}", flag, *QUICK)
    assert result.returncode == 1 and "range [1, 1024]" in result.stderr
    assert result.stdout == ""


def test_missing_matplotlib_is_told_at_once(model, tmp_path, monkeypatch):
    find = importlib.util.find_spec

    def without_matplotlib(name, package=None):
        return None if name == "matplotlib" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_matplotlib)
    result = run(f"--model={model}", f"--output_dir={tmp_path / 'new'}", *QUICK)
    commands.assert_one_sentence(result, "pip install matplotlib")
    assert result.stdout == ""


def test_folder_that_cannot_be_written(model, tmp_path):
    (tmp_path / "file").write_text("old")
    result = run(f"--model={model}", f"--output_dir={tmp_path / 'file'}", *QUICK)
    commands.assert_one_sentence(result, "--output_dir", "cannot be written")
    result = run(f"--model={model}", "--output_dir=/proc/nowhere", *QUICK)
    commands.assert_one_sentence(result, "--output_dir=/proc/nowhere", "cannot be")
    assert (tmp_path / "file").read_text() == "old"


def children(pid):
    path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan that ended and that nobody waited for is no process any more.
    status = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] != "Z"


@contextlib.contextmanager
def measuring(*arguments):
    """The command in a process of its own, once it measures, and its workers."""
    arguments += ("--engines=litert", "--rounds=1000")
    with commands.start("benchmark", *arguments) as process:
        commands.wait_for(process, "rows")
        time.sleep(1)
        yield process, children(process.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)],
)
def test_stopped_benchmark_leaves_no_process(model, tmp_path, number, code):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "benchmark.csv").write_text("old")
    arguments = [f"--model={model}", f"--model={model}", f"--output_dir={folder}"]
    with measuring(*arguments) as (process, workers):
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert len(workers) == 2
    if number != signal.SIGKILL:
        assert errors.startswith("Stopped by ") and errors.count("\n") == 1
    end = time.monotonic() + 20
    while any(map(is_alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))
    assert os.listdir(folder) == ["benchmark.csv"]
    assert (folder / "benchmark.csv").read_text() == "old"


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_worker_that_dies_is_one_sentence(model):
    with measuring(f"--model={model}") as (process, (worker,)):
        os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.count("\n") == 1
    assert errors.startswith("The engine litert died on model model.tflite (SIGKILL)")


def test_models_are_not_overwritten(tmp_path):
    for name in ("benchmark.csv", "benchmark.png"):
        models = tmp_path / name / "models"
        models.mkdir(parents=True)
        (models / "m.tflite").write_text("is measured")
        os.link(models / "m.tflite", models / name)
        with pytest.raises(InputError, match="m.tflite, which this command reads"):
            benchmark.prepare_folder(str(models), [str(models / "m.tflite")])
        assert sorted(os.listdir(models)) == sorted([name, "m.tflite"])


@pytest.mark.slow
def test_binary_network_beside_its_real_one(tmp_path):
    from r2b_keras.converters import card, convert

    layout = {"width": 8, "blocks": (1, 1), "stem": "small"}
    network = build_model("real_to_binary18", "binary", (28, 28, 1), 10, **layout)
    names = tuple("0123456789")
    model_card = card.ModelCard(names, (28, 28, 1), (0.5,), (0.5,), network=layout)
    flatbuffer = card.attach(convert(network), model_card)
    (tmp_path / "binary.tflite").write_bytes(flatbuffer)
    result = run(
        f"--model={tmp_path / 'binary.tflite'}",
        "--float_baseline",
        "--engines=lce_indirect_xnnpack,litert",
        f"--output_dir={tmp_path}",
        *QUICK,
    )
    assert result.returncode == 0, result.stderr
    rows = files.read_csv(tmp_path / "benchmark.csv")
    baseline = benchmark_baseline.NAME
    assert "random weights" in baseline
    assert [(row["model"], row["engine"]) for row in rows] == [
        ("binary.tflite", "lce_indirect_xnnpack"),
        (baseline, "litert"),
    ]
    assert rows[0]["size_kib"] == str(len(flatbuffer) / 1024)
    assert float(rows[0]["size_kib"]) < float(rows[1]["size_kib"])
    for row in rows:
        # Not TensorFlow's, which Larq Compute Engine's package imports.
        assert 0 <= float(row["peak_memory_mib"]) < 10
