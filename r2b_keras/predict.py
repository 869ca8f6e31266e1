"""Names pictures: `python -m r2b_keras.predict --model=model.tflite PICTURE...`.

Runs on boards without TensorFlow, as far as the engine does.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import TYPE_CHECKING, NoReturn, TypedDict

import numpy as np
from absl import flags

from r2b_keras import card_flags, command, path_flags
from r2b_keras.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from r2b_keras.converters.card import ModelCard
    from r2b_keras.converters.engines import Engine

FLAGS = flags.FLAGS
# Scores this close to a sum of 1 are probabilities, those of 16-bit floats included.
SUM_TOLERANCE = 1e-3


class Guess(TypedDict):
    """One class that a picture may show."""

    label: str
    index: int
    probability: float


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
    flags.DEFINE_string("engine", None, "What runs the network, the best if unset.")
    flags.DEFINE_integer("num_threads", 1, "Threads of the engine.", 1)
    card_flags.define("for a model without a card")


def main(paths: list[str]) -> int:
    """Prints the likeliest classes of each picture; returns the exit code."""
    if FLAGS.model is None:
        raise InputError(
            "--model is missing, expected a converted network: --model=model.tflite."
        )
    if not paths:
        raise InputError(
            "No picture is given: name JPEG, PNG or WebP files after the options, such "
            f"as --model={FLAGS.model} cat.jpg."
        )
    engine, card = load_network(FLAGS.model, FLAGS.engine, FLAGS.num_threads)
    if FLAGS.upright is not None:
        card = dataclasses.replace(card, upright=FLAGS.upright)
    found: dict[str, list[Guess]] = {}
    code = 0
    for path in paths:
        try:
            found[path] = guess(engine, card, path, FLAGS.top)
        except InputError as error:
            code = command.EXIT_PROBLEM
            print(error, file=sys.stderr, flush=True)
            continue
        if not FLAGS.json:
            print(to_text(path, found[path]), flush=True)
    if FLAGS.json:
        print(json.dumps(found))
    return code


def load_network(
    path: str, engine: str | None = None, num_threads: int = 1
) -> tuple[Engine, ModelCard]:
    """Loads a converted network and what is to be known of it.

    Args:
      path: a `.tflite` file.
      engine: one of `engines.NAMES`, the first able one when None.
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
        own = _card_of_flags(path, shape, loaded.num_classes, given)
    for name, value in given.items():
        if getattr(own, name) != value:
            flag = "labels" if name == "class_names" else name
            raise InputError(
                f"--{flag}={getattr(FLAGS, flag)} contradicts the model card of {path}:"
                " leave the flag out."
            )
    card.check_fits(own, path, shape, loaded.num_classes)
    return loaded, own


def guess(engine: Engine, card: ModelCard, path: str, top: int) -> list[Guess]:
    """The likeliest classes of a picture, the first one first.

    Args:
      engine: the loaded network.
      card: its card.
      path: a JPEG, PNG or WebP file.
      top: number of classes, all if there are fewer.

    Raises:
      InputError: the picture is missing or broken, or the network's scores are.
    """
    from r2b_keras.converters import pictures

    scores = engine.predict(pictures.load(path, card)[np.newaxis])[0]
    if not np.isfinite(scores).all():
        raise InputError(
            f"The network's scores for {path} are not finite numbers: convert it again "
            "and verify it."
        )
    shares = probabilities(scores)
    return [
        Guess(
            label=card.class_names[index],
            index=int(index),
            probability=float(shares[index]),
        )
        for index in np.argsort(-shares, kind="stable")[:top]
    ]


def probabilities(scores: np.ndarray) -> np.ndarray:
    """Softmax of logits; scores that are probabilities already stay as they are.

    Args:
      scores: `[K]`.

    Returns:
      `[K]` float64, not negative, of sum 1.
    """
    scores = scores.astype(np.float64)
    if scores.min() >= 0 and abs(scores.sum() - 1) <= SUM_TOLERANCE:
        return scores
    exponentials = np.exp(scores - scores.max())
    shares: np.ndarray = exponentials / exponentials.sum()
    return shares


def to_text(path: str, guesses: Sequence[Guess]) -> str:
    """A picture's name and, below it, a line for each class."""
    lines = (f"{each['probability']:>8.2%}  {each['label']}" for each in guesses)
    return "\n".join((path, *lines))


def _card_of_flags(
    path: str, shape: tuple[int, ...], num_classes: int, given: dict[str, object]
) -> ModelCard:
    """A card for a foreign model.

    Raises:
      InputError: flags are missing, named in the sentence, or make no card.
    """
    from r2b_keras.converters.card import ModelCard

    numbers = "1 number" if shape[-1] == 1 else f"{shape[-1]} numbers"
    needed = {
        "class_names": f"--labels=FILE (the {num_classes} class names, one per line)",
        "mean": f"--mean ({numbers})",
        "std": f"--std ({numbers})",
        "framing": "--framing (whole or center)",
    }
    missing = [text for name, text in needed.items() if name not in given]
    if missing:
        raise InputError(
            f"{path} has no model card that tells its classes and preprocessing: give "
            f"{', '.join(missing)}."
        )
    return ModelCard(image_shape=shape, **given)  # type: ignore[arg-type]


def start() -> NoReturn:
    """Runs the command and exits."""
    define_flags()
    command.run(main, needs_tensorflow=False, arguments=True, kept="")


if __name__ == "__main__":
    start()
