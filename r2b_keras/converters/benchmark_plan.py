"""What a benchmark measures, and in which order."""

import random
from collections.abc import Mapping, Sequence

from r2b_keras.checks import one_of
from r2b_keras.converters import card, engines
from r2b_keras.errors import InputError

SEED = 0


def plan(
    flatbuffers: Mapping[str, bytes], engine_names: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """Chooses the rows: (model, engine), each model with each engine that can run it.

    Args:
      flatbuffers: contents of `.tflite` files by name.
      engine_names: the engines to choose from, all when None.

    Raises:
      InputError: no model, a file that is none or damaged, a name that no engine has,
        an engine that can run none of the models, or a model that no engine can run.
    """
    if not flatbuffers:
        raise InputError("There is no model to measure, expected at least one.")
    names = (
        engines.NAMES if engine_names is None else tuple(dict.fromkeys(engine_names))
    )
    check_engines(names)
    able = {model: _able(model, flatbuffers[model]) for model in flatbuffers}
    pairs = [
        (model, name) for model in flatbuffers for name in names if name in able[model]
    ]
    for model in flatbuffers:
        if model not in {model for model, _ in pairs}:
            raise InputError(
                f"Model {model} cannot be run by {', '.join(names)}, expected one of "
                f"{', '.join(able[model])}."
            )
    for name in names:
        if engine_names is not None and name not in {engine for _, engine in pairs}:
            every = {known for some in able.values() for known in some}
            raise InputError(
                f"The engine {name} can run none of the models, expected one of "
                f"{', '.join(known for known in engines.NAMES if known in every)}."
            )
    return pairs


def check_engines(names: Sequence[str]) -> None:
    """Raises `InputError` for a name that no engine has."""
    for name in set(names) - set(engines.NAMES):
        raise InputError(f"There is no engine {name!r}, {one_of(name, engines.NAMES)}")


def _able(model: str, flatbuffer: bytes) -> tuple[str, ...]:
    """Engines that can run a flatbuffer, at least one."""
    try:
        card.read(flatbuffer)  # finds damage that the tables do not show
        names = engines.names_for(flatbuffer)
        if not names:
            engines.load(flatbuffer)  # tells why not
        return names
    except InputError as error:
        raise InputError(f"Model {model}: {error}") from error


def orders(num_rows: int, rounds: int) -> list[list[int]]:
    """In which order the rows have their turns, for each round.

    Every other round is the reverse of the one before; those between are shuffled, and
    never like the one before.
    """
    shuffled = random.Random(SEED)
    result: list[list[int]] = []
    for number in range(rounds):
        order = list(range(num_rows))
        if number % 2:
            order = result[-1][::-1]
        elif num_rows > 1:
            shuffled.shuffle(order)
            while result and order == result[-1]:
                shuffled.shuffle(order)
        result.append(order)
    return result
