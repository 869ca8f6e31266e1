"""The exception that a user can mend; commands print it as one sentence."""


class InputError(ValueError):
    """Bad input: what came, what was expected, and what to do."""


def one_line(error: BaseException) -> str:
    """The message of somebody else's exception, to stand inside a sentence."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
