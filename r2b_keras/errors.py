"""The exceptions that a user can mend; commands print them as one sentence."""

from r2b_keras.board.errors import InputError, one_line

__all__ = ["InputError", "NonFiniteLossError", "WorkerLostError", "one_line"]


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; the message says where."""


class WorkerLostError(RuntimeError):
    """Another process of the run is gone; starting all of them again goes on."""
