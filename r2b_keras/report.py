"""Makes a page about a run: `python -m r2b_keras.report --workdir=runs/digits`."""

from __future__ import annotations

import pathlib
import re
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import command, files, import_flag, path_flags
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from r2b_keras.reports.page import Page

FLAGS = flags.FLAGS
MOST_IMAGES = 32
# Names of our own pictures: those of an earlier page are removed, no others.
_OURS = re.compile(
    r"(stage_\d+_(loss|accuracy|flips|attention_\d+)|gates_by_class|gates_last"
    r"|confusion|mistake_\d+)\.png"
)


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
    """Reads the workdir, writes the page and its pictures; returns the exit code."""
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
    output = prepare_output(
        FLAGS.output or str(workdir.path / "report.html"),
        [workdir.path, FLAGS.data_dir, *paths],
    )
    print(f"Reading {workdir.path} and its test images ...", flush=True)
    page = compose(workdir, FLAGS.data_dir, flatbuffers, FLAGS.num_images)
    folder = write(page, output)
    print(f"{output}\n{folder}, {len(page.pictures)} pictures")
    return 0


def prepare_output(
    path: str, inputs: Sequence[str | os.PathLike[str] | None]
) -> pathlib.Path:
    """Checks the page's place before anything takes time, and makes its folder.

    Args:
      path: the page; the folder for its pictures lies beside it.
      inputs: what the command reads, see `files.check_output`.

    Raises:
      InputError: it is no .html file, is read itself, or cannot be written.
    """
    output = files.check_output(path, "--output", inputs, (".html",))
    if output.suffix != ".html":
        raise InputError(
            f"--output={path} is no name of a page, expected one that ends in .html: "
            "--output=report.html, for example."
        )
    folder = output.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} for the pictures of --output={path} cannot be made "
            f"({error.strerror or error}): give another --output."
        ) from error
    files.check_output(folder / "picture.png", "--output")
    return output


def write(page: Page, output: pathlib.Path) -> pathlib.Path:
    """Writes the pictures, then the page; returns the pictures' folder.

    Pictures that an earlier page left and this one does not have are removed.
    """
    folder = output.with_suffix("")
    for picture in page.pictures:
        files.write_bytes(folder / f"{picture.name}.png", picture.png)
    kept = {f"{picture.name}.png" for picture in page.pictures}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in kept:
            path.unlink()
    files.write_text(output, page.html)
    return folder


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="")


if __name__ == "__main__":
    start()
