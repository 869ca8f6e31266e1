"""The experiments behind the README's figures: commands, and the numbers they give.

Each experiment is run with several seeds. `results/seeds.csv` has the numbers of all of
them, `results/claims.csv` what follows; the small files that the commands wrote with
seed 0 are in a folder of its name under `results/`.
"""

import types
from collections.abc import Collection, Mapping

from r2b_keras.board.card import REAL_WEIGHTS
from r2b_keras.claims import LEAST_SEEDS
from r2b_keras.errors import InputError
from r2b_keras.recipes.measured import stage_claim
from r2b_keras.reproduction.definitions import (
    Experiment,
    Number,
    Statement,
    Step,
    Term,
)

# Bytes. Words in a file, its model card's among them, move its size by less than this,
# one 32-bit weight for each of a digit network's binary filters by more.
_KIBIBYTE = 1024


def _accuracies(*stages: int) -> tuple[Number, ...]:
    titles = {stage: stage_claim("", stage).removeprefix(": ") for stage in stages}
    return tuple(
        Number(title, f"stage_{stage}/result.json", "top1")
        for stage, title in titles.items()
    )


# Files that an experiment converts its last stage to, by name, with flags of `convert`.
_Files = dict[str, tuple[str, ...]]
_SIZES: _Files = {kind: (f"--real_weights={kind}",) for kind in REAL_WEIGHTS}
# The smallest, for pictures as a camera gives them.
_PIXELS: _Files = {"pixels": ("--real_weights=int8", "--input=uint8")}
_ALL = _SIZES | _PIXELS
# Of a network with real layers in integers, which has no other.
_INTEGERS: _Files = {"integers": ()}
_RUNTIME = "r2b_runtime"


def _conversion(name: str, flags: tuple[str, ...]) -> tuple[Step, ...]:
    """Converts the last stage to a file and evaluates that in LCE."""
    step = Step(("convert", "--workdir={folder}", *flags, f"--output={_model(name)}"))
    return (step, _evaluation(name, "lce", name))


def _evaluation(name: str, engine: str, output: str) -> Step:
    """Evaluates a file in an engine, on all test images."""
    files = ("--workdir={folder}", f"--model={_model(name)}")
    return Step(("evaluate", *files, f"--engine={engine}", "--json"), f"{output}.json")


def _model(name: str) -> str:
    """The path of a converted file."""
    return f"{{folder}}/{name}.tflite"


def _in_runtime(name: str) -> tuple[str, str]:
    """How tables and files call what our runtime makes of a file."""
    if name == REAL_WEIGHTS[0]:
        return _RUNTIME, _RUNTIME
    return f"{name} file in {_RUNTIME}", f"{_RUNTIME}_{name}"


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
    converted: Mapping[str, tuple[str, ...]] = types.MappingProxyType({}),
    in_runtime: tuple[str, ...] = (),
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
      converted: files of its last stage, by name, with flags of `convert`.
      in_runtime: names of those that our runtime is to run too.
      is_quick: see `Experiment`.
      is_compared: the same.
      num_seeds: the same.
    """
    folders = ("--workdir={folder}", "--seed={seed}", "--library={stages}")
    train = ("train", f"--recipe={recipe}", *folders, *flags)
    steps, numbers = [Step(train)], [*_accuracies(*stages)]
    for file, options in converted.items():
        steps += _conversion(file, options)
        numbers += _converted(f"{file} file", file)
    for file in in_runtime:
        title, output = _in_runtime(file)
        steps.append(_evaluation(file, _RUNTIME, output))
        numbers += _converted(title, output, has_size=False)
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
        "the default recipe, converted; 2 minutes a seed",
        (0, 1, 2, 3),
        "digits",
        converted=_SIZES,
        in_runtime=REAL_WEIGHTS[:1],
        num_seeds=_MANY_SEEDS,
        is_quick=True,
    ),
    _experiment(
        "digits_strong_baseline",
        "the strong baseline on digits; 1 minute a seed",
        (0, 1),
        "digits/strong_baseline",
        is_quick=True,
    ),
    _experiment(
        "digits_without_absorb_magnitude",
        "the default recipe without it; 1 minute a seed",
        (3,),
        "digits",
        _ABSORB.format(3),
        is_compared=True,
        num_seeds=_MANY_SEEDS,
    ),
    _experiment(
        "digits_bfloat16",
        "the default recipe in bfloat16; 1 minute a seed",
        (0, 1, 2, 3),
        "digits",
        "--precision=bfloat16",
    ),
    _experiment(
        "fashion_mnist",
        "the chain on Fashion-MNIST, converted; 50 minutes a seed",
        (0, 1, 2, 3),
        "fashion_mnist",
        converted=_SIZES,
    ),
    _experiment(
        "fashion_mnist_strong_baseline",
        "the strong baseline on Fashion-MNIST; half an hour a seed",
        (0, 1),
        "fashion_mnist/strong_baseline",
    ),
    _experiment(
        "fashion_mnist_strong_baseline_as_in_the_paper",
        "its last stage without absorb_magnitude; 15 minutes more a seed",
        (0, 1),
        "fashion_mnist/strong_baseline",
        _ABSORB.format(1),
    ),
    _experiment(
        "fashion_mnist_integers",
        "its chain, then real layers in integers; 15 minutes more a seed",
        (3, 4),
        "fashion_mnist/integers",
        converted=_INTEGERS,
        in_runtime=tuple(_INTEGERS),
        num_seeds=3,
    ),
    _experiment(
        "cifar100_small",
        "the chain on CIFAR-100, converted; 2 hours a seed",
        (0, 1, 2, 3),
        _CIFAR,
        converted=_ALL,
        in_runtime=tuple(_ALL),
    ),
    _experiment(
        "cifar100_small_strong_baseline",
        "the strong baseline on CIFAR-100; 45 minutes a seed",
        (0, 1),
        _CIFAR_BASELINE,
    ),
    _experiment(
        "cifar100_small_long_baseline",
        "that baseline in the chain's whole time; 2 hours a seed",
        (0, 1),
        _CIFAR_BASELINE,
        "--override=stages.*.epochs=120",
        num_seeds=3,
    ),
    _experiment(
        "cifar100_small_integers",
        "its chain, then real layers in integers; 15 minutes more a seed",
        (3, 4),
        f"{_CIFAR}/integers",
        converted=_INTEGERS,
        in_runtime=tuple(_INTEGERS),
        num_seeds=3,
    ),
    _experiment(
        "cifar100_small_half_width_bfloat16",
        "the chain at half the width in bfloat16, converted; 2.5 hours",
        (0, 1, 2, 3),
        f"{_CIFAR}/half_width",
        "--precision=bfloat16",
        converted=_ALL,
        in_runtime=tuple(_ALL),
        num_seeds=1,
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
    (_CIFAR_CHAIN, Term("cifar100_small_long_baseline", "stage 1, top-1")),
    *(
        (Term(name, "stage 4, top-1"), Term(name, "stage 3, top-1"))
        for name in ("cifar100_small_integers", "fashion_mnist_integers")
    ),
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


def recipe_of(experiment: Experiment) -> str:
    """Name of the recipe that an experiment trains."""
    flag = "--recipe="
    (found,) = (each for each in experiment.steps[0].arguments if each.startswith(flag))
    return found.removeprefix(flag)


def compared_with(terms: Collection[Term]) -> set[Term]:
    """The other numbers of the differences that one of these is in."""
    pairs = (set(pair) for pair in _DIFFERENCES)
    return {other for pair in pairs if pair & set(terms) for other in pair - set(terms)}


def choose(names: list[str], quick: bool) -> list[Experiment]:
    """The experiments of these names; without names, all, or the quick ones.

    Args:
      names: some names, or none.
      quick: whether only quick ones are wanted.

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
        return [known[name] for name in dict.fromkeys(names)]
    return [each for each in EXPERIMENTS if each.is_quick or not quick]


def _partners(name: str) -> set[str]:
    """Experiments that this one is compared with."""
    pairs = ({first.experiment, second.experiment} for first, second in _DIFFERENCES)
    return {other for pair in pairs if name in pair for other in pair - {name}}
