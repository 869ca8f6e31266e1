"""Where the time of a network goes."""

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
      num_macs: multiply-accumulates of all of them, on bits and on floats.
      num_bytes: read and written by all of them.
    """

    title: str
    count: int
    time_ms: float
    num_macs: int
    num_bytes: int


def steps(interpreter: Interpreter) -> list[Step]:
    """The steps of a network that has run, in order of first appearance.

    Args:
      interpreter: made with `profile`.
    """
    found: dict[tuple[str, ...], Step] = {}
    for line in library.profile(interpreter.delegate).splitlines():
        _, title, microseconds, *numbers = line.split("\t")
        binary_macs, real_macs, num_bytes = map(int, numbers)
        key = (title, *numbers)
        old = found.get(key, Step(title, 0, 0.0, 0, 0))
        found[key] = Step(
            title,
            old.count + 1,
            old.time_ms + float(microseconds) / 1e3,
            old.num_macs + binary_macs + real_macs,
            old.num_bytes + num_bytes,
        )
    return list(found.values())


def to_text(found: Sequence[Step]) -> str:
    """The table for people."""
    total = sum(step.time_ms for step in found)
    lines = ["      ms  share  GMAC/s   GB/s  step"]
    lines += [
        f"{step.time_ms:>8.3f}  {step.time_ms / total:>5.1%}"
        f"  {_billions_a_second(step.num_macs, step.time_ms):>6}"
        f"  {_billions_a_second(step.num_bytes, step.time_ms):>5}"
        f"  {f'{step.count} x ' if step.count > 1 else ''}{step.title}"
        for step in found
    ]
    lines.append(f"{total:>8.3f}")
    return "\n".join(lines)


def _billions_a_second(count: int, time_ms: float) -> str:
    return f"{count / time_ms / 1e6:.1f}" if count > 0 and time_ms > 0 else ""
