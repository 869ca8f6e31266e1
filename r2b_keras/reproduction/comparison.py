"""Claims, held against what was measured again."""

import dataclasses
import statistics
from collections.abc import Iterable, Mapping, Sequence

from r2b_keras import tables
from r2b_keras.claims import WITHIN, Claim, place
from r2b_keras.reproduction import experiments, seeds
from r2b_keras.reproduction.definitions import Experiment, Statement
from r2b_keras.reproduction.seeds import Measured

EQUAL, UNJUDGED = "equal", "no claim"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A statement, tried.

    Attributes:
      statement: what it is about.
      claim: what is claimed, None with too few seeds.
      recorded: mean of the same seeds when they were recorded, None without them.
      measured: mean of the new runs.
    """

    statement: Statement
    claim: Claim | None
    recorded: float | None
    measured: float

    @property
    def word(self) -> str:
        """Where it lies: "as claimed", "below" or "above"; "no claim" without one."""
        if self.claim is None:
            return EQUAL if self.measured == self.recorded else UNJUDGED
        return place(self.measured, self.claim.low, self.claim.high)

    @property
    def fails(self) -> bool:
        """Whether the new runs speak against a claim."""
        return self.claim is not None and self.word != WITHIN

    @property
    def text(self) -> str:
        """What came of it, for people."""
        if self.fails:
            return self.word.upper()
        return EQUAL if self.measured == self.recorded else self.word


def to_try(
    chosen: Sequence[Experiment], claims: Mapping[str, Claim], quick: bool
) -> list[Statement]:
    """The statements about these experiments that new runs can try.

    Of differences those that are claimed, and none when it is to be quick: they take
    several seeds.
    """
    names = {experiment.name for experiment in chosen}
    return [
        statement
        for statement in experiments.statements()
        if {term.experiment for term in statement.terms} <= names
        and (statement.second is None or (statement.text in claims and not quick))
    ]


def seeds_needed(experiment: Experiment, tried: Iterable[Statement]) -> range:
    """The seeds that an experiment must be run with, from 0 on."""
    runs = [
        statement.runs
        for statement in tried
        if any(term.experiment == experiment.name for term in statement.terms)
    ]
    return range(max(runs, default=0))


def compare(
    tried: Iterable[Statement],
    claims: Mapping[str, Claim],
    recorded: Measured,
    measured: Measured,
) -> list[Comparison]:
    """Holds each statement against its claim.

    Args:
      tried: what to hold against its claim.
      claims: by the statement's text.
      recorded: all seeds, as they are committed.
      measured: the new runs.
    """
    found = []
    for statement in tried:
        new = seeds.values(measured, statement)
        used = range(statement.runs)
        old = seeds.values(recorded, statement)
        found.append(
            Comparison(
                statement,
                claims.get(statement.text),
                statistics.fmean(old[seed] for seed in used)
                if all(seed in old for seed in used)
                else None,
                statistics.fmean(new[seed] for seed in used),
            )
        )
    return found


def to_text(comparisons: Sequence[Comparison]) -> str:
    """The table of all comparisons."""
    head = ("", "recorded", "low", "high", "measured", "")
    return tables.aligned([head, *map(_cells, comparisons)], left=(0, 5))


def _cells(found: Comparison) -> tuple[str, ...]:
    claim, shown = found.claim, found.statement
    ends = (claim.low, claim.high) if claim else (None, None)
    known = (claim.value if claim else found.recorded, *ends)
    numbers = ["-" if value is None else _number(shown, value) for value in known]
    measured = _number(shown, found.measured)
    return (shown.text, *numbers, measured, found.text)


def _number(statement: Statement, value: float) -> str:
    if statement.is_size:
        return f"{value:,.0f}"
    return f"{value:.2%}" if statement.is_share else f"{100 * value:+.2f} points"
