"""The commands: `python -m r2b_runtime classify`, `watch`, `benchmark` and `info`.

A problem that the user can mend ends in one sentence on standard error, with exit code
1, or 2 where the command line is wrong; Ctrl-C and SIGTERM in one sentence and 128 plus
the signal's number.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import signal
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

import r2b_runtime
from r2b_runtime import library
from r2b_runtime.board import terminal
from r2b_runtime.board.errors import InputError
from r2b_runtime.board.terminal import MOST_THREADS, Terminated, on_one_line, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from r2b_runtime.board.card import ModelCard
    from r2b_runtime.interpreter import Interpreter

EXIT_PROBLEM, EXIT_USAGE = 1, 2


class _Parser(argparse.ArgumentParser):
    """One sentence for a wrong command line, without a page of usage before it."""

    def error(self, message: str) -> NoReturn:
        sentence = f"{message[:1].upper()}{message[1:]} (see --help)."
        raise SystemExit(say(sentence, EXIT_USAGE))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns the exit code."""
    terminal.open_closed()
    terminal.begin()
    try:
        try:
            options = _parser().parse_args(arguments)
            code: int = options.command(options)
        except SystemExit:
            sys.stdout.flush()  # of help
            raise
        sys.stdout.flush()
        return code
    except InputError as error:
        return say(str(error), EXIT_PROBLEM)
    except Terminated:
        return say("Stopped by SIGTERM.", 128 + signal.SIGTERM)
    except KeyboardInterrupt:
        return say("Stopped by Ctrl-C.", 128 + signal.SIGINT)
    except BrokenPipeError:
        terminal.drop_output()  # the reader (`| head`) has seen enough
        return 128 + signal.SIGPIPE
    except OSError as error:
        terminal.drop_output()
        reason = error.strerror or str(error)
        return say(f"{reason}: free space or mend the permissions.", EXIT_PROBLEM)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m r2b_runtime", description=r2b_runtime.__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--version", action="version", version=f"r2b_runtime {r2b_runtime.__version__}"
    )
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")
    file = _Parser(add_help=False)
    file.add_argument("model", metavar="MODEL", help="a .tflite file")
    told = "print JSON; watch: an object a line"
    file.add_argument("--json", action="store_true", help=told)
    common = _Parser(add_help=False, parents=[file])
    common.add_argument("--threads", type=_threads, default=1, help="default: 1")
    common.add_argument("--kernel", help="instruction set, the CPU's best if unset")

    naming = _Parser(add_help=False)
    naming.add_argument("--top", type=_count, default=5, help="classes to show")
    naming.add_argument(
        "--upright",
        action=argparse.BooleanOptionalAction,
        help="turn pictures by their EXIF orientation; as the model card says if unset",
    )

    both = [common, naming]
    classify = commands.add_parser("classify", parents=both, help="name pictures")
    classify.add_argument(
        "pictures", metavar="PICTURE", nargs="+", help="JPEG, PNG or WebP"
    )
    classify.set_defaults(command=_classify)

    watch = commands.add_parser("watch", parents=both, help="name frame after frame")
    watch.add_argument(
        "source",
        metavar="SOURCE",
        nargs="?",
        default="camera",
        help="camera (the Raspberry Pi's, default), a device such as /dev/video0, a "
        "folder that pictures come into, a video, or - for PPM pictures on standard "
        "input",
    )
    watch.add_argument("--frames", type=_count, help="stop after so many")
    watch.set_defaults(command=_watch)

    benchmark = commands.add_parser("benchmark", parents=[common], help="measure time")
    benchmark.add_argument("--runs", type=_count, default=50, help="default: 50")
    benchmark.add_argument(
        "--explain", action="store_true", help="show what was claimed and fused"
    )
    benchmark.add_argument(
        "--profile", action="store_true", help="time each step, in runs of their own"
    )
    benchmark.add_argument(
        "--row", action="store_true", help="print a row for a table of machines"
    )
    benchmark.set_defaults(command=_benchmark)

    info = commands.add_parser("info", parents=[file], help="tell what a file is")
    info.set_defaults(command=_info)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise argparse.ArgumentTypeError(
            f"{text!r} is given, expected a whole number of at least 1"
        )
    return int(text)


def _threads(text: str) -> int:
    if _count(text) > MOST_THREADS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is given, expected at most {MOST_THREADS}"
        )
    return int(text)


