"""The lines of `python -m r2b_runtime watch`: when they come, and what they tell."""

import io
import sys
import time

import numpy as np
import pytest

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
