"""What settings may be: each check at its limits, and its sentence."""

import math

import numpy as np
import pytest

from r2b_keras import checks
from r2b_keras.errors import InputError

LEAST = "a whole number of at least"
BELOW_1 = "a number of at least 0 and below 1"


@pytest.mark.parametrize(
    ("check", "arguments", "good", "bad", "expected"),
    [
        ("choice", (("a", "b"),), ["a", "b"], ["c", "", None, ["a"]], "one of a, b"),
        ("flag", (), [True, False], [1, 0, "true", None], "true or false"),
        ("count", (), [1, np.int64(7)], [0, 1.5, 2.0, "2", True, None], f"{LEAST} 1"),
        ("count", (0,), [0, 3], [-1, False], f"{LEAST} 0"),
        ("positive", (), [1e-9, 2, np.float32(1)], [0, -1, "1"], "a positive number"),
        ("positive", (), [], [math.inf, math.nan, True, None], "a positive number"),
        ("range", (0,), [0, 1e9], [-1e-9, math.inf], "a number of at least 0"),
        ("range", (0, 1), [0, 0.5, 1], [1.1, math.nan, "0"], "a number from 0 to 1"),
        ("fraction_below_1", (), [0, 0.999], [1, -0.1, "0.9"], BELOW_1),
    ],
)
def test_what_is_let_through_and_what_is_refused(check, arguments, good, bad, expected):
    require = getattr(checks, f"require_{check}")
    for value in good:
        require("field", value, *arguments)
    for value in bad:
        with pytest.raises(InputError) as error:
            require("field", value, *arguments)
        assert str(error.value) == f"field is {value!r}, expected {expected}."


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("def f(:", "SyntaxError"),
        ("missing", "NameError"),
        ("1 / 0", "ZeroDivisionError"),
        ("f = 3", "expected"),
        ("g = 3", "AttributeError"),
    ],
)
def test_code_of_a_user_that_is_none(tmp_path, monkeypatch, written, kind):
    monkeypatch.syspath_prepend(tmp_path)
    name = f"their_{kind.lower()}_code"
    (tmp_path / f"{name}.py").write_text(written)
    with pytest.raises(InputError, match=f"^The code of x is '{name}:f', .*{kind}"):
        checks.require_code("The code of x", f"{name}:f")


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("widht", "; did you mean 'width'?"),
        ("widths", "; did you mean 'width'?"),
        # Near to none: no guess is better than a wild one.
        ("nope", "."),
        ("", "."),
        (3, "."),
    ],
)
def test_an_unknown_word_is_told_all_and_what_is_near(word, end):
    words = iter(["name", "width"])
    assert checks.one_of(word, words) == f"expected one of name, width{end}"


@pytest.mark.parametrize(
    ("count", "told"),
    [(0, ""), (1, "0"), (5, "0, 1, 2, 3, 4"), (7, "0, 1, 2, 3, 4 and 2 more")],
)
def test_the_first_of_many_and_how_many_more(count, told):
    assert checks.some([str(number) for number in range(count)]) == told
