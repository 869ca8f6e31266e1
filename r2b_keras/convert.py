"""Converts a network: `python -m r2b_keras.convert --workdir=DIR --output=m.tflite`."""

from __future__ import annotations

import pathlib
import sys
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import card_flags, command, files, import_flag, path_flags
from r2b_keras.board.card import INPUT_TYPES, REAL_WEIGHTS
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.converters.sources import Source

FLAGS = flags.FLAGS
ENDING, REJECTED = ".tflite", ".rejected"
# Flags that name what is read, and endings of what is written.
_READ = (
    *("workdir", "model", "weights", "recipe", "data_dir", "verify_images"),
    "labels",
)
_WRITTEN = (ENDING, REJECTED)
# Flags that not every kind of network takes.
_ONLY_FOR = {
    "stage": ("workdir",),
    "data_dir": ("workdir", "model"),
    "recipe": ("model",),
    "import": ("workdir", "model"),
}


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("workdir", None, "Folder of a training run.")
    text = "Stage of the workdir, the last finished if unset."
    flags.DEFINE_integer("stage", None, text)
    path_flags.define("model", None, "A .keras file, instead of a workdir.")
    text = "larq-zoo's Real-to-Binary weights (.h5), instead of --workdir and --model."
    path_flags.define("weights", None, text)
    import_flag.define()
    path_flags.define("recipe", None, "Recipe whose data a --model was trained on.")
    path_flags.define("data_dir", None, "Folder with the recipe's images.")
    path_flags.define("output", None, "The .tflite file to write.")
    flags.DEFINE_enum(
        "real_weights",
        "float32",
        REAL_WEIGHTS,
        "How weights that are not binary are stored.",
    )
    flags.DEFINE_enum(
        "input",
        "float32",
        INPUT_TYPES,
        "What the file takes: images that are normalised, or pixels; a network of "
        "integer layers takes pixels in any case.",
    )
    path_flags.define(
        "verify_images", None, "Folder of JPEG, PNG or WebP pictures to verify with."
    )
    flags.DEFINE_integer("num_images", 500, "Images to verify with, at most.", 1)
    card_flags.define("for --model without --recipe and for --weights")


def main() -> int:
    """Converts, verifies and writes the file; returns the exit code."""
    output, rejected = _outputs()
    from r2b_keras.converters import deployment

    source = _source()
    result = deployment.deploy(source, FLAGS.real_weights, FLAGS.input)
    written = output if result.accepted else rejected
    with files.written_whole(written) as aside:
        aside.write_bytes(result.flatbuffer)
    print(written)
    if FLAGS.workdir is not None:
        print(f"{FLAGS.workdir}, stage {source.card.stage}")
    print(result.to_text())
    if result.accepted:
        left = pathlib.Path(f"{FLAGS.output}{REJECTED}")
        if left.is_file() and not left.is_symlink():  # a link is the user's
            left.unlink()
        return 0
    print(
        f"The flatbuffer does not do what the network does: it is kept as {rejected} "
        "to look at, and not to be used.",
        file=sys.stderr,
    )
    return command.EXIT_PROBLEM


def _outputs() -> list[pathlib.Path]:
    """The file to write, and where a rejected one goes."""
    if FLAGS.output is None:
        raise InputError(
            "--output is missing, expected the file to write: --output=model.tflite."
        )
    read = [FLAGS[name].value for name in _READ]
    outputs = [
        files.check_output(f"{FLAGS.output}{ending}", "--output", read, _WRITTEN)
        for ending in ("", REJECTED)
    ]
    files.require_ending(outputs[0], "--output", ENDING)
    return outputs


def _source() -> Source:
    """The network that the flags name."""
    from r2b_keras.converters import sources

    named = {name: getattr(FLAGS, name) for name in ("workdir", "model", "weights")}
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        came = " and ".join(f"--{name}" for name in given) or "none of them"
        raise InputError(
            "Expected one of --workdir (a training run), --model (a .keras file) and "
            f"--weights (larq-zoo's), but {came} came."
        )
    (kind,) = given
    if kind == "model" and FLAGS.recipe is None:
        command.refuse_unused(FLAGS, ["data_dir"], "is for a --recipe's data")
    unused = [name for name in _ONLY_FOR if kind not in _ONLY_FOR[name]]
    command.refuse_unused(FLAGS, unused, f"has no meaning for --{kind}")
    card = card_flags.given(FLAGS)
    folder, limit = FLAGS.verify_images, FLAGS.num_images
    if card and (FLAGS.workdir is not None or (FLAGS.model and FLAGS.recipe)):
        raise InputError(
            "--labels, --mean, --std and --framing come from the recipe: leave them "
            "out."
        )
    import_flag.import_modules(FLAGS)
    if FLAGS.workdir is not None:
        return sources.from_workdir(
            FLAGS.workdir, FLAGS.stage, FLAGS.data_dir, folder, limit
        )
    if FLAGS.model is not None:
        return sources.from_file(
            FLAGS.model, FLAGS.recipe, FLAGS.data_dir, card, folder, limit
        )
    return sources.from_larq_zoo(FLAGS.weights, card, folder, limit)


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, kept="")


if __name__ == "__main__":
    start()
