"""Axes of a sweep's chart: where a field's value lies, and what stands beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from r2b_keras.sweeps.results import TrialRow, short_name
from r2b_keras.sweeps.space import Field, Space

# Points of one choice lie side by side, or they would hide each other.
_SPREAD = 0.3


@dataclass(frozen=True)
class Axis:
    """One field, or the accuracy.

    Attributes:
      name: for the label.
      low: lower end; of a choice the index of the first value, less one half.
      high: upper end.
      log: whether equal factors are equally long.
      choices: values of a choice.
      key: the field's name in a row, empty for the accuracy.
    """

    name: str
    low: float
    high: float
    log: bool = False
    choices: tuple[str, ...] = ()
    key: str = ""

    def value(self, row: TrialRow) -> float:
        """The trial's value of the field; of a choice its index."""
        text = row.values[self.key]
        return self.choices.index(text) if self.choices else max(float(text), self.low)

    def spread(self, row: TrialRow) -> float:
        """The value, moved a little for a choice, by the trial's number."""
        if not self.choices:
            return self.value(row)
        # The golden ratio's multiples fill the width evenly, however many there are.
        return self.value(row) + _SPREAD * (2 * (row.number * 0.618 % 1) - 1)

    def place(self, value: float) -> float:
        """Where a value lies, 0 at the lower end and 1 at the upper one."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return (value - low) / (high - low)

    def limits(self) -> tuple[float, float]:
        """The ends with a little room, but for a choice, which has it."""
        room = 0.0 if self.choices else 0.05
        return self._at(-room), self._at(1.0 + room)

    def ticks(self) -> list[tuple[float, str]]:
        """Values with their labels."""
        if self.choices:
            return [(index, text) for index, text in enumerate(self.choices)]
        shares = (0.0, 0.25, 0.5, 0.75, 1.0)
        values = [self._at(share) for share in shares]
        return [
            (value, f"{value:.2g}" if self.log else f"{value:.3g}") for value in values
        ]

    def _at(self, share: float) -> float:
        if self.log:
            return self.low * (self.high / self.low) ** share
        return self.low + (self.high - self.low) * share


def make_axes(space: Space, rows: Sequence[TrialRow]) -> list[Axis]:
    """An axis for each field of the space, and for Hyperband's epochs.

    Args:
      space: the fields.
      rows: at least one trial.
    """
    axes = [
        _axis(field, [row.values[field.name] for row in rows]) for field in space.fields
    ]
    for name in rows[0].values:
        if name not in [field.name for field in space.fields]:
            found = sorted({row.values[name] for row in rows}, key=int)
            axes.append(_choice(name, tuple(found)))
    return axes


def _choice(name: str, choices: tuple[str, ...]) -> Axis:
    return Axis(short_name(name), -0.5, len(choices) - 0.5, False, choices, name)


def _axis(field: Field, texts: Sequence[str]) -> Axis:
    """The field's range, and what the recipe's own value adds to it."""
    if field.choices:
        return _choice(field.name, tuple(dict.fromkeys([*field.choices, *texts])))
    log = field.kind == "log"
    values = [float(text) for text in texts]
    # Of 0 there is no logarithm: the recipe's own value is drawn at the lower end.
    values = [value for value in values if value > 0 or not log]
    low, high = min([field.low, *values]), max([field.high, *values])
    return Axis(short_name(field.name), low, high, log, key=field.name)
