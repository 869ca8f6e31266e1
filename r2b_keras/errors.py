"""The exceptions that a user can mend; commands print them as one sentence."""


class InputError(ValueError):
    """Bad input: what came, what was expected, and what to do."""


class NonFiniteLossError(ArithmeticError):
    """A loss is NaN or infinite; the message says where."""


class WorkerLostError(RuntimeError):
    """Another process of the run is gone; starting all of them again goes on."""
