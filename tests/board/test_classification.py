"""Scores and what they mean, and what is printed of it."""

import json

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import classification
from r2b_keras.board.card import ModelCard
from r2b_keras.board.errors import InputError

CARD = ModelCard(("dark", "grey", "grün"), (4, 4, 1), (0.5,), (0.5,))


class Brightness:
    """Scores by the mean of an image, -1 to 1: logits of dark and bright, and of 0."""

    def predict(self, images):
        means = images.mean(axis=(1, 2, 3))
        return np.stack([-means, 0 * means, means], 1).astype(np.float32)


@pytest.fixture
def paths(tmp_path):
    """A black, a white, a cut off, a textual and no picture."""
    found = [str(tmp_path / name) for name in ("0.png", "1.jpg", "2.jpg", "3", "4")]
    for level, path in ((0, found[0]), (255, found[1])):
        Image.new("L", (40, 30), level).save(path)
    content = (tmp_path / "1.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(content[:-20])
    (tmp_path / "3").write_text("no picture")
    return found


def printed(capsys, paths, top=5, as_json=False):
    named = classification.print_guesses(Brightness(), CARD, paths, top, as_json)
    return (named, *capsys.readouterr())


def test_a_line_for_each_class(capsys, paths):
    """Shares of e, 1 and 1 / e: 66.52, 24.47 and 9.00 %."""
    assert printed(capsys, paths[:2]) == (
        True,
        f"{paths[0]}\n  66.52%  dark\n  24.47%  grey\n   9.00%  grün\n"
        f"{paths[1]}\n  66.52%  grün\n  24.47%  grey\n   9.00%  dark\n",
        "",
    )
    assert printed(capsys, paths[:1], top=1)[1].count("\n") == 2


def test_control_characters_are_written_out(capsys, tmp_path):
    path = str(tmp_path / "two\nlines\x1b[2J\x7f\x85\u2028 grün\xa0.png")
    Image.new("L", (3, 3)).save(path)
    shown = rf"{tmp_path}/two\nlines\x1b[2J\x7f\x85\u2028 grün" + "\xa0.png"
    assert printed(capsys, [path], top=1)[1] == f"{shown}\n  66.52%  dark\n"
    assert list(json.loads(printed(capsys, [path], as_json=True)[1])) == [path]
    _, _, error = printed(capsys, [path + "\r"])
    assert error == rf"There is no picture {shown}\r: check its name." + "\n"
    guess = {"label": "a\nb", "index": 0, "probability": 1.0}
    assert classification.to_text("c", [guess]) == "c\n" + r" 100.00%  a\nb"


def test_bad_pictures_do_not_stop_the_others(capsys, paths):
    named, out, errors = printed(capsys, [paths[0], *paths[2:], paths[1]], as_json=True)
    found = json.loads(out)
    assert not named and list(found) == paths[:2]
    expected = {"label": "grün", "index": 2, "probability": pytest.approx(0.66524096)}
    assert found[paths[1]][0] == expected
    words = ("is broken or cut off", "neither a JPEG nor a PNG", "There is no picture")
    for line, path, text in zip(errors.splitlines(), paths[2:], words, strict=True):
        assert path in line and text in line
    assert printed(capsys, paths)[:2] == (False, printed(capsys, paths[:2])[1])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # exp(1) / (exp(1) + 1 + exp(-1)) and so on
        ([1.0, 0.0, -1.0], [0.66524096, 0.24472847, 0.09003057]),
        ([1e4, 0.0, -1e4], [1.0, 0.0, 0.0]),
        ([0.5, 0.25, 0.25], [0.5, 0.25, 0.25]),
        ([0.5003, 0.5, 0.0], [0.5003, 0.5, 0.0]),
        ([0.5, 0.6, 0.0], [0.36877214, 0.40755625, 0.22367161]),
        ([1.5, -0.5, 0.0], [0.73612472, 0.09962365, 0.16425163]),
        ([-3.0], [1.0]),
    ],
)
def test_probabilities(scores, expected):
    found = classification.probabilities(np.array(scores, np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_scores_that_are_no_numbers(monkeypatch, paths):
    nan = np.full((1, 3), np.nan, np.float32)
    monkeypatch.setattr(Brightness, "predict", lambda self, images: nan)
    with pytest.raises(InputError, match="scores for .*0.png are not finite numbers"):
        classification.guess(Brightness(), CARD, paths[0], 5)


def test_scores_whose_sum_is_a_little_off_1_are_logits():
    scores = np.array([0.5, 0.51], np.float32)
    expected = np.exp([0.5, 0.51]) / np.exp([0.5, 0.51]).sum()
    np.testing.assert_allclose(classification.probabilities(scores), expected)


def test_of_equal_classes_the_first_one_comes_first():
    class Network:
        def predict(self, images):
            return np.array([[0.25, 0.5, 0.25]], np.float32)

    card = ModelCard(("a", "b", "c"), (2, 2, 1), (0.0,), (1.0,))
    image = np.zeros((2, 2, 1), np.float32)
    found = classification.likeliest(Network(), card, image, "it", 3)
    assert [guess["label"] for guess in found] == ["b", "a", "c"]
