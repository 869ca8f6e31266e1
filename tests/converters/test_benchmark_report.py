"""The benchmark's table, CSV and chart, of made-up rows."""

import csv
import dataclasses
import io
import math
import struct
import sys

import pytest

from r2b_keras import drawing
from r2b_keras.converters import benchmark_report
from r2b_keras.converters.benchmark_report import Machine, describe_machine
from r2b_keras.converters.benchmarking import Measurement

ROW = Measurement(
    model="binary.tflite",
    engine="lce",
    threads=1,
    median_ms=100 / 3,
    p10_ms=30.0,
    p90_ms=41.5,
    ratio=1.0,
    ratio_p10=1.0,
    ratio_p90=1.0,
    num_inferences=150,
    num_warmup=31,
    cores_used=0.99,
    peak_memory_mib=27.15625,
    size_kib=5377.0,
)
ROWS = [
    ROW,
    dataclasses.replace(
        ROW,
        model='real, "random" Grüße.tflite',
        engine="litert",
        median_ms=0.0123456789,
        p10_ms=0.012,
        p90_ms=0.0125,
        ratio=0.1 + 0.2,
        ratio_p10=0.29,
        ratio_p90=0.31,
        num_inferences=9000,
        num_warmup=1800,
        peak_memory_mib=None,
    ),
]
MACHINE = Machine(
    "Cortex-A72", 4, "ondemand", 0.25, "2026-01-02 03:04 UTC", "Python 3.11.2, x 1"
)


def read_csv(text):
    """Makes the rows again, with no knowledge of how they are written."""
    kinds = {field.name: field.type for field in dataclasses.fields(Measurement)}
    found = []
    for line in csv.DictReader(io.StringIO(text)):
        values = {name: line[name] for name in kinds}
        for name, kind in kinds.items():
            if kind is not str:
                convert = int if kind is int else float
                values[name] = convert(values[name]) if values[name] else None
        found.append(Measurement(**values))
    return found


def test_csv_keeps_every_digit():
    text = benchmark_report.to_csv(ROWS, MACHINE)
    assert read_csv(text) == ROWS
    for line in csv.DictReader(io.StringIO(text)):
        assert line["cpu"] == "Cortex-A72"
        assert line["num_cores"] == "4"
        assert line["load_average"] == "0.25"
        assert line["versions"] == "Python 3.11.2, x 1"
        assert None not in line


def test_no_column_has_two_meanings():
    names = [
        f.name for kind in (Measurement, Machine) for f in dataclasses.fields(kind)
    ]
    assert len(names) == len(set(names))


def test_table():
    lines = benchmark_report.to_text(ROWS).splitlines()
    assert lines[0].split() == (
        "model engine ms 10-90 % ratio 10-90 % cores MiB KiB".split()
    )
    assert lines[1].split() == (
        "binary.tflite lce 33.33 30.00-41.50 1.00 1.00-1.00 0.99 27.2 5377.0".split()
    )
    assert lines[2].split()[-8:] == (
        "litert 0.0123 0.0120-0.0125 0.30 0.29-0.31 0.99 ? 5377.0".split()
    )
    # Columns of numbers end where their title ends.
    assert len(lines[0]) == len(lines[1]) == len(lines[2])
    legend = "\n".join(lines[3:])
    assert "one image on 1 thread, of 150 to 9000\n" in legend
    assert "inferences; 31 to 1800 more" in legend
    assert "other processes" not in legend


def test_table_tells_of_a_busy_machine():
    busy = dataclasses.replace(ROW, cores_used=0.6, threads=2)
    text = benchmark_report.to_text([ROW, busy])
    assert "Cores below 0.95: other processes took time" in text
    assert "on 2 threads" in benchmark_report.to_text([busy])


