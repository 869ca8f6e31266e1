"""`python -m r2b_runtime watch`: every source, without a camera."""

import io
import itertools
import json
import os
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import classification, pictures
from r2b_keras.converters import engines
from r2b_runtime import InputError, frames
from r2b_runtime.board import pictures as runtime_pictures
from tests.converters.small_flatbuffers import DENSE_CARD, dense


def ppm(image, header="P6 {w} {h} 255\n"):
    height, width, _ = image.shape
    return header.format(w=width, h=height).encode() + image.tobytes()


def expected(model, image):
    """The guesses for one frame, by way of what `classify` does."""
    framed = pictures.frame(pictures.to_channels(image, 1), (1, 64), DENSE_CARD.framing)
    engine = engines.load(model.read_bytes(), "r2b_runtime")
    seen = pictures.normalize(framed, DENSE_CARD)
    return classification.likeliest(
        engine, DENSE_CARD, seen, "it", len(DENSE_CARD.class_names)
    )


def answers(out):
    """JSON lines without their rates: frames, and the summary."""
    *lines, summary = map(json.loads, out.splitlines())
    return lines, summary


@pytest.fixture
def stdin(monkeypatch):
    def give(content):
        stream = types.SimpleNamespace(buffer=io.BytesIO(content))
        monkeypatch.setattr(sys, "stdin", stream)

    return give


def test_frames_on_standard_input(run, model, images, stdin):
    stdin(b"".join(map(ppm, images)))
    code, out, error = run("watch", model, "-", "--json", "--top=3")
    assert (code, error) == (0, "")
    lines, summary = answers(out)
    assert [line["number"] for line in lines] == [1, 2, 3, 4]
    assert [line["guesses"] for line in lines] == [expected(model, x) for x in images]
    assert len({line["guesses"][0]["label"] for line in lines}) > 1
    assert summary["frames"] == 4 and summary["frames_per_second"] > 0
    stdin(b"".join(map(ppm, images)))
    code, out, _ = run("watch", model, "-", "--frames=2", "--top=1")
    first, second, last = out.splitlines()
    best = expected(model, images[1])[0]
    number, _, *guess = second.split()
    wanted = f"2 {best['label']} {best['probability']:.1%}"
    assert " ".join([number, *guess]) == wanted
    assert last.startswith("2 frames, ") and "network" in last and code == 0


def test_headers_that_the_format_allows(images):
    forms = (
        "P6\n# of a camera\n{w} {h}\n255\n",
        "P6\t{w}\n\n{h} #two\n255 ",
        "P6 {w} {h} 255\n",
    )
    stream = io.BytesIO(b"".join(ppm(images[0], form) for form in forms))
    found = [frame.image for frame in frames.of_stream(stream, "It")]
    assert len(found) == 3
    assert all((image == images[0]).all() for image in found)


def test_frames_that_come_in_pieces():
    large = np.random.default_rng(0).integers(0, 256, (2, 900, 1000, 3), np.uint8)
    assert large[0].size > frames._PIECE
    stream = io.BytesIO(b"".join(map(ppm, large)))
    found = [frame.image for frame in frames.of_stream(stream, "It")]
    np.testing.assert_array_equal(found, large)


class Full:
    """A stream whose frame does not fit into memory."""

    def __init__(self, content):
        self.content = io.BytesIO(content)

    def read(self, size):
        if size > 20:
            raise MemoryError
        return self.content.read(size)


def test_a_frame_that_is_larger_than_memory(images):
    with pytest.raises(InputError, match="It holds a frame of 9000x9 pixels, too many"):
        next(frames.of_stream(Full(b"P6 9000 9 255\n"), "It"))


def test_a_picture_of_a_folder_that_is_larger_than_memory(
    run, model, images, tmp_path, monkeypatch
):
    for place, name in enumerate(("large.png", "small.png")):
        Image.fromarray(images[place]).save(tmp_path / name)
        os.utime(tmp_path / name, (place + 1, place + 1))
    frame, calls = pictures.frame, itertools.count()

    def framed(*arguments):
        if next(calls) == 0:
            raise MemoryError
        return frame(*arguments)

    monkeypatch.setattr(runtime_pictures, "frame", framed)
    code, out, error = run("watch", model, tmp_path, "--frames=1", "--json")
    assert code == 0 and "small.png" in out
    assert error == (
        f"{tmp_path}/large.png has too many pixels for this machine's memory: make it "
        "smaller.\n"
    )


