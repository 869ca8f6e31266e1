"""The flag --threads, of every command that runs a converted network."""

from __future__ import annotations

from absl import flags

NAME = "threads"
# A hundred thousand stop the machine.
MOST = 1024


def define() -> None:
    """Declares it."""
    flags.DEFINE_integer(NAME, 1, "Threads that an inference may use.", 1, MOST)