def test_an_engine_that_fails_is_a_row_without_numbers():
    reason = "Model binary.tflite: The engine lce cannot run it."
    nothing = dict.fromkeys(
        ("median_ms", "p10_ms", "p90_ms", "ratio", "ratio_p10", "ratio_p90"), math.nan
    )
    failed = dataclasses.replace(
        ROW, **nothing, cores_used=math.nan, num_inferences=0, problem=reason
    )
    first, second, *rest = benchmark_report.to_text([failed, ROW]).splitlines()[1:]
    assert first.split() == "binary.tflite lce fails - - - - - 5377.0".split()
    assert len(first) == len(second) and rest[-1] == reason
    assert "of 150\n" in "\n".join(rest)
    line, _ = csv.DictReader(
        io.StringIO(benchmark_report.to_csv([failed, ROW], MACHINE))
    )
    assert [line[name] for name in (*nothing, "cores_used")] == [""] * 7
    assert line["problem"] == reason
    content = drawing.to_png(benchmark_report.draw([failed, ROW], MACHINE))
    assert content == drawing.to_png(benchmark_report.draw([ROW], MACHINE))


def test_machine_in_words():
    assert MACHINE.to_text() == (
        "Cortex-A72, 4 cores, governor ondemand, load average 0.25, "
        "2026-01-02 03:04 UTC\nPython 3.11.2, x 1"
    )
    silent = dataclasses.replace(MACHINE, num_cores=1, governor="", load_average=None)
    assert silent.to_text().startswith("Cortex-A72, 1 core, 2026-01-02")


def test_this_machine():
    machine = describe_machine()
    assert machine.cpu and machine.num_cores >= 1
    assert f"Python {sys.version_info[0]}.{sys.version_info[1]}." in machine.versions
    assert "r2b_keras 0." in machine.versions
    assert "ai-edge-litert " in machine.versions


def size_of_png(content):
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert content[12:16] == b"IHDR"
    return struct.unpack(">II", content[16:24])


@pytest.mark.parametrize("count", [1, 2, 12])
def test_chart_has_the_stated_size(count):
    content = drawing.to_png(benchmark_report.draw((ROWS * count)[:count], MACHINE))
    assert size_of_png(content) == (
        drawing.WIDTH,
        benchmark_report.FRAME_HEIGHT + count * benchmark_report.ROW_HEIGHT,
    )


def test_chart_has_a_bar_for_each_row():
    third = dataclasses.replace(ROW, engine="lce_reference", model="$" + "a" * 39)
    (axes,) = benchmark_report.draw([*ROWS, third], MACHINE).axes
    assert [bar.get_width() for bar in axes.patches] == [
        ROW.median_ms,
        ROWS[1].median_ms,
        ROW.median_ms,
    ]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[0] == "binary.tflite\nlce"
    assert labels[2] == rf"\${'a' * 39}" + "\nlce_reference"
    assert [text.get_text().strip() for text in axes.texts][:2] == [
        "33.33 ms",
        "0.0123 ms",
    ]
    # The first on top, models told apart by colour.
    assert axes.patches[0].get_y() < axes.patches[1].get_y()
    assert axes.yaxis_inverted()
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert len(set(colours)) == 3
    assert MACHINE.to_text() in axes.get_xlabel()


def test_long_names_keep_their_end():
    row = dataclasses.replace(ROW, model="folder/" * 9 + "model.tflite")
    (axes,) = benchmark_report.draw([row], MACHINE).axes
    name = axes.get_yticklabels()[0].get_text().splitlines()[0]
    assert len(name) == 40
    assert name.startswith("...") and name.endswith("folder/model.tflite")


def test_whiskers_end_at_the_percentiles():
    (axes,) = benchmark_report.draw(ROWS, MACHINE).axes
    (whiskers,) = (one for one in axes.collections if hasattr(one, "get_segments"))
    ends = [(segment[0][0], segment[1][0]) for segment in whiskers.get_segments()]
    assert ends == [(pytest.approx(30.0), 41.5), (pytest.approx(0.012), 0.0125)]
