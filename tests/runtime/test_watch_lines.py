"""The lines of `python -m r2b_runtime watch`: when they come, and what they tell."""

import dataclasses
import io
import sys
import time

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import pictures
from r2b_runtime import InputError, frames, watching
from tests.converters.small_flatbuffers import DENSE_CARD


def test_each_part_gets_the_time_that_it_takes(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def spend(seconds, what=None):
        clock[0] += seconds
        return what

    class Network:
        def predict(self, images):
            return spend(4.0, np.zeros((1, 3), np.float32))

    def prepare(image, size, framing):
        return spend(2.0, np.zeros((*size, image.shape[-1]), np.uint8))

    monkeypatch.setattr(watching.pictures, "frame", prepare)
    rate = watching.Rate()
    image = np.zeros((5, 6, 3), np.uint8)
    source = (spend(1.0, frames.Frame("", image)) for _ in range(2))
    assert len(list(watching.watch(Network(), DENSE_CARD, source, 3, rate))) == 2
    found = rate.summary()
    parts = [found[f"{name}_ms"] for name in ("waiting", "preparing", "network")]
    assert parts == pytest.approx([1000, 2000, 4000])
    assert found["frames_per_second"] == pytest.approx(1 / 7)


def test_a_picture_of_a_folder_is_not_waited_for_while_it_is_decoded(
    images, tmp_path, monkeypatch
):
    clock = [0.0]
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    read = frames.pictures.read

    def decode(*arguments):
        clock[0] += 3.0
        return read(*arguments)

    def sleep(seconds):
        clock[0] += seconds

    class Network:
        def predict(self, images):
            return np.zeros((1, 3), np.float32)

    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(frames.pictures, "read", decode)
    rate = watching.Rate()
    source = frames.frames(str(tmp_path), 1, True)
    next(watching.watch(Network(), DENSE_CARD, source, 3, rate))
    found = rate.summary()
    parts = [found[f"{name}_ms"] for name in ("waiting", "preparing", "network")]
    assert parts == pytest.approx([1e3 * frames.POLL_SECONDS, 3000, 0])
    assert found["frames_per_second"] == pytest.approx(1 / 3.25)


def test_a_line_is_written_when_its_frame_is_named(monkeypatch):
    """A program that reads them through a pipe waits for no later frame."""
    written, seen, rate = io.BytesIO(), [], watching.Rate()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written))

    def named():
        for number in (1, 2):
            yield watching.Named(number, rate.frame(), [], "it")
            seen.append(written.getvalue().count(b"\n"))

    watching.print_named(named(), rate, None, as_json=False)
    assert seen == [1, 2] and written.getvalue().count(b"\n") == 3


def test_what_was_seen_is_summed_up_though_the_source_ends_badly(capsys):
    rate = watching.Rate()

    def named():
        yield watching.Named(1, rate.frame(), [], "it")
        raise InputError("It ends in the middle of a frame.")

    with pytest.raises(InputError, match="in the middle of a frame"):
        watching.print_named(named(), rate, None, as_json=False)
    first, last = capsys.readouterr().out.splitlines()
    assert first.endswith("it") and last.startswith("1 frames, ")


def test_the_rate_is_that_of_the_last_frames(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    rate = watching.Rate()
    rates = []
    for number in range(2 * watching.NUM_RECENT):
        # The first half waits 1 s for each frame, the second 0.1 s.
        clock[0] += 1.0 if number < watching.NUM_RECENT else 0.1
        rate.spent("waiting")
        clock[0] += 0.01
        rate.spent("network")
        rates.append(rate.frame())
    assert rates[0] == 0
    assert rates[watching.NUM_RECENT - 1] == pytest.approx(1 / 1.01)
    assert rates[-1] == pytest.approx(1 / 0.11)
    found = rate.summary()
    assert found["frames"] == 60
    assert found["waiting_ms"] == pytest.approx(550)
    assert (found["preparing_ms"], found["network_ms"]) == pytest.approx((0, 10))
    assert found["frames_per_second"] == pytest.approx(1 / 0.56)


def test_a_line_stays_one():
    guess = {"label": "a\nb", "index": 0, "probability": 0.5}
    named = watching.Named(1, 0.0, [guess], "c\rd\u2028.png")
    assert named.to_text() == r"     1      0.0/s  a\nb 50.0%  c\rd\u2028.png"


def test_a_network_that_takes_pixels_gets_them(images):
    seen = []

    class Network:
        def predict(self, images):
            seen.append(images)
            return np.zeros((1, 3), np.float32)

    card = dataclasses.replace(DENSE_CARD, input_type="uint8")
    source = iter([frames.Frame("", images[0])])
    next(watching.watch(Network(), card, source, 3, watching.Rate()))
    grey = pictures.to_channels(images[0], 1)
    framed = pictures.frame(grey, (1, 64), card.framing)
    assert seen[0].dtype == np.uint8 and (seen[0] == framed[np.newaxis]).all()


def test_scores_that_are_no_numbers(images):
    class Network:
        def predict(self, images):
            return np.full((1, 3), np.nan)

    source = iter([frames.Frame("", images[0])])
    named = watching.watch(Network(), DENSE_CARD, source, 3, watching.Rate())
    with pytest.raises(InputError, match="scores for frame 1 are not finite"):
        next(named)
