"""An ablation's results as CSV and as Markdown."""

import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

from r2b_keras.ablations import rows
from r2b_keras.ablations.comparison import Comparison, Summary

_PAPER = {row.name: row.paper for row in rows.ROWS}


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


def to_markdown(summaries: Sequence[Summary], comparisons: Sequence[Comparison]) -> str:
    """The rows as tables for people: one per kind of downsampling.

    Accuracies are in percent, after the stage with real weights and after the last
    one, with the standard deviation over seeds; the difference to the strong baseline
    has its 95 % confidence interval and the p-value of the paired test.
    """
    parts = []
    for downsample in rows.DOWNSAMPLES:
        own = [s for s in summaries if s.downsample == downsample]
        if own:
            parts.append(_table(own, comparisons, downsample))
    return "\n".join(parts)


def _table(
    summaries: Sequence[Summary], comparisons: Sequence[Comparison], downsample: str
) -> str:
    to_baseline = {
        c.second: c
        for c in comparisons
        if c.first == rows.BASELINE and c.downsample == downsample
    }
    lines = [
        f"{downsample} downsample | real weights | binary weights | to the baseline | "
        "p | seeds | paper, CIFAR-100",
        "---|---|---|---|---|---|---",
    ]
    for summary in summaries:
        cells = (
            rows.TITLES[summary.row],
            percent(summary.real_weights, summary.real_weights_spread),
            percent(summary.binary_weights, summary.binary_weights_spread),
            *_difference(to_baseline.get(summary.row)),
            str(len(summary.seeds)),
            _of_the_paper(summary.row, downsample),
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def percent(value: float, spread: float) -> str:
    """A fraction as percent, with its spread where there is one."""
    text = f"{100 * value:.2f}"
    return text if math.isnan(spread) else f"{text} ± {100 * spread:.2f}"


def _difference(comparison: Comparison | None) -> tuple[str, str]:
    if comparison is None:
        return "", ""
    text = f"{100 * comparison.difference:+.2f}"
    if math.isnan(comparison.p_value):
        return text, ""
    p_value = comparison.p_value
    shown = f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"
    return f"{text} ± {100 * comparison.interval:.2f}", shown


def _of_the_paper(name: str, downsample: str) -> str:
    found = _PAPER[name].get(downsample)
    if found is None:
        return ""
    return f"{100 * found.real_weights:.1f} -> {100 * found.binary_weights:.1f}"
