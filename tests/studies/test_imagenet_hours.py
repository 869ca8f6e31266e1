"""The estimate of ImageNet's hours: by hand, and as it is committed."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent
# Runs the program, then names what it should not have imported.
RUN = """
import runpy, sys
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
sys.stderr.write(" ".join({"tensorflow", "larq"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def hours(load):
    return load("imagenet_hours")


@pytest.mark.parametrize(
    ("passes", "gpus", "expected"),
    [
        # 2375 / 2 images/s of a network of half the work for each image (3 passes of
        # 2.05e9 multiply-accumulates against 3 of 4.1e9) are 2375: 0.512 s for 1216
        # images, and 0.01 s of overhead.
        (3, 1, 1216 / 0.522),
        # A fourth pass: 4/3 of the time.
        (4, 1, 1216 / (0.512 * 4 / 3 + 0.01)),
        # An eighth of the images on each of 8, and 0.015 s.
        (3, 8, 1216 / (0.064 + 0.015)),
        (3, 64, 1216 / (0.008 + 0.03)),
    ],
)
def test_images_per_second_by_hand(hours, monkeypatch, passes, gpus, expected):
    monkeypatch.setattr(hours, "STUDENT_MACS", 2.05e9)
    found = hours.images_per_second(passes, gpus, 1216)
    assert found == pytest.approx(expected, rel=1e-12)


def test_images_of_one_core(hours, tmp_path):
    path = tmp_path / "pipeline.csv"
    path.write_text(
        "augmentation,images_per_second,images_per_cpu_second\n"
        "none,9,8\nstage 0 of imagenet,7,6.5\n"
    )
    assert hours.per_core(path) == 6.5


def test_the_committed_tables_are_what_the_program_gives(tmp_path):
    program = ROOT / "studies" / "imagenet_hours.py"
    result = subprocess.run(
        [sys.executable, "-c", RUN, str(program), f"--output={tmp_path}"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (result.returncode, result.stderr) == (0, "")
    names = {"imagenet_hours.csv", "assumptions.csv"}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        committed = ROOT / "results" / "scale" / name
        assert (tmp_path / name).read_text() == committed.read_text()
