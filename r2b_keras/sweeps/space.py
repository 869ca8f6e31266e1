"""What a sweep may vary: fields of a recipe with ranges, in one small JSON file.

    {
      "stage.optimizer.learning_rate": {"log": [0.0005, 0.01]},
      "stage.losses.logit_matching": {"linear": [0.1, 3]},
      "stage.epochs": {"int": [5, 20]},
      "stages.*.student.reduction": {"choice": [4, 8, 16]}
    }

A field is named as `--override` does; `stage` is the stage that is tuned. Imports no
TensorFlow.
"""

import itertools
import json
import math
import pathlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from r2b_keras import files, recipes
from r2b_keras.checks import is_number
from r2b_keras.errors import InputError
from r2b_keras.recipes import Recipe, Stage
from r2b_keras.recipes.needs import NEEDS
from r2b_keras.sweeps.durations import schedule_overrides

KINDS = ("linear", "log", "int", "choice")
# Digits of a value that are kept. Keras Tuner's service sends 32-bit numbers, which
# hold six digits, and a table of values with more is hard to read.
DIGITS = 4
_SENT_DIGITS = 6
# Combinations of the ends of all ranges that are all tried; of more, a sample is.
_MOST_CORNERS = 1024

_FOLDER = pathlib.Path(__file__).parent / "spaces"


@dataclass(frozen=True)
class Field:
    """One field of the recipe that varies.

    Attributes:
      name: as the space's file has it.
      path: as `--override` takes it.
      kind: one of `KINDS`.
      low: lower end of a range, 0 for a choice.
      high: upper end of a range, 0 for a choice.
      choices: values of a choice as overrides have them, none for a range.
    """

    name: str
    path: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[str, ...] = ()

    def ends(self) -> tuple[str, ...]:
        """Values at the edge, as overrides have them: of a choice all."""
        return self.choices or (as_text(self.low), as_text(self.high))


@dataclass(frozen=True)
class Space:
    """All fields that vary.

    Attributes:
      source: the file, for messages.
      fields: in the file's order.
      content: the file's content.
    """

    source: str
    fields: tuple[Field, ...]
    content: dict[str, Any]

    def to_text(self) -> str:
        """The space as a file has it, one field a line."""
        lines = (
            f"  {json.dumps(name)}: {json.dumps(values)}"
            for name, values in self.content.items()
        )
        return "{\n" + ",\n".join(lines) + "\n}"


def as_text(value: Any) -> str:
    """Writes a value as an override has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return ",".join(map(as_text, value))
    return f"{value:.{_SENT_DIGITS}g}" if isinstance(value, float) else str(value)


def rounded(field: Field, value: float) -> float:
    """The value with few digits, inside the field's range."""
    return min(max(float(f"{value:.{DIGITS}g}"), field.low), field.high)


def default_file(recipe: Recipe, stage: int) -> pathlib.Path:
    """The space for a stage for which none is given: by what it learns from.

    Raises:
      InputError: no such stage.
    """
    recipe.require_stage(stage)
    losses = recipe.stages[stage].losses
    if losses.attention > 0:
        return _FOLDER / "attention.json"
    return _FOLDER / ("logits.json" if losses.logit_matching > 0 else "labels.json")


def load(path: str | pathlib.Path, recipe: Recipe, stage: int) -> Space:
    """Reads a space and checks it against the recipe.

    Args:
      path: a JSON file.
      recipe: the recipe that the trials change.
      stage: number of the stage that is tuned.

    Raises:
      InputError: no such file, a field that the recipe does not have or that does not
        touch this stage, or a range that the recipe refuses.
    """
    path = pathlib.Path(path)
    try:
        content = files.read_json(path)
    except FileNotFoundError as error:
        raise InputError(
            f"There is no file {path}, expected a space: print one to start from with "
            "--list_space."
        ) from error
    return parse(content, path.name, recipe, stage)


