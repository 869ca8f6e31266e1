"""Fields of a recipe that do something only beside others, such as a gate's width.

Imports no TensorFlow.
"""

from collections.abc import Callable
from dataclasses import dataclass

from r2b_keras.networks import BINARIZATIONS, RESCALINGS
from r2b_keras.recipes import Stage


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


def _binarizes_activations(stage: Stage) -> bool:
    return BINARIZATIONS[stage.student.binarization].activations == "sign"


def _binarizes_weights(stage: Stage) -> bool:
    own = RESCALINGS[stage.student.rescaling_used].weight_binarizer
    return BINARIZATIONS[stage.student.binarization].weights == "sign" and not own


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
_GATE = Need(
    "a student.rescaling with a gate",
    lambda s: RESCALINGS[s.student.rescaling_used].gated,
)
_BLOCK = Need("a student.binarization other than 'real'", _is_binary_block)
_SIGNED = Need("a student.binarization with binary activations", _binarizes_activations)
_BINARY = Need(
    "the student.binarization 'binary' and a student.rescaling other than 'analytic'",
    _binarizes_weights,
)
_SGD = Need("the optimizer.name 'sgd'", lambda s: s.optimizer.name == "sgd")
_DECAY = Need("optimizer.weight_decay above 0", lambda s: s.optimizer.weight_decay > 0)
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
    "schedule.drop_factor": _STEP,
    "schedule.final_fraction": _FALL,
}
