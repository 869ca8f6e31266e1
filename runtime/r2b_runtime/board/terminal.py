"""Text for people: names of files and classes must not break its lines."""

import re
import sys

# C0 with DEL, C1, and what else ends a line for Python and for terminals.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def on_one_line(text: str) -> str:
    r"""The text with control characters written out as escapes, such as \n."""
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)


def tell(sentence: str) -> None:
    """Prints a sentence about a problem, on a line of its own, on standard error."""
    print(on_one_line(sentence), file=sys.stderr, flush=True)