def test_a_pipe_with_the_name_of_a_picture_is_none(run, model, images, tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    Image.fromarray(images[0]).save(tmp_path / "b.png")
    code, out, error = run("watch", model, tmp_path, "--frames=1", "--json")
    assert (code, error) == (0, "") and "b.png" in out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "There was no frame"),
        (b"P6 2 2 255\n" + bytes(11), "ends in the middle of a frame"),
        (b"P6 2 2", "b'P6 2 2 ' where a frame was to begin"),
        (b"P5 2 2 255\n" + bytes(4), "b'P5' where a frame was to begin"),
        (b"P6 2 2 65535\n" + bytes(24), "b'P6 2 2 65535' where a frame"),
        (b"P6 0 2 255\n", "a frame of 0x2 pixels, expected sides from 1 to 32768: "),
        (b"P6 32769 7 255\n", "a frame of 32769x7 pixels, expected sides from 1 to "),
        (b"P6 7 99999999 255\n", "a frame of 7x99999999 pixels, expected sides from"),
        (b"P6 -2 2 255\n" + bytes(12), "expected PPM pictures of 8 bits"),
        (bytes(50), "where a frame was to begin"),
        (b"P6 1 1 255\n" + bytes(3) + b"no frame", "b'no' where a frame"),
    ],
)
def test_streams_that_hold_something_else(run, model, stdin, content, words):
    stdin(content)
    code, _, error = run("watch", model, "-")
    assert code == 1 and words in error
    assert error.count("\n") == 1 and error.endswith(".\n")


