"""The exceptions that a user can mend; commands print them as one sentence."""

from r2b_keras.board.errors import InputError

__all__ = ["InputError", "NonFiniteLossError", "WorkerLostError", "reason"]


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; the message says where."""


class WorkerLostError(RuntimeError):
    """Another process of the run is gone; starting all of them again goes on."""


def reason(error: Exception) -> str:
    """The first line of what an error says, its type's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
