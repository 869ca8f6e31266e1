"""The experiments behind the README's figures: commands, and the numbers they give.

Each experiment has a folder under `results/` with the small files that its commands
wrote when the figures were made. Running it again writes files of the same names to
another folder, and the numbers in both are compared.
"""

import dataclasses

from r2b_keras.errors import InputError

REAL_WEIGHTS = ("float32", "float16", "int8")


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of this package.

    Attributes:
      arguments: what follows `python -m r2b_keras.`; `{folder}` stands for the
        experiment's own folder.
      output: the file in that folder that keeps what it prints, or None.
    """

    arguments: tuple[str, ...]
    output: str | None = None


@dataclasses.dataclass(frozen=True)
class Claim:
    """One number of the README.

    Attributes:
      title: what tables say.
      file: the JSON file, in the folder of the experiment, that has it.
      key: its name there.
      kind: "accuracy", a fraction that changes with the machine by the spread over
        seeds; "size", in bytes, which changes a little with the weights, as equal
        constants are stored once; or "agreement", the fraction of test images that a
        file and Keras answer alike, of which other weights may turn one.
    """

    title: str
    file: str
    key: str
    kind: str = "accuracy"


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Commands that give some of the README's figures.

    Attributes:
      name: what `--experiment` takes, and the folder under `results/`.
      summary: one line about it, with the time it takes.
      is_quick: whether `--quick` runs it.
      steps: commands, in order.
      claims: numbers to compare.
    """

    name: str
    summary: str
    is_quick: bool
    steps: tuple[Step, ...]
    claims: tuple[Claim, ...]


def _training(recipe: str, *flags: str) -> tuple[Step, ...]:
    arguments = ("train", f"--recipe={recipe}", "--workdir={folder}", *flags)
    # Once it is complete, the same command prints its table.
    return Step(arguments), Step(arguments, "table.txt")


def _accuracies(*numbers: int) -> tuple[Claim, ...]:
    return tuple(
        Claim(f"stage {number}, top-1", f"stage_{number}/result.json", "top1")
        for number in numbers
    )


def _conversions() -> tuple[Step, ...]:
    steps: list[Step] = []
    for kind in REAL_WEIGHTS:
        model = f"{{folder}}/{kind}.tflite"
        convert = (
            "convert",
            "--workdir={folder}",
            f"--real_weights={kind}",
            f"--output={model}",
        )
        compare = ("evaluate", "--workdir={folder}", f"--model={model}", "--json")
        steps += [Step(convert), Step(compare, f"{kind}.json")]
    return tuple(steps)


def _converted() -> tuple[Claim, ...]:
    claims: list[Claim] = []
    for kind in REAL_WEIGHTS:
        claims += [
            Claim(f"{kind} file, top-1", f"{kind}.json", "top1"),
            Claim(f"{kind} file, bytes", f"{kind}.json", "bytes", "size"),
        ]
    answers = "float32 file, equal answers"
    return (*claims, Claim(answers, "float32.json", "agreement", "agreement"))


EXPERIMENTS = (
    Experiment(
        "digits",
        "the default recipe, converted; 3 minutes",
        is_quick=True,
        steps=(*_training("digits"), *_conversions()),
        claims=(*_accuracies(0, 1, 2, 3), *_converted()),
    ),
    Experiment(
        "digits_strong_baseline",
        "the strong baseline on digits; 2 minutes",
        is_quick=True,
        steps=_training("digits/strong_baseline"),
        claims=_accuracies(0, 1),
    ),
    Experiment(
        "digits_without_absorb_magnitude",
        "the default recipe without it; 3 minutes",
        is_quick=False,
        steps=_training("digits", "--override=stages.3.absorb_magnitude=false"),
        claims=_accuracies(3),
    ),
    Experiment(
        "digits_bfloat16",
        "the default recipe in bfloat16; 3 minutes",
        is_quick=False,
        steps=_training("digits", "--precision=bfloat16"),
        claims=_accuracies(0, 1, 2, 3),
    ),
    Experiment(
        "fashion_mnist",
        "the chain on Fashion-MNIST, converted; 80 minutes",
        is_quick=False,
        steps=(*_training("fashion_mnist"), *_conversions()),
        claims=(*_accuracies(0, 1, 2, 3), *_converted()),
    ),
    Experiment(
        "fashion_mnist_strong_baseline",
        "the strong baseline on Fashion-MNIST; 60 minutes",
        is_quick=False,
        steps=_training("fashion_mnist/strong_baseline"),
        claims=_accuracies(0, 1),
    ),
    Experiment(
        "fashion_mnist_strong_baseline_as_in_the_paper",
        "the same without absorb_magnitude; 60 minutes",
        is_quick=False,
        steps=_training(
            "fashion_mnist/strong_baseline",
            "--override=stages.1.absorb_magnitude=false",
        ),
        claims=_accuracies(0, 1),
    ),
)


def choose(names: list[str], quick: bool) -> list[Experiment]:
    """The experiments of these names; without names, all, or the quick ones.

    Raises:
      InputError: an unknown name.
    """
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    for name in names:
        if name not in known:
            raise InputError(
                f"Unknown experiment {name!r}, expected some of {', '.join(known)}."
            )
    if names:
        return [known[name] for name in names]
    return [each for each in EXPERIMENTS if each.is_quick or not quick]
