"""Help on standard output, which may be full, or no longer read."""

import contextlib
import sys
from collections.abc import Iterator

from r2b_keras.board import terminal


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
            terminal.drop_output()
        raise SystemExit(0) from None
    except OSError as error:
        terminal.drop_output()
        raise SystemExit(
            f"The help cannot be written ({error.strerror}): free space, or leave it "
            "on the screen."
        ) from None
