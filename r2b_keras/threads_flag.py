"""The flag --threads, of every command that runs a converted network."""

from __future__ import annotations

from absl import flags

# What may be given, the earlier name of it first.
NAMES = ("num_threads", "threads")
# A hundred thousand stop the machine.
MOST = 1024


def define() -> None:
    """Declares it, and its earlier name."""
    flags.DEFINE_integer("threads", 1, "Threads that an inference may use.", 1, MOST)
    flags.DEFINE_alias("num_threads", "threads")
