"""The flag --threads, of every command that runs a converted network."""

from __future__ import annotations

from absl import flags

from r2b_keras.board.terminal import MOST_THREADS

NAME = "threads"


def define() -> None:
    """Declares it."""
    about = "Threads that an inference may use."
    flags.DEFINE_integer(NAME, 1, about, 1, MOST_THREADS)
