"""Which pictures of a folder `python -m r2b_runtime watch` names, and when."""

import itertools
import os
import time

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import pictures
from r2b_runtime import frames
from tests.data.picture_kinds import turned_by_half

MOST_LOOKS = 6
SECOND = 1_000_000_000


def put(path, seed, nanoseconds):
    """A picture of random pixels; all of them are files of one size."""
    image = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    Image.fromarray(image).save(path, "png", compress_level=0)
    os.utime(path, ns=(nanoseconds, nanoseconds))
    return image


@pytest.fixture
def between(monkeypatch):
    """Has functions called between looks, in turn; then looks end soon."""

    def install(*changes):
        looks = itertools.count()

        def change(_):
            look = next(looks)
            assert look < MOST_LOOKS, "nothing is named"
            if look < len(changes):
                changes[look]()

        monkeypatch.setattr(time, "sleep", change)

    return install


def wait():
    pass


def test_a_picture_that_is_replaced_is_named_again(tmp_path, between):
    """By one of the same size and within the same second."""
    path = tmp_path / "door.png"
    first = put(path, 1, 5 * SECOND)
    size = path.stat().st_size
    second = []
    between(wait, wait, lambda: second.append(put(path, 2, 5 * SECOND + 1000)))
    source = frames.frames(str(tmp_path), 3, True)
    assert (next(source).image == first).all()
    again = next(source)
    assert again.name == str(path) and (again.image == second[0]).all()
    assert path.stat().st_size == size


def test_names_of_every_case_and_no_hidden_ones(tmp_path, between):
    """Programs that copy give a picture a hidden name until it is whole."""
    put(tmp_path / ".copying.png", 1, 1 * SECOND)
    put(tmp_path / "IMG_1.JPG", 2, 2 * SECOND)
    put(tmp_path / "b.Png", 3, 3 * SECOND)
    between()
    source = frames.frames(str(tmp_path), 3, True)
    names = [os.path.basename(next(source).name) for _ in range(2)]
    assert names == ["IMG_1.JPG", "b.Png"]


@pytest.mark.parametrize("upright", [True, False])
def test_pictures_are_turned_where_that_is_asked_for(tmp_path, between, upright):
    put(tmp_path / "stored.png", 1, SECOND)
    photos = tmp_path / "photos"
    photos.mkdir()
    by_exif, _ = turned_by_half(tmp_path / "stored.png", photos)
    between()
    os.unlink(photos / "turned.png")
    frame = next(frames.frames(str(photos), 3, upright))
    stored = pictures.read(by_exif, 3, upright=False)
    assert (frame.image == (stored[::-1, ::-1] if upright else stored)).all()
    assert (stored != stored[::-1, ::-1]).any()


def test_the_command_asks_for_it_as_the_card_or_the_flag_says(run, model, monkeypatch):
    asked = []

    def none(*given):
        asked.append(given)
        yield from ()

    monkeypatch.setattr(frames, "frames", none)
    for flags in ((), ("--upright",), ("--no-upright",)):
        code, _, error = run("watch", model, "photos", *flags)
        assert code == 1 and error.startswith("There was no frame")
    assert asked == [("photos", 1, upright) for upright in (True, True, False)]
