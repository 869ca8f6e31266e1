"""The rows of an ablation: what each adds to the strong baseline, and its recipe."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from r2b_keras.errors import InputError
from r2b_keras.networks import DOWNSAMPLES
from r2b_keras.recipes import Recipe, Schedule, Stage

# The stages of Sec. 4.2, by number: what the rows change.
TEACHER, SOFT, REAL_WEIGHTS, BINARY_WEIGHTS = range(4)
_BINARIZATIONS = ("real", "soft", "binary_activations", "binary")


@dataclasses.dataclass(frozen=True)
class Row:
    """One row: a network and what teaches it.

    Attributes:
      name: what `--rows` takes.
      title: what tables say.
      rescaling: `Network.rescaling` of the students.
      attention: whether Eq. 2 is in the loss where the recipe has it.
      logits: whether the distillation loss is.
      progressive: whether a student with tanh stands between the real teacher and the
        one with binary activations (Sec. 4.2).
      last: what the last stage has instead of what the recipe says, by field of
        `Stage`.
      paper: what Table 3 prints by kind of downsampling, top-1 on CIFAR-100 as
        fractions: after the stage with binary activations and real weights, and after
        the last stage. Empty where the paper leaves the row open.
    """

    name: str
    title: str
    rescaling: str = "channel_scale"
    attention: bool = False
    logits: bool = False
    progressive: bool = False
    last: dict[str, Any] = dataclasses.field(default_factory=dict)
    paper: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)


BASELINE, ATTENTION = "baseline", "attention"
_GATE = "gate_and_scale"
_ALL: dict[str, Any] = {
    "rescaling": _GATE,
    "attention": True,
    "logits": True,
    "progressive": True,
}

ROWS = (
    Row(
        BASELINE,
        "strong baseline",
        paper={"real": (0.721, 0.696), "binary": (0.693, 0.680)},
    ),
    Row(
        ATTENTION,
        "+ attention",
        attention=True,
        paper={"real": (0.743, 0.726), "binary": (0.722, 0.711)},
    ),
    Row(
        "attention_logits",
        "+ attention + logits",
        attention=True,
        logits=True,
        paper={"real": (0.754, 0.739), "binary": (0.731, 0.719)},
    ),
    Row(
        "gate",
        "+ G alone",
        _GATE,
        paper={"real": (0.720, 0.709), "binary": (0.672, 0.662)},
    ),
    Row(
        "progressive",
        "+ progressive teacher-student",
        attention=True,
        logits=True,
        progressive=True,
        paper={"real": (0.757, 0.746), "binary": (0.738, 0.723)},
    ),
    Row(
        "all",
        "Real-to-Binary (all)",
        **_ALL,
        paper={"real": (0.765, 0.762), "binary": (0.750, 0.735)},
    ),
    # What the paper leaves open.
    Row("gate_attention", "+ G + attention", _GATE, attention=True),
    Row("analytic", "analytic factors alone", "analytic"),
    Row(
        "analytic_attention", "analytic factors + attention", "analytic", attention=True
    ),
    Row(
        "gamma_attention",
        "learned Gamma (outer product) + attention",
        "outer_product_scale",
        attention=True,
    ),
    # Where recipes of ours leave the paper's last stage.
    Row(
        "all_kept_magnitude",
        "all, last stage without absorb_magnitude",
        **_ALL,
        last={"absorb_magnitude": False},
    ),
    Row(
        "all_taught_by_stage_2",
        "all, last stage taught by stage 2",
        **_ALL,
        last={"teacher": REAL_WEIGHTS},
    ),
)

TITLES = {row.name: row.title for row in ROWS}

# Rows without attention matching, and what they become with it.
MATCHED = {"gate": "gate_attention", "analytic": "analytic_attention"}


def find(names: Sequence[str], recipe: Recipe) -> list[Row]:
    """Returns the rows of these names, in the table's order; all where there are none.

    All are those that differ on this recipe: a row that trains what another one does
    would have its very results, and noise that is estimated from both be too small.

    Args:
      names: of rows, or none.
      recipe: a chain that `check` accepts.

    Raises:
      InputError: an unknown name, one that is no row of its own on this recipe, or
        another recipe.
    """
    check(recipe)
    copies = _copies(recipe)
    for name in names:
        if name not in TITLES:
            raise InputError(
                f"Unknown row {name!r}, expected some of {', '.join(TITLES)}."
            )
        if name in copies:
            raise InputError(
                f"Row {name!r} trains what row {copies[name]!r} does on recipe "
                f"{recipe.name!r}: leave it out."
            )
    return [
        row for row in ROWS if (row.name in names if names else row.name not in copies)
    ]


def _copies(recipe: Recipe) -> dict[str, str]:
    """The rows that train what one before them does on this recipe, with its name."""
    found: dict[str, str] = {}
    trained: list[tuple[str, list[Stage]]] = []
    for row in ROWS:
        try:
            made = make_recipe(recipe, row, DOWNSAMPLES[0])
        except InputError:  # a row that the recipe cannot have copies none
            continue
        stages = [made.stages[number] for number in made.stages_needed(BINARY_WEIGHTS)]
        same = next((name for name, theirs in trained if theirs == stages), None)
        if same is None:
            trained.append((row.name, stages))
        else:
            found[row.name] = same
    return found


def make_recipe(recipe: Recipe, row: Row, downsample: str) -> Recipe:
    """Changes a recipe of four stages into that of a row.

    Numbers of stages stay, so that a stage that two rows have in common is the same in
    both; a row without a progressive teacher has no use for the second stage. Where
    the recipe's third stage goes on from the weights of its second, a row without that
    one trains its third stage for the epochs of both: all rows train their students
    equally long.

    Args:
      recipe: a chain of a real teacher, a soft, a binarized and a binary student.
      row: what to keep of it.
      downsample: "real" or "binary" 1x1 convolutions in the students' shortcuts.

    Raises:
      InputError: the recipe has other stages, or there is no such downsampling.
    """
    check(recipe)
    if downsample not in DOWNSAMPLES:
        raise InputError(
            f"Downsampling is {downsample!r}, expected some of "
            f"{', '.join(DOWNSAMPLES)}."
        )
    stages = [recipe.stages[TEACHER]]
    for stage in recipe.stages[SOFT:]:
        stages.append(_with_student(stage, row.rescaling, downsample))
    stages[SOFT] = _with_losses(stages[SOFT], row)
    stages[REAL_WEIGHTS] = _with_losses(
        stages[REAL_WEIGHTS]
        if row.progressive
        else _taught_by_the_real_network(stages[SOFT], stages[REAL_WEIGHTS]),
        row,
    )
    last = dataclasses.replace(stages[BINARY_WEIGHTS], **row.last)
    stages[BINARY_WEIGHTS] = _with_losses(last, row)
    return dataclasses.replace(
        recipe, name=f"{recipe.name}/{row.name}_{downsample}", stages=tuple(stages)
    )


def student_epochs(recipe: Recipe, row: Row) -> int:
    """For how many epochs a row trains its students, one after the other.

    All rows the same where the recipe's third stage goes on from its second; elsewhere
    a row without the second does without its epochs.
    """
    made = make_recipe(recipe, row, DOWNSAMPLES[0])
    needed = made.stages_needed(BINARY_WEIGHTS)
    return sum(made.stages[number].epochs for number in needed if number != TEACHER)


def check(recipe: Recipe) -> None:
    """Raises `InputError` unless the recipe has the four stages of Sec. 4.2."""
    found = tuple(stage.student.binarization for stage in recipe.stages)
    if found != _BINARIZATIONS:
        raise InputError(
            f"Recipe {recipe.name!r} has stages of the binarizations "
            f"{', '.join(found)}, expected {', '.join(_BINARIZATIONS)}: take one of "
            "the four-stage recipes."
        )


def _with_student(stage: Stage, rescaling: str, downsample: str) -> Stage:
    student = dataclasses.replace(
        stage.student, rescaling=rescaling, downsample=downsample
    )
    return dataclasses.replace(stage, student=student, expected=None)


def _with_losses(stage: Stage, row: Row) -> Stage:
    """The stage with the losses of the row alone, and no teacher without them."""
    losses = dataclasses.replace(
        stage.losses,
        attention=stage.losses.attention if row.attention else 0.0,
        logit_matching=stage.losses.logit_matching if row.logits else 0.0,
    )
    teacher = stage.teacher if losses.needs_teacher else None
    return dataclasses.replace(stage, losses=losses, teacher=teacher)


def _taught_by_the_real_network(soft: Stage, stage: Stage) -> Stage:
    """The stage as it is without the soft student before it."""
    epochs = stage.epochs
    if stage.start_from == SOFT:
        epochs += soft.epochs
    return dataclasses.replace(
        stage,
        teacher=TEACHER,
        start_from=None if stage.start_from == SOFT else stage.start_from,
        epochs=epochs,
        schedule=_stretched(stage.schedule, epochs / stage.epochs),
    )


def _stretched(schedule: Schedule, factor: float) -> Schedule:
    drops = tuple(round(epoch * factor) for epoch in schedule.drop_epochs)
    return dataclasses.replace(schedule, drop_epochs=drops)
