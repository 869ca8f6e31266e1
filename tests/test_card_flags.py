"""Flags in place of a model card."""

import functools

import pytest
from absl import flags

from r2b_keras import card_flags
from r2b_keras.errors import InputError


@pytest.fixture
def given(monkeypatch):
    """What the flags give, by the card's names."""
    values = flags.FlagValues()
    with monkeypatch.context() as patch:
        for name in ("DEFINE", "DEFINE_string", "DEFINE_enum"):
            define = functools.partial(getattr(flags, name), flag_values=values)
            patch.setattr(flags, name, define)
        card_flags.define("for nothing else")

    def read(*arguments):
        values.unparse_flags()
        for name in values:
            values[name].unparse()
        values(["command", *arguments])
        return card_flags.given(values)

    return read


def test_nothing_by_default(given):
    assert given() == {}


def test_all_of_them(given, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ngrüne Gurke\n", encoding="utf-8")
    found = given(
        *(f"--labels={labels}", "--mean=0.485, -1e-3,3", "--std=0.5"),
        "--framing=center",
    )
    assert found == {
        "class_names": ("cat", "grüne Gurke"),
        "mean": (0.485, -0.001, 3.0),
        "std": (0.5,),
        "framing": "center",
    }


@pytest.mark.parametrize(
    "content",
    [
        b"cat\ngreat dane\n",
        b"cat\ngreat dane",
        b"cat\r\ngreat dane\r\n",
        b"\xef\xbb\xbfcat\n  great dane \n\n\n",
    ],
)
def test_labels_as_editors_write_them(given, tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    assert given(f"--labels={path}") == {"class_names": ("cat", "great dane")}


def test_a_line_that_is_empty_is_a_class_of_its_own(given, tmp_path):
    """Left out, all names after it would move up by one."""
    path = tmp_path / "labels.txt"
    path.write_text("\ncat\n\ndog\n")
    assert given(f"--labels={path}")["class_names"] == ("", "cat", "", "dog")


@pytest.mark.parametrize("content", ["", "\n", " \n\n"])
def test_labels_without_a_name(given, tmp_path, content):
    path = tmp_path / "labels.txt"
    path.write_text(content)
    with pytest.raises(InputError, match="labels.txt is empty, expected a text file"):
        given(f"--labels={path}")


@pytest.mark.parametrize("name", ["mean", "std"])
@pytest.mark.parametrize(
    "text", ["", ",", "0.5,", "0.5;0.4", "half", "0.5,nan", "inf", "-inf,1", "1e999"]
)
def test_lists_that_are_none(given, name, text):
    with pytest.raises(InputError) as problem:
        given(f"--{name}={text}")
    message = str(problem.value)
    assert message.startswith(f"--{name}={text} is not a list of numbers: separate")


def test_labels_that_cannot_be_read(given, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_bytes("Gürkchen\n".encode("latin-1"))
    for name, words in (
        (path, "(it is no text in UTF-8)"),
        (tmp_path, "(Is a directory)"),
        (tmp_path / "none.txt", "(No such file or directory)"),
    ):
        with pytest.raises(InputError) as problem:
            given(f"--labels={name}")
        assert f"--labels={name} cannot be read {words}" in str(problem.value)


def test_other_framings(given):
    with pytest.raises(flags.IllegalFlagValueError, match="<whole|center>"):
        given("--framing=left")
