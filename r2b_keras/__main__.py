"""The command `r2b`: each subcommand is a module of this package, run as it is."""

from __future__ import annotations

import os
import runpy
import sys

from r2b_keras import __version__, checks, environment, help_output
from r2b_keras.board import terminal

COMMANDS = {
    "train": "train a recipe's chain of stages",
    "evaluate": "accuracy on the test set, of a stage or a converted network",
    "convert": "make a .tflite file of a trained network, and verify it",
    "predict": "name pictures with a converted network",
    "benchmark": "compare converted networks: time, memory, size",
    "report": "make a page about a run",
    "tune": "choose a stage's settings",
    "ablate": "train the rows of the paper's Table 3 on a recipe",
    "reproduce": "run again what the README claims, and compare",
}


def main() -> None:
    """Runs `python -m r2b_keras.NAME` for `r2b NAME`, or lists what there is."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in COMMANDS:
        environment.check_for_commands()
        environment.tell_ctrl_c_at_start()
        del sys.argv[1]
        sys.path.insert(0, os.getcwd())  # as `python -m` does, for `--import`
        runpy.run_module(f"r2b_keras.{name}", run_name="__main__", alter_sys=True)
    elif name in ("--help", "-h", "help"):
        terminal.open_closed()
        with help_output.showing_help():
            print(overview())
    elif name == "--version":
        print(f"r2b_keras {__version__}")
    elif not name:
        raise SystemExit(overview())
    else:
        raise SystemExit(
            f"There is no command {name!r}, {checks.one_of(name, COMMANDS)}"
        )


def overview() -> str:
    """A line for each command."""
    lines = [f"  {name:<11}{purpose}" for name, purpose in COMMANDS.items()]
    return "\n".join(
        ("r2b COMMAND [--option=value ...]", "", *lines, "")
        + ("Options of a command: r2b COMMAND --help",)
    )


if __name__ == "__main__":
    main()
