"""`python -m r2b_runtime`: what it prints, and one sentence where it cannot."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import r2b_runtime
from r2b_keras.board import classification
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import engines
from r2b_keras.converters.card import attach
from r2b_runtime import __main__ as commands
from r2b_runtime import timing
from r2b_runtime.board import machine
from tests.converters.small_flatbuffers import (
    DENSE_CARD,
    binary,
    dense,
    dense_of_card,
)
from tests.data.picture_kinds import turned_by_half


@pytest.fixture
def paths(tmp_path):
    """Pictures that get different answers."""
    generator = np.random.default_rng(2)
    found = []
    for number in range(4):
        image = Image.fromarray(generator.integers(0, 256, (5 + number, 90), np.uint8))
        found.append(str(tmp_path / f"{number}.png"))
        image.save(found[-1])
    return found


def test_pictures_are_named_as_r2b_keras_names_them(run, model, paths):
    code, out, error = run("classify", model, *paths, "--json", "--top=2")
    assert (code, error) == (0, "")
    found = json.loads(out)
    assert list(found) == paths
    engine = engines.load(model.read_bytes(), "r2b_runtime")
    for path, guesses in found.items():
        assert guesses == classification.guess(engine, DENSE_CARD, path, 2)
    assert len({guesses[0]["label"] for guesses in found.values()}) > 1
    code, out, error = run("classify", model, paths[0], "none.jpg", "--threads=2")
    assert code == 1 and out.count("%") == 3
    assert error.startswith("There is no picture none.jpg") and error.count("\n") == 1


def test_pictures_are_turned_as_the_card_or_the_flag_says(run, tmp_path, paths):
    by_exif, by_pixels = turned_by_half(paths[0], tmp_path)

    def answers(*arguments):
        code, out, error = run("classify", *arguments, "--json")
        assert (code, error) == (0, "")
        return list(json.loads(out).values())

    file = tmp_path / "model.tflite"
    for upright in (True, False):
        card = dataclasses.replace(DENSE_CARD, upright=upright)
        file.write_bytes(attach(dense_of_card(), card))
        stored, turned = answers(file, paths[0], by_pixels)
        assert stored != turned
        assert answers(file, by_exif) == [turned if upright else stored]
        assert answers(file, by_exif, "--upright") == [turned]
        assert answers(file, by_exif, "--no-upright") == [stored]


def test_time_of_a_network(run, tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(binary())
    code, out, error = run("benchmark", path, "--runs=7", "--kernel=portable")
    assert (code, error) == (0, "")
    first, second = out.splitlines()
    assert first == f"{path}, 1 thread, portable kernels"
    assert "ms (median of 7 runs; 10-90 %: " in second
    code, out, _ = run("benchmark", path, "--explain", "--threads=2")
    assert "2 threads" in out and "binary convolution" in out
    _, out, _ = run("benchmark", path, "--runs=1", "--threads=1024")
    assert "64 threads" in out
    code, out, _ = run("benchmark", path, "--json", "--runs=3", "--kernel=portable")
    found = json.loads(out)
    assert found["threads"] == 1 and found["num_runs"] == 3
    assert 0 < found["p10_ms"] <= found["median_ms"] <= found["p90_ms"]
    assert found["kernel"] == "portable"
    assert any("binary convolution" in step for step in found["steps"])
    assert found["profile"] == []
    code, out, _ = run("benchmark", path, "--profile", "--runs=3")
    assert "GMAC/s" in out and "binary convolution" in out


def test_the_latency_is_not_of_runs_that_time_each_step(run, tmp_path, monkeypatch):
    path, made, measured = tmp_path / "model.tflite", {}, []
    path.write_bytes(binary())
    interpreter, measure = r2b_runtime.Interpreter, timing.measure

    def load(*arguments, profile):
        new = interpreter(*arguments, profile=profile)
        made[id(new)] = profile
        return new

    def noted(given, num_runs):
        measured.append((made[id(given)], measure(given, num_runs)))
        return measured[-1][1]

    monkeypatch.setattr(r2b_runtime, "Interpreter", load)
    monkeypatch.setattr(timing, "measure", noted)
    _, out, _ = run("benchmark", path, "--profile", "--runs=3", "--json")
    found = json.loads(out)
    assert [profile for profile, _ in measured] == [False, True]
    assert found["median_ms"] == measured[0][1].median_ms and found["profile"]


def test_a_row_for_a_table_of_machines(run, model, monkeypatch):
    monkeypatch.setattr(machine, "cpu_name", lambda: "Raspberry | Pi 5")
    monkeypatch.setattr(machine, "arm_cores", lambda: "Cortex-A76")
    monkeypatch.setattr(machine, "governor", lambda: "")
    code, out, error = run("benchmark", model, "--row", "--runs=7", "--threads=2")
    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 3 and lines[1] == "|" + "---|" * lines[0][1:].count("|")
    cells = [[x.strip() for x in line.strip("|").split("|")] for line in lines]
    row = dict(zip(cells[0], cells[2], strict=True))
    assert row["machine"] == "Raspberry / Pi 5, Cortex-A76"
    assert row["network"] == "model.tflite" and row["clock"] == "unknown"
    assert row["KiB"] == f"{model.stat().st_size / 1024:.0f}"
    # This network has nothing for the delegate.
    assert row["kernels"] == "none" and row["threads"].startswith("2 of ")
    low, high = map(float, row["10-90 %"].split("-"))
    assert 0 < low <= float(row["ms"]) <= high
    assert f"r2b_runtime {r2b_runtime.__version__}" in row["software"]
    assert "ai-edge-litert" in row["software"] and "Python 3." in row["software"]
    _, out, _ = run("benchmark", model, "--row", "--runs=7", "--json")
    assert list(json.loads(out)) == cells[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "arguments are required: COMMAND"),
        (("sing",), "invalid choice: 'sing'"),
        (("classify",), "required: MODEL, PICTURE"),
        (("classify", "a.tflite"), "required: PICTURE"),
        (("benchmark", "a.tflite", "b"), "Unrecognized arguments: b"),
        (("benchmark", "a.tflite", "--runs=0"), "--runs: '0' is given, expected"),
        (("benchmark", "a.tflite", "--row", "--profile"), "--row is given with"),
        (("benchmark", "a.tflite", "--row", "--explain", "--json"), "expected it wi"),
        (("benchmark", "a.tflite", "--threads=two"), "--threads: 'two' is given"),
        (("benchmark", "a.tflite", "--threads=9999999999"), "whole number"),
        (("benchmark", "a.tflite", "--threads=1025"), "expected at most 1024"),
        (("classify", "a.tflite", "b.png", "--top=-1"), "--top: '-1' is given"),
        (("watch",), "required: MODEL"),
        (("watch", "a.tflite", "-", "--frames=0"), "--frames: '0' is given"),
        (("watch", "a.tflite", "-", "b"), "Unrecognized arguments: b"),
    ],
)
def test_command_lines_that_are_wrong(refused, arguments, words):
    assert words in refused(2, *arguments)


def test_models_that_are_none(refused, model, paths, tmp_path):
    path = tmp_path / "other.tflite"
    assert "There is no file" in refused(1, "classify", path, paths[0])
    assert "cannot be read (Is a dir" in refused(1, "benchmark", tmp_path)
    for damaged, words in (
        (
            b"",
            f"{path} is empty, not a .tflite file: expected a file",
        ),
        (pathlib.Path(paths[0]).read_bytes(), f"{path} is no .tflite file: expected"),
        (model.read_bytes()[:900], "The .tflite file is damaged"),
    ):
        path.write_bytes(damaged)
        for command in (("classify", path, paths[0]), ("benchmark", path)):
            assert refused(1, *command).startswith(words)
    path.write_bytes(dense())
    assert "has no model card" in refused(1, "classify", path, paths[0])
    path.write_bytes(
        attach(dense(), ModelCard(DENSE_CARD.class_names, (64, 1, 1), (0.5,), (0.5,)))
    )
    message = refused(1, "classify", path, paths[0])
    assert "(1, 64, 1)" in message and "(64, 1, 1) and 3, one for" in message


def test_kernels_that_this_machine_has_not(refused, model, paths, monkeypatch):
    for name in ("mmx", ""):
        sentence = refused(1, "classify", model, paths[0], f"--kernel={name}")
        says = f"--kernel={name} is not available: this CPU runs "
        assert sentence.startswith(says) and sentence.endswith("portable.\n")
    monkeypatch.setenv("R2B_KERNEL", "sse")
    sentence = refused(1, "benchmark", model)
    assert sentence.startswith("R2B_KERNEL=sse is not available: this CPU runs ")


def test_names_that_would_break_a_line(run, model, paths, tmp_path):
    path = tmp_path / "two\nlines\x1b[2J\x85 grün.png"
    pathlib.Path(paths[0]).rename(path)
    shown = f"{tmp_path}/two\\nlines\\x1b[2J\\x85 grün.png"
    code, out, error = run("classify", model, path, f"{tmp_path}/no\rne", "--top=1")
    assert code == 1 and out.splitlines()[0] == shown and out.count("\n") == 2
    assert error == f"There is no picture {tmp_path}/no\\rne: check its name.\n"
    code, out, error = run("classify", model, path, "--json")
    assert (code, error) == (0, "") and list(json.loads(out)) == [str(path)]
    named = tmp_path / "a\nb.tflite"
    named.write_bytes(
        attach(
            dense_of_card(), dataclasses.replace(DENSE_CARD, class_names=("\n",) * 3)
        )
    )
    assert r"  \n" in run("classify", named, path, "--top=1")[1].splitlines()[1]
    for arguments in ((), ("--row",)):
        _, out, _ = run("benchmark", named, "--runs=1", *arguments)
        assert r"a\nb.tflite" in out


def test_litert_s_words_other_than_its_greeting_are_kept(capfd):
    with commands._without_greetings():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate\na problem\n")
    assert capfd.readouterr().err == "a problem\n"


def python_m(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "r2b_runtime", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        **options,
    )


@pytest.mark.slow
def test_as_a_user_runs_it(model, paths):
    result = python_m("classify", model, paths[0], "--top=100")
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert "grüne Gurke" in result.stdout
    result = python_m("--version")
    assert result.stdout.startswith("r2b_runtime ")
    result = python_m("classify", "none.tflite", "a.png")
    assert result.returncode == 1 and result.stderr.startswith("There is no file none")
    # Without a locale, names of classes may hold what the terminal cannot show.
    result = python_m("classify", model, paths[0], env={"PYTHONIOENCODING": "ascii"})
    assert r"gr\xfcne Gurke" in result.stdout


@pytest.mark.slow
def test_without_pillow(model, paths, tmp_path):
    (tmp_path / "PIL").mkdir()
    (tmp_path / "PIL" / "__init__.py").write_text("raise ImportError('none here')")
    result = python_m("classify", model, paths[0], env={"PYTHONPATH": str(tmp_path)})
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith("(none here): run `pip install pillow`.\n")


def test_without_numpy(model, paths, tmp_path):
    (tmp_path / "numpy.py").write_text("raise ImportError('none here')")
    for arguments in (
        ("classify", model, paths[0]),
        ("watch", model, "-"),
        ("benchmark", model),
    ):
        result = python_m(*arguments, env={"PYTHONPATH": str(tmp_path)})
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == (
            "The package numpy does not start here (none here): run "
            "`pip install numpy`.\n"
        )


@pytest.mark.slow
def test_signals_a_reader_that_has_seen_enough_and_a_full_disk(model):
    program = [sys.executable, "-m", "r2b_runtime"]
    command = [*program, "benchmark", str(model)]
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")):
        with subprocess.Popen(
            [*command, "--runs=2000000000"], stderr=subprocess.PIPE, text=True, cwd="/"
        ) as process:
            _wait_until_busy(process.pid)
            process.send_signal(number)
            _, error = process.communicate(timeout=60)
        assert process.returncode == 128 + number
        assert error == f"Stopped by {name}.\n"
    # Whoever sets it has lines written at once, and nothing is left for the end.
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}
    sentence = b"No space left on device: free space or mend the permissions.\n"
    for given in (command, [*program, "--help"], [*program, "classify", "--help"]):
        reader, writer = os.pipe()
        os.close(reader)
        found = []
        for output in (writer, os.open("/dev/full", os.O_WRONLY)):
            result = subprocess.run(
                given, stdout=output, stderr=subprocess.PIPE, cwd="/", env=buffered
            )
            os.close(output)
            found.append((result.returncode, result.stderr))
        assert found == [(128 + signal.SIGPIPE, b""), (1, sentence)], given


def _wait_until_busy(pid):
    """Until the process has used two seconds: it has started, and measures."""
    for _ in range(600):
        fields = (
            pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        )
        if int(fields[11]) > 200:
            return
        time.sleep(0.1)
