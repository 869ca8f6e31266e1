"""runtime/examples: a C++ program built against what the Python packages install."""

import pathlib
import subprocess
import sys

import ai_edge_litert
import numpy as np
import pytest

import r2b_runtime
from tests.converters.small_flatbuffers import binary, dense

pytestmark = pytest.mark.slow

EXAMPLE = pathlib.Path(__file__).parents[2] / "runtime" / "examples"
PACKAGE = pathlib.Path(r2b_runtime.__path__[0])
LITERT = pathlib.Path(ai_edge_litert.__path__[0]) / "libLiteRt.so"
HEIGHT, WIDTH = 6, 7
# Far enough apart that a channel with another's numbers gives other signs.
MEAN, STD = "0.7,0.45,0.2", "0.2,0.225,0.3"


def cmake(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cmake", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )


def configure(folder, litert=LITERT):
    options = (f"-Dr2b_runtime_DIR={PACKAGE / 'cmake'}", f"-DLITERT={litert}")
    return cmake("-S", EXAMPLE, "-B", folder, *options)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program as somebody builds it who has installed both packages."""
    folder = tmp_path_factory.mktemp("example")
    for result in (configure(folder), cmake("--build", folder)):
        assert result.returncode == 0, result.stdout + result.stderr
        assert "warning" not in result.stdout + result.stderr
    return folder / "classify"


def run(program, *arguments):
    return subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def files(tmp_path):
    """A model and a picture of its size."""
    model, picture = tmp_path / "model.tflite", tmp_path / "picture.ppm"
    model.write_bytes(binary(6, seed=3, shape=(HEIGHT, WIDTH, 3)))
    pixels = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    picture.write_bytes(f"P6\n{WIDTH} {HEIGHT}\n255\n".encode() + pixels.tobytes())
    return model, picture, pixels


def test_the_program_answers_as_the_python_package_does(program, files):
    model, picture, pixels = files
    result = run(program, model, picture, MEAN, STD)
    assert (result.returncode, result.stderr) == (0, "")
    mean, std = (np.array(text.split(","), float) for text in (MEAN, STD))
    scale, offset = (1 / (255 * std)).astype("f4"), (-mean / std).astype("f4")
    image = pixels.astype(np.float32) * scale + offset
    (scores,) = r2b_runtime.Interpreter(str(model)).predict(image[np.newaxis])
    best = np.argsort(-scores, kind="stable")[:5]
    *lines, time = result.stdout.splitlines()
    assert lines == [f"class {index}  {scores[index]:.6f}" for index in best]
    assert float(time.removesuffix(" ms")) > 0
    # Without mean and std pixels are 0 to 1, whose signs are all the same.
    assert run(program, model, picture).stdout.splitlines()[:5] != lines
    backwards = ",".join(reversed(MEAN.split(",")))
    assert run(program, model, picture, backwards, STD).stdout.splitlines()[:5] != lines


def test_comments_in_a_picture_s_head(program, files, tmp_path):
    """As programs that convert pictures write them."""
    model, picture, pixels = files
    head = f"P6\n# of #1\n{WIDTH}\n#\n {HEIGHT} \n# more\n255\n".encode()
    (tmp_path / "said.ppm").write_bytes(head + pixels.tobytes())
    found = [
        run(program, model, each, MEAN, STD).stdout.splitlines()[:-1]
        for each in (picture, tmp_path / "said.ppm")
    ]
    assert found[0] == found[1] and found[0]


def test_what_the_program_refuses(program, files, tmp_path):
    model, picture, _ = files
    cut, text = tmp_path / "cut.ppm", tmp_path / "text.txt"
    cut.write_bytes(picture.read_bytes()[:-1])
    text.write_text("no picture")
    other = tmp_path / "other.tflite"
    other.write_bytes(dense())
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(model.read_bytes()[:100])
    for arguments, words in (
        ((model,), "usage: classify"),
        ((model, picture, MEAN), "usage: classify"),
        ((model, picture, MEAN, "0.2,0,0.3"), "std is no number above 0"),
        ((model, picture, MEAN, "0.2,nan,0.3"), "std is no number above 0"),
        ((model, picture, "0.7,inf,0.2", STD), "The mean is not finite"),
        ((model, picture, 0.45, STD), "mean has 1 number(s), expected 3"),
        ((model, picture, MEAN, "0.2,0.3"), "std has 2 number(s), expected 3"),
        ((model, picture, "0.7;0.4;0.2", STD), "MEAN is 0.7;0.4;0.2, expected one"),
        ((model, picture, MEAN, "0.2,0.3,"), "STD is 0.2,0.3,, expected one"),
        ((model, cut), "There are 125 pixels, expected 126."),
        ((model, text), "text.txt is no PPM or PGM picture"),
        ((model, tmp_path / "none.ppm"), "There is no picture "),
        ((other, picture), "the network's 64x1, 1 channels"),
        ((broken, picture), "LiteRT cannot"),
        ((tmp_path / "none.tflite", picture), "LiteRT cannot read"),
    ):
        result = run(program, *arguments)
        assert (result.returncode, result.stdout) == (1, ""), arguments
        assert words in result.stderr


def test_without_litert_s_library(tmp_path):
    result = configure(tmp_path, litert=tmp_path / "none.so")
    assert result.returncode == 1
    assert "none.so is no file: give libLiteRt.so" in " ".join(result.stderr.split())
