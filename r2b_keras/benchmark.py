"""Compares flatbuffers: `python -m r2b_keras.benchmark --model=A.tflite ...`."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import command, drawing, files, path_flags, threads_flag
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.converters.benchmark_report import Machine
    from r2b_keras.converters.benchmarking import Measurement

FLAGS = flags.FLAGS
CSV, PNG = "benchmark.csv", "benchmark.png"


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define_multi("model", "A .tflite file; give it once for each.")
    flags.DEFINE_list("engines", None, "Engines to run them on, all that can if unset.")
    threads_flag.define()
    flags.DEFINE_integer("rounds", 10, "How often each model has its turn.")
    flags.DEFINE_float("seconds", 0.5, "How long a turn takes.")
    flags.DEFINE_bool(
        "float_baseline",
        False,
        "Add the real-valued ResNet of the first model's images, classes, width, blocks"
        " and stem; that model is one of a --workdir. Needs TensorFlow.",
    )
    path_flags.define("output_dir", None, "Folder for benchmark.csv and benchmark.png.")


def main() -> int:
    """Measures, prints the table and writes the files; returns the exit code."""
    from r2b_keras.converters import benchmark_report, benchmarking, tflite_file
    from r2b_keras.converters.benchmark_plan import check_engines, plan

    engines = FLAGS.engines or None
    amounts = (FLAGS.threads, FLAGS.rounds, FLAGS.seconds)
    benchmarking.check_amounts(*amounts)
    if not FLAGS.model:
        raise InputError(
            "--model is missing, expected a converted network: --model=model.tflite, "
            "for example."
        )
    flatbuffers = tflite_file.read_named(FLAGS.model)
    check_engines(engines or ())
    # With a baseline, which is not there yet, engines may be for that one alone.
    plan(flatbuffers, None if FLAGS.float_baseline else engines)
    if FLAGS.float_baseline:
        _check_layout(flatbuffers)
    output_dir = FLAGS.output_dir and prepare_folder(FLAGS.output_dir, FLAGS.model)
    if FLAGS.float_baseline:
        _add_float_baseline(flatbuffers)
    num_rows = len(plan(flatbuffers, engines))
    machine = benchmark_report.describe_machine()
    print(machine.to_text())
    seconds = num_rows * FLAGS.seconds * (1.1 * FLAGS.rounds + 1)
    print(f"{num_rows} rows, about {seconds:.0f} s ...\n", flush=True)
    rows = benchmarking.benchmark(flatbuffers, engines, *amounts)
    print(benchmark_report.to_text(rows), flush=True)
    if output_dir:
        _write(output_dir, rows, machine)
    # Of engines that nobody named some may run nothing.
    failed = any(row.problem for row in rows)
    return command.EXIT_PROBLEM if engines and failed else 0


def prepare_folder(path: str, models: list[str]) -> pathlib.Path:
    """Makes the folder for the files, before anything takes time.

    Raises:
      InputError: it cannot be made, or a file in it cannot be written or is one of the
        models.
    """
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"--output_dir={path} cannot be written ({error.strerror or error}): give "
            "a folder that can."
        ) from error
    for name in (CSV, PNG):
        files.check_output(folder / name, "--output_dir", models)
    return folder


def _check_layout(flatbuffers: dict[str, bytes]) -> None:
    from r2b_keras.converters import benchmark_baseline, card

    benchmark_baseline.layout(card.read(next(iter(flatbuffers.values()))))


def _add_float_baseline(flatbuffers: dict[str, bytes]) -> None:
    from r2b_keras.converters import benchmark_baseline

    first = next(iter(flatbuffers.values()))
    flatbuffers[benchmark_baseline.NAME] = benchmark_baseline.float_baseline(first)


def _write(folder: pathlib.Path, rows: list[Measurement], machine: Machine) -> None:
    """Writes both files, once the content of both is there."""
    from r2b_keras.converters import benchmark_report

    picture = drawing.to_png(benchmark_report.draw(rows, machine))
    files.write_text(folder / CSV, benchmark_report.to_csv(rows, machine))
    files.write_bytes(folder / PNG, picture)


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="")


if __name__ == "__main__":
    start()