def parse(content: Any, source: str, recipe: Recipe, stage: int) -> Space:
    """Makes a space of a file's content, see `load`."""
    recipe.require_stage(stage)
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{source} names no fields, expected for example "
            '{"stage.optimizer.learning_rate": {"log": [0.0005, 0.01]}}.'
        )
    try:
        fields = tuple(_field(*item, stage) for item in content.items())
        _check_distinct(fields, len(recipe.stages))
        tried = at_ends(recipe, fields)
        # The recipe's own values too, which are those of trial 0.
        for each in (recipe, tried[0]):
            _check_numbers(fields, each)
        _check_effect(fields, tried, stage)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    return Space(source, fields, content)


def change(recipe: Recipe, values: Mapping[str, str]) -> Recipe:
    """The recipe with some fields changed, and schedules that fit the epochs.

    Args:
      recipe: the recipe of the sweep.
      values: override paths and values.

    Raises:
      InputError: the recipe refuses one, see `recipes.apply_overrides`.
    """
    changes = {**schedule_overrides(recipe, values), **values}
    return recipes.apply_overrides(recipe, [f"{p}={v}" for p, v in changes.items()])


def at_ends(recipe: Recipe, fields: Sequence[Field]) -> list[Recipe]:
    """Trials with all values at the ends of their ranges; of many a sample.

    Raises:
      InputError: the recipe refuses one.
    """
    return [change(recipe, values) for values in _corners(fields)]


def value_at(values: dict[str, Any], path: str) -> Any:
    """A field's value in a recipe as plain data, by its override path without `*`."""
    value: Any = values
    for key in path.split("."):
        value = value[int(key) if isinstance(value, list) else key]
    return value


def _field(name: str, ranges: Any, stage: int) -> Field:
    first, dot, rest = name.partition(".")
    path = f"stages.{stage}.{rest}" if first == "stage" and dot else name
    if not path.startswith("stages."):
        raise InputError(
            f"{name!r} is no field of a stage, expected stage.FIELD, stages.K.FIELD or "
            "stages.*.FIELD: all trials of a sweep have the same data."
        )
    if not isinstance(ranges, dict) or len(ranges) != 1:
        raise InputError(
            f"{name!r} has {json.dumps(ranges)}, expected one of "
            '{"log": [low, high]}, {"linear": [low, high]}, {"int": [low, high]} and '
            '{"choice": [value, ...]}.'
        )
    ((kind, values),) = ranges.items()
    if kind not in KINDS:
        raise InputError(
            f"{name!r} has the kind {kind!r}, expected one of {', '.join(KINDS)}."
        )
    if kind == "choice":
        return Field(name, path, kind, choices=_choices(name, values))
    low, high = _range(name, kind, values)
    return Field(name, path, kind, low, high)


def _choices(name: str, values: Any) -> tuple[str, ...]:
    plain = isinstance(values, list) and not any(isinstance(v, dict) for v in values)
    texts = tuple(map(as_text, values)) if plain else ()
    if not texts or len(set(texts)) != len(texts):
        raise InputError(
            f"{name!r} has the choice {json.dumps(values)}, expected a list of "
            "different values."
        )
    if any(float(as_text(v)) != v for v in values if isinstance(v, float)):
        raise InputError(
            f"{name!r} has the choice {json.dumps(values)}, expected numbers of at "
            f"most {_SENT_DIGITS} digits."
        )
    return texts


def _range(name: str, kind: str, values: Any) -> tuple[float, float]:
    def refuse(expected: str) -> InputError:
        return InputError(f"{name!r} has {json.dumps(values)}, expected {expected}.")

    wanted = int if kind == "int" else int | float
    numbers = isinstance(values, list) and all(
        isinstance(v, wanted) and is_number(v) for v in values
    )
    if not numbers or len(values) != 2:
        what = "whole numbers" if kind == "int" else "numbers"
        raise refuse(f"two {what}, the low and the high end")
    low, high = values
    if low >= high:
        raise refuse("the low end to be below the high end")
    if kind == "log" and low <= 0:
        raise refuse("ends above 0, of which there is a logarithm")
    if any(float(as_text(float(value))) != value for value in values):
        raise refuse(f"ends of at most {_SENT_DIGITS} digits")
    return (low, high) if kind == "int" else (float(low), float(high))


