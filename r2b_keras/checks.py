"""What a setting may be: each check raises `InputError`, in one sentence."""

import difflib
import itertools
import math
import pkgutil
from collections.abc import Callable, Collection, Iterable
from numbers import Integral, Real
from typing import Any

from r2b_keras.errors import InputError

_LARGEST_COUNT = 2**31 - 1
MOST_TOLD = 5


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and not true or false."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def is_count(value: Any, least: int = 1) -> bool:
    """Whether `value` is a whole number of at least `least`."""
    return is_number(value) and isinstance(value, Integral) and int(value) >= least


def one_of(word: object, words: Iterable[str]) -> str:
    """Ends the sentence about an unknown word: all there are, and which is near it."""
    words = tuple(words)
    near = difflib.get_close_matches(str(word), words, 1)
    end = f"; did you mean {near[0]!r}?" if near else "."
    return f"expected one of {', '.join(words)}{end}"


def some(words: Collection[str], separator: str = ", ") -> str:
    """The first few words, and how many more there are, for a sentence."""
    told = separator.join(itertools.islice(words, MOST_TOLD))
    more = len(words) - MOST_TOLD
    return f"{told} and {more} more" if more > 0 else told


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Refuses the value of the setting `name` unless it `holds`."""
    if not holds:
        raise InputError(f"{name} is {value!r}, expected {expected}.")


def require_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuses what is none of the choices."""
    choices = tuple(choices)
    require(value in choices, name, value, f"one of {', '.join(choices)}")


def require_flag(name: str, value: object) -> None:
    """Refuses what is neither true nor false."""
    require(isinstance(value, bool), name, value, "true or false")


def require_count(name: str, value: object, least: int = 1) -> None:
    """Refuses what is no whole number of at least `least`, or is beyond 32 bits."""
    expected = f"a whole number of at least {least}"
    require(is_count(value, least), name, value, expected)
    fits = isinstance(value, Integral) and int(value) <= _LARGEST_COUNT
    require(fits, name, value, f"a whole number of at most {_LARGEST_COUNT}")


def require_positive(name: str, value: object) -> None:
    """Refuses what is no finite number above 0."""
    require(_lies(value, 0, math.inf) and value != 0, name, value, "a positive number")


def require_range(name: str, value: object, low: float, high: float = math.inf) -> None:
    """Refuses what is no finite number from `low` to `high`, both allowed."""
    expected = f"of at least {low}" if high == math.inf else f"from {low} to {high}"
    require(_lies(value, low, high), name, value, f"a number {expected}")


def require_fraction_below_1(name: str, value: object) -> None:
    """Refuses what is no number from 0 to 1, or is 1: a momentum, for example."""
    holds = _lies(value, 0, 1) and value != 1
    require(holds, name, value, "a number of at least 0 and below 1")


def require_code(name: str, value: str) -> Callable[..., Any]:
    """Refuses what names no code, and imports what names some: "module:name"."""
    expected = '"module:name" of a function or class that can be imported'
    try:
        found = pkgutil.resolve_name(value)
    except Exception as error:  # whatever a user's module may raise
        raise InputError(
            f"{name} is {value!r}, expected {expected}: {type(error).__name__}, "
            f"{error}."
        ) from error
    require(callable(found), name, value, expected)
    return found


def _lies(value: Any, low: float, high: float) -> bool:
    return is_number(value) and low <= value <= high
