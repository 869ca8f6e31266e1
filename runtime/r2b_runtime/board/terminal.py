"""What a command says to people, and how it ends when they have heard enough."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

# Of an inference: a hundred thousand stop the machine.
MOST_THREADS = 1024

# C0 with DEL, C1, and what else ends a line for Python and for terminals.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def on_one_line(text: str) -> str:
    r"""The text with control characters written out as escapes, such as \n."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def tell(sentence: str) -> None:
    """Prints a sentence about a problem, on a line of its own, on standard error."""
    print(on_one_line(sentence), file=sys.stderr, flush=True)


def say(sentence: str, code: int) -> int:
    """Tells how a command ends, after what it has printed; returns the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
    tell(sentence)
    return code


def drop_output() -> None:
    """What was printed and cannot be written: Python must not try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def open_closed() -> None:
    """Opens standard streams that were closed, as some services start their programs.

    The next file that is opened would take their place, and what native code prints
    would be written into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


class Terminated(KeyboardInterrupt):
    """SIGTERM, by which services are stopped, handled as Ctrl-C is."""


def begin() -> None:
    """Has SIGTERM raise `Terminated`, and whatever is printed be shown somehow."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and classes may hold what the terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")


def _raise_terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated
