"""The experiments behind the README's figures: commands, and the numbers they give.

Each experiment is run with several seeds. `results/seeds.csv` has the numbers of all of
them, `results/claims.csv` what follows; the small files that the commands wrote with
seed 0 are in a folder of its name under `results/`.
"""

import dataclasses

from r2b_keras.board.card import REAL_WEIGHTS
from r2b_keras.claims import LEAST_SEEDS
from r2b_keras.errors import InputError
from r2b_keras.recipes.measured import stage_claim

# Bytes. Words in a file, its model card's among them, move its size by less than this,
# one 32-bit weight for each of a digit network's binary filters by more.
_KIBIBYTE = 1024


@dataclasses.dataclass(frozen=True)
class Step:
    """A command of this package.

    Attributes:
      arguments: what follows `python -m r2b_keras.`; `{folder}` stands for the run's
        own folder, `{seed}` for its seed and `{stages}` for the folder of finished
        stages that runs share.
      output: the file in that folder that keeps what it prints, or None.
    """

    arguments: tuple[str, ...]
    output: str | None = None


@dataclasses.dataclass(frozen=True)
class Number:
    """A number that an experiment gives.

    Attributes:
      title: what tables say, such as "stage 3, top-1".
      file: the JSON file, in the folder of a run, that has it.
      key: its name there.
      unit: its smallest step; None for a share of the test images.
    """

    title: str
    file: str
    key: str
    unit: float | None = None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Commands that give some of the README's figures.

    Attributes:
      name: what `--experiment` takes, and the folder under `results/`.
      summary: one line about it, with the time that a seed takes.
      is_quick: whether `--quick` runs it.
      steps: commands, in order; the last one prints the table.
      numbers: what they give.
      num_images: test images, of which an accuracy is a share.
      num_seeds: how many `--record` trains, from 0 on.
      is_compared: its numbers move so much with the seed that only differences to
        others are claimed.
    """

    name: str
    summary: str
    is_quick: bool
    steps: tuple[Step, ...]
    numbers: tuple[Number, ...]
    num_images: int
    num_seeds: int
    is_compared: bool = False


@dataclasses.dataclass(frozen=True)
class Term:
    """A number of an experiment.

    Attributes:
      experiment: its name.
      title: the number's.
    """

    experiment: str
    title: str

    @property
    def text(self) -> str:
        """The two as claims have them."""
        return f"{self.experiment}: {self.title}"


@dataclasses.dataclass(frozen=True)
class Statement:
    """What may be claimed: a number, or how much larger it is than another.

    Attributes:
      first: the number.
      second: what is taken from it, seed by seed, or None.
      unit: smallest step of the value.
      runs: of how many new seeds the mean is compared.
    """

    first: Term
    second: Term | None
    unit: float
    runs: int = 1

    @property
    def terms(self) -> tuple[Term, ...]:
        """The numbers that it takes."""
        return (self.first,) if self.second is None else (self.first, self.second)

    @property
    def text(self) -> str:
        """What the claim is about."""
        return " - ".join(term.text for term in self.terms)

    @property
    def is_size(self) -> bool:
        """Whether the value is in bytes."""
        return self.unit >= 1

    @property
    def is_share(self) -> bool:
        """Whether the value is a share of the test images."""
        return not self.is_size and self.second is None


def _accuracies(*stages: int) -> tuple[Number, ...]:
    titles = {stage: stage_claim("", stage).removeprefix(": ") for stage in stages}
    return tuple(
        Number(title, f"stage_{stage}/result.json", "top1")
        for stage, title in titles.items()
    )


def _conversion(kind: str, engine: str | None = None) -> tuple[Step, ...]:
    """Converts with real weights of a kind; or evaluates such a file in an engine."""
    workdir, model = "--workdir={folder}", f"{{folder}}/{kind}.tflite"
    evaluate = ("evaluate", workdir, f"--model={model}")
    if engine:
        return (Step((*evaluate, f"--engine={engine}", "--json"), f"{engine}.json"),)
    convert = ("convert", workdir, f"--real_weights={kind}", f"--output={model}")
    return (Step(convert), Step((*evaluate, "--json"), f"{kind}.json"))


def _converted(title: str, name: str, has_size: bool = True) -> tuple[Number, ...]:
    numbers = (
        Number(f"{title}, top-1", f"{name}.json", "top1"),
        Number(f"{title}, equal answers", f"{name}.json", "agreement"),
    )
    size = Number(f"{title}, bytes", f"{name}.json", "bytes", _KIBIBYTE)
    return (*numbers, size) if has_size else numbers


def _experiment(
    name: str,
    summary: str,
    stages: tuple[int, ...],
    recipe: str,
    *flags: str,
    converts: bool = False,
    engines: tuple[str, ...] = (),
    is_quick: bool = False,
    is_compared: bool = False,
    num_seeds: int = LEAST_SEEDS,
) -> Experiment:
    """An experiment on one of the two sets; its name begins with that of the recipe.

    Args:
      name: see `Experiment`.
      summary: the same.
      stages: whose accuracies count.
      recipe: what `train` is given.
      *flags: more for it.
      converts: whether the last stage is converted, in all sizes.
      engines: which run the first of these files too.
      is_quick: see `Experiment`.
      is_compared: the same.
      num_seeds: the same.
    """
    folders = ("--workdir={folder}", "--seed={seed}", "--library={stages}")
    train = ("train", f"--recipe={recipe}", *folders, *flags)
    steps, numbers = [Step(train)], [*_accuracies(*stages)]
    for kind in REAL_WEIGHTS if converts else ():
        steps += _conversion(kind)
        numbers += _converted(f"{kind} file", kind)
    for engine in engines:
        steps += _conversion(REAL_WEIGHTS[0], engine)
        numbers += _converted(engine, engine, has_size=False)
    # Once it is complete, the same command prints its table.
    steps.append(Step(train, "table.txt"))
    return Experiment(
        name,
        summary,
        is_quick,
        tuple(steps),
        tuple(numbers),
        num_images=359 if name.startswith("digits") else 10_000,
        num_seeds=num_seeds,
        is_compared=is_compared,
    )


# Without absorb_magnitude seeds lie far apart: fewer would show no difference.
_MANY_SEEDS = 10
_ABSORB = "--override=stages.{}.absorb_magnitude=false"
_CIFAR, _CIFAR_BASELINE = "cifar100_small", "cifar100_small/strong_baseline"
EXPERIMENTS = (
    _experiment(
        "digits",
        "the default recipe, converted; 2 minutes",
        (0, 1, 2, 3),
        "digits",
        converts=True,
        engines=("r2b_runtime",),
        num_seeds=_MANY_SEEDS,
        is_quick=True,
    ),
    _experiment(
        "digits_strong_baseline",
        "the strong baseline on digits; 1 minute",
        (0, 1),
        "digits/strong_baseline",
        is_quick=True,
    ),
    _experiment(
        "digits_without_absorb_magnitude",
        "the default recipe without it; 1 minute",
        (3,),
        "digits",
        _ABSORB.format(3),
        is_compared=True,
        num_seeds=_MANY_SEEDS,
    ),
    _experiment(
        "digits_bfloat16",
        "the default recipe in bfloat16; 1 minute",
        (0, 1, 2, 3),
        "digits",
        "--precision=bfloat16",
    ),
    _experiment(
        "fashion_mnist",
        "the chain on Fashion-MNIST, converted; under an hour",
        (0, 1, 2, 3),
        "fashion_mnist",
        converts=True,
    ),
    _experiment(
        "fashion_mnist_strong_baseline",
        "the strong baseline on Fashion-MNIST; half an hour",
        (0, 1),
        "fashion_mnist/strong_baseline",
    ),
    _experiment(
        "fashion_mnist_strong_baseline_as_in_the_paper",
        "its last stage without absorb_magnitude; half an hour",
        (0, 1),
        "fashion_mnist/strong_baseline",
        _ABSORB.format(1),
    ),
    _experiment(
        "cifar100_small",
        "the chain on CIFAR-100, converted; 4 hours of one core",
        (0, 1, 2, 3),
        _CIFAR,
        converts=True,
        engines=("r2b_runtime",),
    ),
    _experiment(
        "cifar100_small_strong_baseline",
        "the strong baseline on CIFAR-100; 2 hours of one core",
        (0, 1),
        _CIFAR_BASELINE,
    ),
)

_CHAIN = Term("fashion_mnist", "stage 3, top-1")
_BASELINE = Term("fashion_mnist_strong_baseline", "stage 1, top-1")
_AS_PRINTED = Term("fashion_mnist_strong_baseline_as_in_the_paper", "stage 1, top-1")
_DIGITS = Term("digits", "stage 3, top-1")
_CIFAR_CHAIN = Term("cifar100_small", "stage 3, top-1")
# A single seed may turn a difference; it is measured again with as many as this.
_PAIRS = 5
_DIFFERENCES = (
    (_DIGITS, Term("digits_without_absorb_magnitude", "stage 3, top-1")),
    (Term("digits_bfloat16", "stage 3, top-1"), _DIGITS),
    (_CHAIN, _AS_PRINTED),
    (_CHAIN, _BASELINE),
    (_BASELINE, _AS_PRINTED),
    (_CIFAR_CHAIN, Term("cifar100_small_strong_baseline", "stage 1, top-1")),
)


def statements() -> list[Statement]:
    """All that may be claimed: numbers of experiments, then the differences."""
    found: list[Statement] = []
    units: dict[Term, float] = {}
    for experiment in EXPERIMENTS:
        for number in experiment.numbers:
            term = Term(experiment.name, number.title)
            units[term] = number.unit or 1 / experiment.num_images
            if not experiment.is_compared:
                found.append(Statement(term, None, units[term]))
    names = {experiment.name for experiment in EXPERIMENTS}
    return found + [
        Statement(first, second, units[first], _PAIRS)
        for first, second in _DIFFERENCES
        if {first.experiment, second.experiment} <= names
    ]


def choose(names: list[str], quick: bool) -> list[Experiment]:
    """The experiments of these names; without names, all, or the quick ones.

    Raises:
      InputError: an unknown name, or one of which nothing is claimed without another.
    """
    known = {experiment.name: experiment for experiment in EXPERIMENTS}
    for name in names:
        if name not in known:
            raise InputError(
                f"Unknown experiment {name!r}, expected some of {', '.join(known)}."
            )
        partners = _partners(name) if known[name].is_compared else set()
        if partners and not partners & set(names):
            raise InputError(
                f"Nothing is claimed of {name!r} alone: name "
                f"{' or '.join(sorted(partners))} with it."
            )
    if names:
        return [known[name] for name in names]
    return [each for each in EXPERIMENTS if each.is_quick or not quick]


def _partners(name: str) -> set[str]:
    """Experiments that this one is compared with."""
    pairs = ({first.experiment, second.experiment} for first, second in _DIFFERENCES)
    return {other for pair in pairs if name in pair for other in pair - {name}}
