"""Flags in place of a model card, as `predict` has them."""

import pytest

from r2b_keras import card_flags, predict
from r2b_keras.errors import InputError
from tests.commands import flags_of


def given(*arguments):
    """What the flags give, by the card's names."""
    with flags_of("predict", *arguments):
        return card_flags.given(predict.FLAGS)


@pytest.fixture
def labels(tmp_path):
    return tmp_path / "labels.txt"


def refusal(*arguments):
    with pytest.raises(InputError) as problem:
        given(*arguments)
    return str(problem.value)


def test_all_or_none_of_them(labels):
    assert given() == {}
    labels.write_text("cat\ngrüne Gurke\n", encoding="utf-8")
    flags = ("--mean=0.485, -1e-3,3", "--std=0.5", "--framing=center")
    assert given(f"--labels={labels}", *flags) == {
        "class_names": ("cat", "grüne Gurke"),
        "mean": (0.485, -0.001, 3.0),
        "std": (0.5,),
        "framing": "center",
    }


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\ngreat dane\n", ("cat", "great dane")),
        (b"cat\ngreat dane", ("cat", "great dane")),
        (b"cat\r\ngreat dane\r\n", ("cat", "great dane")),
        (b"\xef\xbb\xbfcat\n  great dane \n\n\n", ("cat", "great dane")),
    ],
)
def test_labels_as_editors_write_them(labels, content, names):
    labels.write_bytes(content)
    assert given(f"--labels={labels}") == {"class_names": names}


@pytest.mark.parametrize("content", ["", "\n", " \n\n"])
def test_labels_without_a_name(labels, content):
    labels.write_text(content)
    assert "labels.txt is empty, expected a text" in refusal(f"--labels={labels}")


def test_a_line_without_a_name(labels):
    for content, line in (("cat\n \ndog\n", 2), ("\ncat\n\ndog\n", 1)):
        labels.write_text(content)
        expected = f"labels.txt has no name in line {line}, expected one class name"
        assert expected in refusal(f"--labels={labels}")


def test_labels_that_cannot_be_read(labels, tmp_path):
    labels.write_bytes("Gürkchen\n".encode("latin-1"))
    for name, words in (
        (labels, "(it is no text in UTF-8)"),
        (tmp_path, "(Is a directory)"),
        (tmp_path / "none.txt", "(No such file or directory)"),
    ):
        assert f"--labels={name} cannot be read {words}" in refusal(f"--labels={name}")


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize(
    "text", ["", ",", "0.5,", "0.5;0.4", "half", "0.5,nan", "inf", "-inf,1", "1e999"]
)
def test_lists_that_are_none(name, text):
    message = refusal(f"--{name}={text}")
    assert message.startswith(f"--{name}={text} is not a list of numbers: separate")


def test_other_framings(capsys):
    with pytest.raises(SystemExit):
        given("--framing=left")
    assert "<whole|center>" in capsys.readouterr().err