def test_pictures_that_come_into_a_folder(run, model, images, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    (folder / "bro\nken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for place, name in enumerate(("b.png", "a.png")):
        Image.fromarray(images[place]).save(folder / name)
        os.utime(folder / name, (place + 1, place + 1))

    def add_another():
        time.sleep(3 * frames.POLL_SECONDS)
        Image.fromarray(images[2]).save(folder / "late.png")

    adding = threading.Thread(target=add_another)
    adding.start()
    code, out, error = run("watch", model, folder, "--frames=3", "--json", "--top=3")
    adding.join()
    lines, summary = answers(out)
    names = [str(folder / name) for name in ("b.png", "a.png", "late.png")]
    assert [line["name"] for line in lines] == names
    found = [line["guesses"] for line in lines]
    assert found == [expected(model, image) for image in images[:3]]
    assert (code, summary["frames"]) == (0, 3)
    assert r"bro\nken.png is broken" in error and error.count("\n") == 1


def test_a_picture_that_is_being_written_waits(images, tmp_path, monkeypatch):
    path, looks = tmp_path / "slow.png", itertools.count()
    content = io.BytesIO()
    Image.fromarray(images[0]).save(content, "png")

    def write_more(_):
        size = min(100 * (next(looks) + 1), len(content.getvalue()))
        path.write_bytes(content.getvalue()[:size])
        os.utime(path, (5, 5))

    monkeypatch.setattr(time, "sleep", write_more)
    frame = next(frames.frames(str(tmp_path), 3, True))
    assert frame.name == str(path) and (frame.image == images[0]).all()
    # Written in pieces of 100 bytes, and then once more the same.
    assert next(looks) == -(-len(content.getvalue()) // 100) + 1


def test_a_picture_that_was_taken_away_is_forgotten(images, tmp_path, monkeypatch):
    """It is named again when it comes back, and no list grows with every name."""
    path, looks = tmp_path / "again.png", itertools.count()

    def put():
        Image.fromarray(images[0]).save(path)
        os.utime(path, (5, 5))

    def change(_):
        look = next(looks)
        assert look < 6, "it is not named again"
        if look == 2:
            path.unlink()
        elif look == 3:
            put()

    put()
    monkeypatch.setattr(time, "sleep", change)
    source = frames.frames(str(tmp_path), 3, True)
    assert [next(source).name for _ in range(2)] == [str(path)] * 2


def test_a_picture_that_cannot_be_looked_at_is_told(images, tmp_path, capsys):
    """And the watch goes on."""
    (tmp_path / "a.jpg").symlink_to("a.jpg")
    Image.fromarray(images[0]).save(tmp_path / "b.png")
    frame = next(frames.frames(str(tmp_path), 3, True))
    assert frame.name == str(tmp_path / "b.png")
    error = capsys.readouterr().err
    assert error.startswith(f"{tmp_path / 'a.jpg'} ") and error.count("\n") == 1


def test_of_a_camera_the_newest_frame_is_taken(images):
    """Those that came while nobody looked are dropped, and the last is not lost."""
    have_come, goes_on = threading.Event(), threading.Event()

    def camera():
        for image in images[:3]:
            yield frames.Frame("", image)
        have_come.set()
        goes_on.wait(60)
        yield frames.Frame("", images[3])
        raise InputError("The camera is gone.")

    with frames._newest(camera(), "It") as newest:
        taken = iter(newest)
        assert have_come.wait(60)
        assert next(taken).image is images[2]
        goes_on.set()
        assert next(taken).image is images[3]
        with pytest.raises(InputError, match="The camera is gone"):
            next(taken)
    with frames._newest(iter(()), "It") as newest:
        assert list(newest) == []


FFMPEG = """#!/bin/sh
echo "$*" > "{log}"
echo "{says}" >&2
cat "{frames}"
{then}
"""


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """A stand-in for ffmpeg, on PATH alone with the shell's own programs."""

    def install(content, then="", says=""):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "frames.ppm").write_bytes(content)
        program = tmp_path / "bin" / "ffmpeg"
        paths = {"log": tmp_path / "log", "frames": tmp_path / "frames.ppm"}
        program.write_text(FFMPEG.format(then=then, says=says, **paths))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
        return lambda: (tmp_path / "log").read_text().split()

    return install


def test_videos_and_devices_are_read_by_ffmpeg(run, model, images, ffmpeg, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(b"not looked at")
    arguments = ffmpeg(b"".join(map(ppm, images)))
    code, out, error = run("watch", model, film, "--json", "--top=3")
    lines, _ = answers(out)
    assert (code, error) == (0, "")
    assert [line["guesses"] for line in lines] == [expected(model, x) for x in images]
    assert f"file:{film}" in arguments() and "v4l2" not in arguments()
    # Else it would take keys from the terminal.
    assert "-nostdin" in arguments()
    # Else a pause would be filled with copies.
    assert "-fps_mode vfr" in " ".join(arguments())
    # Else a film of 10 bits would come as 16.
    assert "-pix_fmt rgb24" in " ".join(arguments())
    # A character device is a camera.
    code, *_ = run("watch", model, "/dev/null", "--json")
    assert code == 0 and "v4l2" in arguments() and "/dev/null" in arguments()


def test_ffmpeg_is_ended_when_enough_was_seen(run, model, images, ffmpeg, tmp_path):
    film = tmp_path / "film.mp4"
    film.touch()
    ffmpeg(ppm(images[0]), then="exec sleep 100")
    start = time.monotonic()
    for source in (film, "/dev/null"):
        code, out, _ = run("watch", model, source, "--frames=1")
        assert code == 0 and out.count("\n") == 2
    assert time.monotonic() - start < 50


def test_a_camera_that_stops_without_an_end(images, ffmpeg, monkeypatch):
    monkeypatch.setattr(frames, "STALL_SECONDS", 0.5)
    ffmpeg(ppm(images[0]), then="exec sleep 100")
    source = frames._of_ffmpeg("/dev/video9", is_camera=True)
    assert (next(source).image == images[0]).all()
    with pytest.raises(InputError, match="/dev/video9 has given no frame for 0.5 sec"):
        next(source)


def test_videos_that_ffmpeg_cannot_read(run, model, ffmpeg, tmp_path, monkeypatch):
    film = tmp_path / "film.mp4"
    film.touch()
    ffmpeg(b"", then="exit 1", says="moov atom not found.")
    code, out, error = run("watch", model, film)
    assert (code, out) == (1, "")
    assert error == (
        f"ffmpeg cannot read {film} (moov atom not found): expected a video or a "
        "camera, and ffmpeg 5.1 or newer.\n"
    )
    # In the middle of a frame.
    half = ppm(np.zeros((2, 2, 3), np.uint8))[:-5]
    ffmpeg(half, then="exit 1", says="broken film")
    code, out, error = run("watch", model, film)
    assert code == 1 and "(broken film)" in error and "middle" not in error
    ffmpeg(half)
    code, out, error = run("watch", model, film)
    assert code == 1 and f"{film} ends in the middle of a frame" in error
    # One that crashes, with nothing said.
    ffmpeg(ppm(np.zeros((2, 2, 3), np.uint8)), then="kill -KILL $$")
    code, out, error = run("watch", model, film)
    assert code == 1 and "ffmpeg cannot read" in error and "(exit code -9)" in error
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, error = run("watch", model, film)
    assert code == 1 and error == (
        f"{film} is no folder, and ffmpeg, which reads videos and cameras, does not "
        "start here (No such file or directory): run `sudo apt install ffmpeg`, or "
        "name a folder.\n"
    )
    code, _, error = run("watch", model, tmp_path / "none.mp4")
    assert code == 1 and "none.mp4 cannot be read (No such file" in error


@pytest.mark.parametrize("name", ["one.jpg", "ONE.PNG", "one.webp"])
def test_a_single_picture_is_for_another_command(run, model, tmp_path, name):
    path = tmp_path / name
    path.touch()
    code, out, error = run("watch", model, path)
    assert (code, out) == (1, "")
    assert error == (
        f"{path} is one picture, expected a folder of them, a video or a camera: "
        "`python -m r2b_runtime classify` names single pictures.\n"
    )


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)
def test_a_signal_ends_it_with_the_summary(
    run, model, images, monkeypatch, number, name
):
    class Stream(io.BytesIO):
        def read(self, size):
            found = super().read(size)
            if not found:  # all frames were given
                assert signal.getsignal(number), "it would end the tests"
                signal.raise_signal(number)
            return found

    stream = Stream(b"".join(map(ppm, images)))
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=stream))
    code, out, error = run("watch", model, "-", "--json")
    lines, summary = answers(out)
    assert (code, error) == (128 + number, f"Stopped by {name}.\n")
    assert len(lines) == summary["frames"] == len(images)