def _load(options: argparse.Namespace, profile: bool = False) -> Interpreter:
    with _without_greetings():
        try:
            return r2b_runtime.Interpreter(
                options.model, options.threads, options.kernel, profile=profile
            )
        except InputError as error:
            # The library names its option, which is a flag here.
            flag = "--" if str(error).startswith("kernel=") else ""
            raise InputError(f"{flag}{error}") from error


@contextlib.contextmanager
def _without_greetings() -> Iterator[None]:
    """Drops what LiteRT says on standard error whenever it is loaded.

    Everything else that native code writes there appears at the end.
    """
    sys.stderr.flush()
    descriptor = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(descriptor, 2)
            os.close(descriptor)
            held.seek(0)
            for line in held:
                if not line.startswith(b"INFO: "):
                    os.write(2, line)


def _classify(options: argparse.Namespace) -> int:
    """Prints the likeliest classes of each picture."""
    library.require_numpy()
    from r2b_runtime.board import classification

    interpreter = _load(options)
    found = _card(options, interpreter)
    named = classification.print_guesses(
        interpreter, found, options.pictures, options.top, options.json
    )
    return 0 if named else EXIT_PROBLEM


def _watch(options: argparse.Namespace) -> int:
    """Prints the likeliest classes of frame after frame."""
    library.require_numpy()
    from r2b_runtime import frames, watching

    interpreter = _load(options)
    found = _card(options, interpreter)
    source = frames.frames(options.source, found.image_shape[2], found.upright)
    rate = watching.Rate()
    with contextlib.closing(source):
        named = watching.watch(interpreter, found, source, options.top, rate)
        watching.print_named(named, rate, options.frames, options.json)
    return 0


def _card(options: argparse.Namespace, interpreter: Interpreter) -> ModelCard:
    """The model's card, with what the command line says otherwise.

    Raises:
      InputError: it has none, or that of another network.
    """
    found = interpreter.card
    if found is None:
        raise InputError(
            f"{options.model} has no model card that tells its classes and "
            "preprocessing: convert it with r2b_keras, or give r2b_runtime.Interpreter "
            "images that are prepared for it."
        )
    shapes = interpreter.input_shape[1:], interpreter.output_shape[1:]
    kind = interpreter.input_type.name
    found.check_fits(options.model, *shapes, input_type=kind)
    if options.upright is not None:
        found = dataclasses.replace(found, upright=options.upright)
    return found


def _benchmark(options: argparse.Namespace) -> int:
    """Prints how long an image takes."""
    library.require_numpy()
    from r2b_runtime import profiling, rows, timing

    if options.row and (options.profile or options.explain):
        return say(
            "--row is given with --profile or --explain, expected it without: it shows "
            "no steps, and timing each of them takes time.",
            EXIT_USAGE,
        )
    interpreter = _load(options)
    measured = timing.measure(interpreter, options.runs)
    if options.row:
        row = rows.of_machine(options.model, interpreter, measured)
        print(json.dumps(row) if options.json else rows.to_text(row))
        return 0
    steps = interpreter.explanation.splitlines()
    profile = []
    if options.profile:
        # Timing each step takes time itself: the steps are of runs of their own.
        profiled = _load(options, profile=True)
        timing.measure(profiled, options.runs)
        profile = profiling.steps(profiled)
    if options.json:
        values = {
            "model": options.model,
            "threads": interpreter.num_threads,
            "kernel": interpreter.kernel,
            **dataclasses.asdict(measured),
            "steps": steps,
            "profile": [dataclasses.asdict(step) for step in profile],
        }
        print(json.dumps(values))
        return 0
    count = interpreter.num_threads
    threads = f"{count} thread{'s' if count > 1 else ''}"
    name = on_one_line(options.model)
    print(f"{name}, {threads}, {interpreter.kernel or 'no'} kernels")
    print(
        f"{measured.median_ms:.3f} ms (median of {measured.num_runs} runs; 10-90 %: "
        f"{measured.p10_ms:.3f}-{measured.p90_ms:.3f} ms)"
    )
    if options.explain:
        print("\n".join(steps))
    if profile:
        print(profiling.to_text(profile))
    return 0


def _info(options: argparse.Namespace) -> int:
    """Prints what a file says of itself."""
    from r2b_runtime import info

    found = info.of_file(options.model)
    print(json.dumps(dataclasses.asdict(found)) if options.json else found.to_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
