"""What all commands share: one sentence for a problem, and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from absl import app, flags, logging

from r2b_keras import environment, help_output
from r2b_keras.board import terminal
from r2b_keras.board.terminal import Terminated, say
from r2b_keras.errors import (
    InputError,
    MemoryLackError,
    NonFiniteLossError,
    WorkerLostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_TO_BE_MENDED = (
    environment.EnvironmentProblem,
    InputError,
    MemoryLackError,
    NonFiniteLossError,
)
EXIT_PROBLEM = 1
# As sysexits.h has it: nothing is wrong with the command, it may be run again.
EXIT_AGAIN = 75
_MOMENT_SECONDS = 0.05


def _raise_again(lost: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a destructor: a wish to stop is raised anew.

    A moment later, since here it would be dropped as well.
    """
    if lost.exc_type is None or not issubclass(lost.exc_type, KeyboardInterrupt):
        return sys.__unraisablehook__(lost)
    wish = lost.exc_type

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise wish

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _MOMENT_SECONDS)


def run(
    main: Callable[..., int],
    arguments: bool = False,
    kept: str = "; finished epochs are kept",
) -> NoReturn:
    """Parses the flags, runs `main` and exits.

    A problem that the user can mend ends in one sentence on standard error and exit
    code 1; the loss of another worker in one sentence and 75; Ctrl-C and SIGTERM in one
    sentence and 128 plus the signal's number. Any other exception is a defect of this
    package and keeps its traceback.

    Args:
      main: the command; returns the exit code.
      arguments: whether `main` takes the list of what is no option; other commands
        refuse such arguments.
      kept: ends the sentence about a command that was stopped.
    """
    terminal.open_closed()
    for module, declared in flags.FLAGS.flags_by_module_dict().items():
        if module.startswith("r2b_keras."):
            for flag in declared:  # --help shows those of the script alone
                flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    app.run(lambda given: _run(main, given, arguments, kept), flags_parser=_parse)
    raise SystemExit(0)


def _parse(arguments: Sequence[str]) -> list[str]:
    """What is no option, after the program's name; a wrong option is one sentence."""
    try:
        with help_output.showing_help():
            return list(flags.FLAGS(arguments))
    except (flags.Error, ValueError) as error:
        told = str(error).removeprefix("flag ").rstrip(" ?")
        raise SystemExit(say(f"{told}; see --help.", EXIT_PROBLEM)) from None


def refuse_unused(values: flags.FlagValues, names: Sequence[str], why: str) -> None:
    """Refuses options that were given and have no meaning beside the others.

    Raises:
      InputError: one of them was; `why` ends the sentence.
    """
    for name in names:
        if values[name].present:
            raise InputError(f"--{name} {why}: leave it out.")


def _run(
    main: Callable[..., int],
    given: Sequence[str],
    arguments: bool,
    kept: str,
) -> int:
    terminal.begin()
    sys.unraisablehook = _raise_again
    # Keras's hints about slow callbacks and retracing are of no use to a user.
    logging.set_verbosity(logging.ERROR)
    try:
        if given[1:] and not arguments:
            raise InputError(
                f"Unknown argument {given[1]!r}: every option is written "
                "--name=value, see --help."
            )
        environment.check()
        code = main(list(given[1:])) if arguments else main()
        sys.stdout.flush()
        return code
    except Terminated:
        return say(f"Stopped by SIGTERM{kept}.", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return say(f"Stopped by Ctrl-C{kept}.", 128 + signal.SIGINT)
    except _TO_BE_MENDED as error:
        return say(str(error), EXIT_PROBLEM)
    except WorkerLostError as error:
        say(str(error), EXIT_AGAIN)
        # At once: TensorFlow's threads that served the lost worker cannot be ended in
        # order, and some of the time Python would complain of them. All that the run
        # goes on from is written.
        os._exit(EXIT_AGAIN)
    except BrokenPipeError:
        # The reader (`| head`) has seen enough.
        terminal.drop_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        return say(_describe(error, kept), EXIT_PROBLEM)


def _describe(error: OSError, kept: str) -> str:
    reason = error.strerror or str(error)
    if error.filename and isinstance(error, FileNotFoundError | NotADirectoryError):
        return (
            f"{error.filename} cannot be found or made ({reason}): check its name, and "
            "that there is a folder for it."
        )
    if error.filename and isinstance(error, FileExistsError | IsADirectoryError):
        return (
            f"{error.filename} is in the way ({reason}): give another name, or move "
            "what is there."
        )
    where = f" ({error.filename})" if error.filename else ""
    return (
        f"{reason}{where}: free space or mend the permissions, then "
        f"run the same command again{kept}."
    )
