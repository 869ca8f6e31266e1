"""Makes a page about a run: `python -m r2b_keras.report --workdir=runs/digits`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import command, files, import_flag, path_flags
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    import os
    import pathlib
    from collections.abc import Sequence

FLAGS = flags.FLAGS
MOST_IMAGES = 32
ENDING = ".html"


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("workdir", None, "Folder of a training run.")
    path_flags.define("output", None, "The page, WORKDIR/report.html by default.")
    path_flags.define("data_dir", None, "Folder with the images.")
    import_flag.define()
    path_flags.define_multi(
        "model",
        "A .tflite file to measure, repeatable; all that lie in the workdir if unset.",
    )
    flags.DEFINE_integer(
        "num_images", 4, "Test images in the attention maps.", 1, MOST_IMAGES
    )


def main() -> int:
    """Reads the workdir and writes the page; returns the exit code."""
    if FLAGS.workdir is None:
        raise InputError(
            "--workdir is missing, expected the folder of a training run: "
            "--workdir=runs/digits, for example."
        )
    import_flag.import_modules(FLAGS)
    from r2b_keras.converters import tflite_file
    from r2b_keras.reports import deployed
    from r2b_keras.reports.page import compose
    from r2b_keras.trainers.workdir import Workdir

    workdir = Workdir(FLAGS.workdir)
    workdir.recipe()  # refuses what is no workdir, before anything takes time
    paths = FLAGS.model
    if paths is None:
        paths = [str(path) for path in deployed.find(workdir.path)]
    flatbuffers = tflite_file.read_named(list(dict.fromkeys(paths)))
    output = check_output(
        FLAGS.output or str(workdir.path / "report.html"),
        [workdir.path, FLAGS.data_dir, *paths],
    )
    print(f"Reading {workdir.path} and its test images ...", flush=True)
    page = compose(workdir, FLAGS.data_dir, flatbuffers, FLAGS.num_images)
    files.write_text(output, page.html)
    print(f"{output}, with {len(page.pictures)} pictures in it")
    return 0


def check_output(
    path: str, inputs: Sequence[str | os.PathLike[str] | None]
) -> pathlib.Path:
    """Checks the page's place before anything takes time.

    Args:
      path: the page.
      inputs: what the command reads, see `files.check_output`.

    Raises:
      InputError: it is no .html file, is read itself, or cannot be written.
    """
    output = files.check_output(path, "--output", inputs, (ENDING,))
    files.require_ending(output, "--output", ENDING)
    return output


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="")


if __name__ == "__main__":
    start()
