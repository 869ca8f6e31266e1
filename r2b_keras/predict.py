"""Names pictures: `python -m r2b_keras.predict --model=model.tflite PICTURE...`.

Starts at once: it imports no TensorFlow unless the engine does.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NoReturn

from absl import flags

from r2b_keras import card_flags, command, engine_flag, path_flags, threads_flag
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from r2b_keras.board.card import ModelCard
    from r2b_keras.converters.engines import Engine

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Declares the command's flags."""
    path_flags.define("model", None, "Converted network, a .tflite file.")
    flags.DEFINE_integer("top", 5, "Classes to show for a picture.", 1)
    flags.DEFINE_bool("json", False, "Print one JSON object instead of text.")
    flags.DEFINE_bool(
        "upright",
        None,
        "Turn pictures by their EXIF orientation; as the model card says if unset.",
    )
    engine_flag.define()
    threads_flag.define()
    card_flags.define("for a model without a card")


def main(paths: list[str]) -> int:
    """Prints the likeliest classes of each picture; returns the exit code."""
    from r2b_keras.board import classification

    if FLAGS.model is None:
        raise InputError(
            "--model is missing, expected a converted network: --model=model.tflite."
        )
    if not paths:
        raise InputError(
            "No picture is given: name JPEG, PNG or WebP files after the options, such "
            f"as --model={FLAGS.model} cat.jpg."
        )
    engine, card = load_network(FLAGS.model, FLAGS.engine, FLAGS.threads)
    if FLAGS.upright is not None:
        card = dataclasses.replace(card, upright=FLAGS.upright)
    named = classification.print_guesses(engine, card, paths, FLAGS.top, FLAGS.json)
    return 0 if named else command.EXIT_PROBLEM


def load_network(
    path: str, engine: str | None = None, num_threads: int = 1
) -> tuple[Engine, ModelCard]:
    """Loads a converted network and what is to be known of it.

    Args:
      path: a `.tflite` file.
      engine: one of `engines.NAMES`; None for the choice of `engines.load`.
      num_threads: threads of the engine.

    Raises:
      InputError: the file is missing, damaged or of another kind, no engine runs it, or
        the flags do not say what its card leaves open, or contradict it.
    """
    from r2b_keras.converters import card, engines, tflite_file

    flatbuffer = tflite_file.read_bytes(path)
    own = card.read(flatbuffer)
    loaded = engines.load(flatbuffer, engine, num_threads)
    shape = loaded.input_shape[1:]
    given = card_flags.given(FLAGS)
    if own is None:
        own = _card_of_flags(path, loaded, given)
    for name, value in given.items():
        if getattr(own, name) != value:
            flag = "labels" if name == "class_names" else name
            raise InputError(
                f"--{flag}={getattr(FLAGS, flag)} contradicts the model card of {path}:"
                " leave the flag out."
            )
    remedy = "convert the network again, or mend --labels"
    input_type = loaded.input_type.name
    own.check_fits(path, shape, (loaded.num_classes,), remedy, input_type)
    return loaded, own


def _card_of_flags(path: str, loaded: Engine, given: dict[str, object]) -> ModelCard:
    """A card for a foreign model.

    Raises:
      InputError: flags are missing, named in the sentence, or make no card.
    """
    from r2b_keras.board.card import ModelCard

    shape, num_classes = loaded.input_shape[1:], loaded.num_classes
    if num_classes < 2:
        raise InputError(
            f"{path} gives one score, expected one for each class: convert the Keras "
            "network that it was made of with `python -m r2b_keras.convert`, which "
            "makes two of one."
        )
    numbers = "1 number" if shape[-1] == 1 else f"{shape[-1]} numbers"
    needed = {
        "class_names": f"--labels=FILE (the {num_classes} class names, one per line)",
        "mean": f"--mean ({numbers})",
        "std": f"--std ({numbers})",
        "framing": "--framing (whole or center)",
    }
    input_type = loaded.input_type.name
    if input_type == "uint8":
        # Its normalisation is inside.
        given = {"mean": (0.0,) * shape[-1], "std": (1.0,) * shape[-1], **given}
    missing = [text for name, text in needed.items() if name not in given]
    if missing:
        raise InputError(
            f"{path} has no model card that tells its classes and preprocessing: give "
            f"{', '.join(missing)}."
        )
    return ModelCard(
        image_shape=shape,  # type: ignore[arg-type]
        input_type=input_type,
        **given,  # type: ignore[arg-type]
    )


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, arguments=True, kept="")


if __name__ == "__main__":
    start()
