"""Where the time of a network goes, and how far from the CPU's limit each part is."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from r2b_runtime import library

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2b_runtime.interpreter import Interpreter


@dataclasses.dataclass(frozen=True)
class Step:
    """Steps that do the same on equally large maps, taken together.

    Attributes:
      title: what is done.
      count: how many there are.
      time_ms: of all of them, in one inference.
      limit_ms: what their multiply-accumulates take where the CPU does nothing else,
        on all threads of the interpreter.
      num_bytes: read and written by all of them.
    """

    title: str
    count: int
    time_ms: float
    limit_ms: float
    num_bytes: int


def steps(interpreter: Interpreter) -> list[Step]:
    """The steps of a network that has run, in order of first appearance.

    Args:
      interpreter: made with `profile`; it must not be running.
    """
    delegate = interpreter.delegate
    binary_peak, real_peak = library.peak(delegate)
    found: dict[tuple[str, ...], Step] = {}
    for line in library.profile(delegate).splitlines():
        _, title, microseconds, *numbers = line.split("\t")
        binary_macs, real_macs, num_bytes = map(int, numbers)
        limit = binary_macs / binary_peak + real_macs / real_peak
        key = (title, *numbers)
        old = found.get(key, Step(title, 0, 0.0, 0.0, 0))
        found[key] = Step(
            title,
            old.count + 1,
            old.time_ms + float(microseconds) / 1e3,
            old.limit_ms + limit * 1e3 / interpreter.num_threads,
            old.num_bytes + num_bytes,
        )
    return list(found.values())


def to_text(found: Sequence[Step]) -> str:
    """The table for people."""
    total = sum(step.time_ms for step in found)
    limit = sum(step.limit_ms for step in found)
    lines = ["      ms  share  limit, ms  of limit   GB/s  step"]
    lines += [
        f"{step.time_ms:>8.3f}  {step.time_ms / total:>5.1%}  {step.limit_ms:>9.3f}"
        f"  {_share(step.limit_ms, step.time_ms):>8}"
        f"  {step.num_bytes / max(step.time_ms, 1e-6) / 1e6:>5.1f}"
        f"  {f'{step.count} x ' if step.count > 1 else ''}{step.title}"
        for step in found
    ]
    lines.append(f"{total:>8.3f}         {limit:>9.3f}  {_share(limit, total):>8}")
    return "\n".join(lines)


def _share(part: float, whole: float) -> str:
    return f"{part / whole:.0%}" if part > 0 and whole > 0 else ""
