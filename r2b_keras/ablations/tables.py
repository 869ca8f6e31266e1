"""An ablation's results as CSV and as Markdown."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from r2b_keras import tables
from r2b_keras.ablations import rows
from r2b_keras.ablations.comparison import Comparison, Interaction, Summary
from r2b_keras.ablations.runs import Plan
from r2b_keras.significance import holm

_PAPER = {row.name: row.paper for row in rows.ROWS}

_LEGEND = """\
Accuracies are top-1 on the test set in percent, ± the standard deviation over seeds;
the difference to the baseline ± its 95 % confidence interval. p: t-test over the seeds
that both rows have, by the noise of all rows in the table: what is left of their
accuracies without the means of rows and seeds. p, Holm: the same after Holm's
correction for all comparisons to the baseline in its table; if no row differed from the
baseline, one table of twenty at most would have a value below 0.05. Intervals are not
corrected, and take the spread over seeds for all there is: other test images would move
them as well.
"""


_LAST_STAGES = """\
Rows of another last stage share the stages before it with "all" and may vary otherwise:
they are no part of that noise, and their p and intervals are of their pair alone.
"""


def to_csv(items: Sequence[Any]) -> str:
    """Writes dataclasses of one kind as CSV, a column per field.

    Raises:
      ValueError: there are none, and so no columns.
    """
    if not items:
        raise ValueError("There is nothing to write, expected at least one row.")
    return tables.to_csv(
        [
            {f.name: _cell(getattr(item, f.name)) for f in dataclasses.fields(item)}
            for item in items
        ]
    )


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def to_markdown(
    summaries: Sequence[Summary],
    comparisons: Sequence[Comparison],
    failures: Sequence[tuple[Plan, str]] = (),
    interactions: Sequence[Interaction] = (),
) -> str:
    """The rows as tables for people: one per kind of downsampling.

    Accuracies are in percent, after the stage with real weights and after the last
    one, with the standard deviation over seeds; the difference to the strong baseline
    has its 95 % confidence interval and the p-value of the paired test, alone and after
    Holm's correction for the comparisons of that table.

    Args:
      summaries: the rows.
      comparisons: between them; those with the baseline are shown.
      failures: runs that have failed, and why; listed below the tables.
      interactions: what attention matching changes; a table of their own.
    """
    parts = []
    for downsample in rows.DOWNSAMPLES:
        own = [s for s in summaries if s.downsample == downsample]
        if own:
            parts.append(_table(own, comparisons, downsample))
    if parts:
        parts.append(_LEGEND + (_LAST_STAGES if _other_last(summaries) else ""))
    if interactions:
        parts.append(_interactions(interactions))
    if failures:
        lines = [
            f"- {run.row.title}, {run.downsample} downsample, seed {run.seed}: {reason}"
            for run, reason in failures
        ]
        parts.append("\n".join(["Failed, and left out above:", "", *lines, ""]))
    return "\n".join(parts)


def _other_last(summaries: Sequence[Summary]) -> bool:
    shown = {summary.row for summary in summaries}
    return any(row.last for row in rows.ROWS if row.name in shown)


def _table(
    summaries: Sequence[Summary], comparisons: Sequence[Comparison], downsample: str
) -> str:
    to_baseline = {
        c.second: c
        for c in comparisons
        if c.first == rows.BASELINE and c.downsample == downsample
    }
    p_values = {name: c.p_value for name, c in to_baseline.items()}
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    lines: list[Sequence[str]] = [
        (
            f"{downsample} downsample",
            *("real weights", "binary weights", "to the baseline"),
            *("p", "p, Holm", "seeds", "paper, CIFAR-100"),
        )
    ]
    for summary in summaries:
        to_it = to_baseline.get(summary.row)
        lines.append(
            (
                rows.TITLES[summary.row],
                _with_spread(summary.real_weights, summary.real_weights_spread),
                _with_spread(summary.binary_weights, summary.binary_weights_spread),
                _with_spread(to_it.difference, to_it.interval, "+") if to_it else "",
                _p_value(p_values.get(summary.row, math.nan)),
                _p_value(corrected.get(summary.row, math.nan)),
                str(len(summary.seeds)),
                _of_the_paper(summary.row, downsample),
            )
        )
    return tables.markdown(lines) + "\n"


def _interactions(interactions: Sequence[Interaction]) -> str:
    head = ("what it adds", "without attention matching", "with it", "difference", "p")
    lines = [
        (
            f"{rows.TITLES[found.part]}, {found.downsample} downsample",
            f"{100 * found.without_matching:+.2f}",
            f"{100 * found.with_matching:+.2f}",
            _with_spread(found.difference, found.interval, "+"),
            _p_value(found.p_value),
        )
        for found in interactions
    ]
    return tables.markdown([head, *lines]) + "\n"


def _with_spread(value: float, spread: float, sign: str = "") -> str:
    """A fraction in percent, with its spread or interval where there is one."""
    text = f"{100 * value:{sign}.2f}"
    return text if math.isnan(spread) else f"{text} ± {100 * spread:.2f}"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _of_the_paper(name: str, downsample: str) -> str:
    found = _PAPER[name].get(downsample)
    if found is None:
        return ""
    return f"{100 * found[0]:.1f} -> {100 * found[1]:.1f}"
