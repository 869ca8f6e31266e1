"""An ablation's results as CSV and as Markdown."""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

from r2b_keras.ablations import rows
from r2b_keras.ablations.comparison import Comparison, Interaction, Summary, holm
from r2b_keras.ablations.runs import Failure

_PAPER = {row.name: row.paper for row in rows.ROWS}

_LEGEND = """\
Accuracies are top-1 on the test set in percent, ± the standard deviation over seeds;
the difference to the baseline ± its 95 % confidence interval. p: paired t-test over the
seeds that both rows have. p, Holm: the same after Holm's correction for all comparisons
to the baseline in its table; if no row differed from the baseline, one table of twenty
at most would have a value below 0.05. Intervals are not corrected, and take the spread
over seeds for all there is: other test images would move them as well.
"""


def to_csv(items: Sequence[Any]) -> str:
    """Writes dataclasses of one kind as CSV, a column per field.

    Raises:
      ValueError: there are none, and so no columns.
    """
    if not items:
        raise ValueError("There is nothing to write, expected at least one row.")
    text = io.StringIO()
    fields = [field.name for field in dataclasses.fields(items[0])]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(fields)
    for item in items:
        writer.writerow([_cell(getattr(item, field)) for field in fields])
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "" if value is None else value


def to_markdown(
    summaries: Sequence[Summary],
    comparisons: Sequence[Comparison],
    failures: Sequence[Failure] = (),
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
        parts.append(_LEGEND)
    if interactions:
        parts.append(_interactions(interactions))
    if failures:
        lines = [
            f"- {rows.TITLES[f.row]}, {f.downsample} downsample, seed {f.seed}: "
            f"{f.reason}"
            for f in failures
        ]
        parts.append("\n".join(["Failed, and left out above:", "", *lines, ""]))
    return "\n".join(parts)


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
    lines = [
        f"{downsample} downsample | real weights | binary weights | to the baseline | "
        "p | p, Holm | seeds | paper, CIFAR-100",
        "---|---|---|---|---|---|---|---",
    ]
    for summary in summaries:
        cells = (
            rows.TITLES[summary.row],
            percent(summary.real_weights, summary.real_weights_spread),
            percent(summary.binary_weights, summary.binary_weights_spread),
            _difference(to_baseline.get(summary.row)),
            _p_value(p_values.get(summary.row, math.nan)),
            _p_value(corrected.get(summary.row, math.nan)),
            str(len(summary.seeds)),
            _of_the_paper(summary.row, downsample),
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _interactions(interactions: Sequence[Interaction]) -> str:
    lines = [
        "what it adds | without attention matching | with it | difference | p",
        "---|---|---|---|---",
    ]
    for found in interactions:
        cells = (
            f"{rows.TITLES[found.part]}, {found.downsample} downsample",
            f"{100 * found.without_matching:+.2f}",
            f"{100 * found.with_matching:+.2f}",
            _change(found.difference, found.interval),
            _p_value(found.p_value),
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def percent(value: float, spread: float) -> str:
    """A fraction as percent, with its spread where there is one."""
    text = f"{100 * value:.2f}"
    return text if math.isnan(spread) else f"{text} ± {100 * spread:.2f}"


def _difference(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return _change(comparison.difference, comparison.interval)


def _change(difference: float, interval: float) -> str:
    text = f"{100 * difference:+.2f}"
    return text if math.isnan(interval) else f"{text} ± {100 * interval:.2f}"


def _p_value(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def _of_the_paper(name: str, downsample: str) -> str:
    found = _PAPER[name].get(downsample)
    if found is None:
        return ""
    return f"{100 * found.real_weights:.1f} -> {100 * found.binary_weights:.1f}"
