"""Standard input and output where they are closed, full, or no longer read."""

import contextlib
import os
import sys
from collections.abc import Iterator


def open_closed() -> None:
    """Opens those that were closed, as some services start their programs.

    The next file that is opened would take their place, and what native code prints
    would be written into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


def drop_output() -> None:
    """What was printed and cannot be written: Python must not try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextlib.contextmanager
def showing_help() -> Iterator[None]:
    """Where the block shows help and exits, the code is 0; absl gives it 1.

    Also where the reader (`| head`) has seen enough. Help that cannot be written is
    told in one sentence.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except (SystemExit, BrokenPipeError) as end:
        if isinstance(end, BrokenPipeError):
            drop_output()
        raise SystemExit(0) from None
    except OSError as error:
        drop_output()
        raise SystemExit(
            f"The help cannot be written ({error.strerror}): free space, or leave it "
            "on the screen."
        ) from None
