"""Tables as text: aligned for a terminal, as Markdown, as CSV; and sizes and shares."""

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any


def aligned(lines: Sequence[Sequence[str]], left: Collection[int] = ()) -> str:
    """Lines of cells below each other.

    Args:
      lines: at least one, all of equally many cells.
      left: numbers of the columns that begin at the left; others end at the right.
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place in left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(lines: Iterable[Iterable[object]]) -> str:
    """Lines of cells, the first of them the head, as a Markdown table."""
    head, *rest = ([str(cell) for cell in line] for line in lines)
    cells = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def to_csv(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> str:
    """Rows as CSV with a head.

    Args:
      rows: values by column; one that a row lacks is an empty cell.
      columns: in their order; the keys of all rows, as they first appear, by default.
    """
    if columns is None:
        columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def percent(share: float, digits: int = 2) -> str:
    """A share for people, "92.53 %"."""
    return f"{100 * share:.{digits}f} %"


def kibibytes(num_bytes: float, form: str = ".0f") -> str:
    """A size for people, "227 KiB"; the number in another form, such as ",.1f"."""
    return f"{num_bytes / 1024:{form}} KiB"
