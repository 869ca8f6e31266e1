"""The exceptions that a user can mend; commands print them as one sentence."""

from r2b_keras.board.errors import InputError, one_line

__all__ = [
    "RUN_FAILURES",
    "InputError",
    "MemoryLackError",
    "NonFiniteLossError",
    "WorkerLostError",
    "one_line",
]


class MemoryLackError(RuntimeError):
    """A stage does not fit into the memory of the device; the message says which."""


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; the message says where."""


class WorkerLostError(RuntimeError):
    """Another process of the run is gone; starting all of them again goes on."""


# What is the fault of one run's settings: the other runs of a command go on.
RUN_FAILURES = (NonFiniteLossError, MemoryLackError)
