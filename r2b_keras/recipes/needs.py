"""Fields of a recipe that do something only beside others, such as a gate's width.

Imports no TensorFlow.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from r2b_keras.errors import InputError
from r2b_keras.networks import BINARIZATIONS, RESCALINGS
from r2b_keras.recipes.overrides import ANY_STAGE
from r2b_keras.recipes.schema import Recipe, Stage
from r2b_keras.recipes.stage_parts import Group


@dataclass(frozen=True)
class Need:
    """What a field needs to do anything.

    Attributes:
      words: for people, in the names of fields.
      holds: whether a stage has it.
    """

    words: str
    holds: Callable[[Stage], bool]


def _is_binary_block(stage: Stage) -> bool:
    return stage.student.binarization != "real"


def _has_gate(stage: Stage) -> bool:
    rescaling = RESCALINGS[stage.student.rescaling_used]
    # Code of the user's own sees the gate's options and may read them.
    package = rescaling.layers.partition(".")[0]
    return rescaling.gated or package not in ("", "r2b_keras")


def _binarizes_activations(stage: Stage) -> bool:
    return BINARIZATIONS[stage.student.binarization].activations == "sign"


def _binarizes_weights(stage: Stage) -> bool:
    own = RESCALINGS[stage.student.rescaling_used].weight_binarizer
    return BINARIZATIONS[stage.student.binarization].weights == "sign" and not own


def _has_decay(stage: Stage) -> bool:
    return stage.optimizer.weight_decay > 0


def _has_decay_of_groups(stage: Stage) -> bool:
    """Whether there is a decay for each factor of one but those that ask for none."""
    groups = map(Group.parse, stage.optimizer.groups)
    return _has_decay(stage) or all(group.decay in (0, 1) for group in groups)


_LABELS = Need("losses.cross_entropy above 0", lambda s: s.losses.cross_entropy > 0)
_LOGITS = Need("losses.logit_matching above 0", lambda s: s.losses.logit_matching > 0)
_ATTENTION = Need("losses.attention above 0", lambda s: s.losses.attention > 0)
_TEACHER = Need(
    "losses.attention or losses.logit_matching above 0",
    lambda s: s.losses.needs_teacher,
)
_CROP = Need(
    "augmentation.random_resized_crop", lambda s: s.augmentation.random_resized_crop
)
_GATE = Need("a student.rescaling with a gate", _has_gate)
_BLOCK = Need("a student.binarization other than 'real'", _is_binary_block)
_SIGNED = Need("a student.binarization with binary activations", _binarizes_activations)
_BINARY = Need(
    "the student.binarization 'binary' and a student.rescaling other than 'analytic'",
    _binarizes_weights,
)
_SGD = Need("the optimizer.name 'sgd'", lambda s: s.optimizer.name == "sgd")
_DECAY = Need("optimizer.weight_decay above 0", _has_decay)
_GROUPS = Need(
    "optimizer.weight_decay above 0 for a group's factor of it", _has_decay_of_groups
)
_STEP = Need("the schedule.kind 'step'", lambda s: s.schedule.kind == "step")
_FALL = Need(
    "the schedule.kind 'cosine' or 'linear'",
    lambda s: s.schedule.kind in ("cosine", "linear"),
)

# By the field's name within a stage; all others do something by themselves.
NEEDS = {
    "teacher": _TEACHER,
    "losses.temperature": _LOGITS,
    "losses.attention_form": _ATTENTION,
    "losses.taps": _ATTENTION,
    "losses.label_smoothing": _LABELS,
    "losses.class_weights": _LABELS,
    "augmentation.crop_area": _CROP,
    "student.reduction": _GATE,
    "student.gate_width": _GATE,
    "student.rescaling": _BLOCK,
    "student.downsample": _BLOCK,
    "student.pad_value": _BLOCK,
    "student.stem_activation": _BLOCK,
    "student.activation_binarizer": _SIGNED,
    "student.weight_binarizer": _BINARY,
    "optimizer.momentum": _SGD,
    "optimizer.decay": _DECAY,
    "optimizer.groups": _GROUPS,
    "schedule.drop_factor": _STEP,
    "schedule.final_fraction": _FALL,
}

# Values that turn a field off, which needs nothing.
_OFF = {
    "teacher": None,
    "losses.taps": (),
    "losses.label_smoothing": 0,
    "losses.class_weights": (),
}


def require_heeded(
    named: Recipe,
    recipe: Recipe,
    overrides: Sequence[str],
    others: Iterable[Recipe] = (),
) -> None:
    """Refuses overrides that change a field which does nothing.

    What a recipe has by itself is not looked at. Of `stages.*` one stage that heeds the
    field is enough.

    Args:
      named: the recipe before.
      recipe: the same with the overrides, see `apply_overrides`.
      overrides: what the user asks for.
      others: recipes that are made of it, such as a sweep's trials; one in which the
        field does something is enough too.

    Raises:
      InputError: nothing heeds a field that is changed.
    """
    made = (recipe, *others)
    for override in overrides:
        first, number, *rest = override.partition("=")[0].replace(" ", "").split(".")
        field = ".".join(rest)
        if first != "stages" or field not in NEEDS:
            continue
        every = number == ANY_STAGE
        numbers = range(len(named.stages)) if every else [int(number)]
        values = [(_value(r, n, rest) for r in (named, recipe)) for n in numbers]
        asked = [new for old, new in values if new != old]
        if all(field in _OFF and value == _OFF[field] for value in asked):
            continue
        need = NEEDS[field]
        if not any(need.holds(r.stages[n]) for r in made for n in numbers):
            whose = "no stage has" if every else f"stage {number} does not have"
            raise InputError(
                f"Override {override!r} is of no use without {need.words}, which "
                f"{whose}: set that too, or leave the override out."
            )


def _value(recipe: Recipe, number: int, keys: Sequence[str]) -> Any:
    return functools.reduce(getattr, keys, recipe.stages[number])