class Camera:
    """Stands in for picamera2's: gives its frames, then fails."""

    images, closed = (), 0

    def create_video_configuration(self, main):
        return main

    def configure(self, main):
        # By this name arrays are in the order red, green, blue.
        assert main == {"size": frames.CAMERA_SIZE, "format": "BGR888"}

    def start(self):
        self.left = list(self.images)

    def capture_array(self, name):
        assert name == "main"
        return self.left.pop(0)

    def close(self):
        type(self).closed += 1


def test_the_camera_of_a_raspberry_pi(run, model, images, monkeypatch):
    module = types.SimpleNamespace(Picamera2=Camera)
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Camera, "images", images)
    monkeypatch.setattr(Camera, "closed", 0)
    code, out, error = run("watch", model, "--frames=3", "--json", "--top=3")
    lines, _ = answers(out)
    assert (code, error, Camera.closed) == (0, "", 1)
    found = [line["guesses"] for line in lines]
    assert found == [expected(model, image) for image in images[:3]]


def test_cameras_that_there_are_none(run, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "picamera2", None)
    code, _, error = run("watch", model)
    assert code == 1 and error.count("\n") == 1
    assert "sudo apt install python3-picamera2" in error
    assert "--system-site-packages" in error

    def none():
        raise IndexError("list index out of range")

    module = types.SimpleNamespace(Picamera2=none)
    monkeypatch.setitem(sys.modules, "picamera2", module)
    code, _, error = run("watch", model, "camera")
    assert code == 1 and "rpicam-hello --list-cameras" in error
    assert error.count("\n") == 1


def test_a_camera_package_of_another_numpy(run, model, monkeypatch, tmp_path):
    """Bookworm's, beside the NumPy that LiteRT brings along."""
    (tmp_path / "picamera2.py").write_text(
        "raise ValueError('numpy.dtype size changed\\nExpected 96, got 88')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    code, _, error = run("watch", model)
    assert code == 1 and error.count("\n") == 1
    assert f"does not start with NumPy {np.__version__} (numpy.dtype size" in error
    assert 'run `pip install "numpy<2"`' in error


def test_without_a_model_card(run, model, tmp_path):
    path = tmp_path / "bare.tflite"
    path.write_bytes(dense())
    code, out, error = run("watch", path, "-")
    assert (code, out) == (1, "") and "has no model card" in error