def _check_distinct(fields: tuple[Field, ...], num_stages: int) -> None:
    """Refuses two names for one field: one of them would have no effect."""
    taken: dict[str, str] = {}
    for field in fields:
        for path in _paths(field, num_stages):
            if path in taken:
                raise InputError(
                    f"{taken[path]!r} and {field.name!r} both name {path}: leave one "
                    "of them out."
                )
            taken[path] = field.name


def _paths(field: Field, num_stages: int) -> list[str]:
    """The one field that it names, or the field of each stage."""
    first, number, *rest = field.path.split(".")
    numbers = map(str, range(num_stages)) if number == "*" else [number]
    return [".".join([first, item, *rest]) for item in numbers]


def _corners(fields: Sequence[Field]) -> Iterator[dict[str, str]]:
    """Combinations of the ends of all ranges: all, or a sample where they are many."""
    ends = [field.ends() for field in fields]
    paths = [field.path for field in fields]
    few = math.prod(map(len, ends)) <= _MOST_CORNERS
    combinations = list(itertools.product(*ends)) if few else _sample(ends)
    return (dict(zip(paths, values, strict=True)) for values in combinations)


def _sample(ends: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Each end with all others at their first and at their last, and random ones."""
    found = []
    for place, values in enumerate(ends):
        for value, side in itertools.product(values, (0, -1)):
            corner = [other[side] for other in ends]
            corner[place] = value
            found.append(tuple(corner))
    draw = random.Random(0)
    missing = _MOST_CORNERS - len(found)
    return found + [tuple(map(draw.choice, ends)) for _ in range(missing)]


def _check_numbers(fields: tuple[Field, ...], recipe: Recipe) -> None:
    """Refuses ranges for words, and those of other numbers than the field's own."""
    values = recipes.to_dict(recipe)
    for field in fields:
        if field.kind == "choice":
            continue
        for path in _paths(field, len(recipe.stages)):
            value = value_at(values, path)
            if type(value) is int and field.kind != "int":
                raise InputError(
                    f"{field.name!r} has the kind {field.kind!r}, expected 'int' or "
                    "'choice' for a field of whole numbers."
                )
            if isinstance(value, float) and field.kind == "int" and value % 1:
                raise InputError(
                    f"{field.name!r} has the kind 'int', expected 'linear', 'log' or "
                    f"'choice' where the recipe's own value is {value}: trial 0 has it."
                )
            if not isinstance(value, int | float):
                raise InputError(
                    f"{field.name!r} has the kind {field.kind!r}, expected 'choice' "
                    f"for a field that is no number: {path} is {value!r}."
                )


def _check_effect(fields: tuple[Field, ...], tried: list[Recipe], stage: int) -> None:
    """Refuses a field that changes no trial.

    That is one of a stage on which the tuned one does not rest, and one that does
    nothing without another that no trial has, see `recipes.needs`.
    """
    needed = {number for recipe in tried for number in recipe.stages_needed(stage)}
    for field in fields:
        number = field.path.split(".")[1]
        if number != "*" and int(number) not in needed:
            raise InputError(
                f"{field.name!r} has no effect on stage {stage}, expected fields of "
                f"the stages {', '.join(map(str, sorted(needed)))}: leave it out."
            )
        need = NEEDS.get(field.path.split(".", 2)[2])
        if need and not any(map(need.holds, _stages(field, tried, stage))):
            raise InputError(
                f"{field.name!r} does nothing without {need.words}, which no trial "
                "has, expected fields that change a trial: vary that one too, or leave "
                "this one out."
            )


def _stages(field: Field, tried: list[Recipe], stage: int) -> Iterator[Stage]:
    """The stages of all trials that a field is of, as far as the tuned one rests."""
    number = field.path.split(".")[1]
    for recipe in tried:
        for needed in recipe.stages_needed(stage):
            if number in ("*", str(needed)):
                yield recipe.stages[needed]
