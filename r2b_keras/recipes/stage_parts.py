"""The parts of a stage as frozen, checked values. Imports no TensorFlow."""

import math
from dataclasses import dataclass
from typing import Any

from r2b_keras.checks import (
    require,
    require_choice,
    require_fraction_below_1,
    require_positive,
    require_range,
)
from r2b_keras.errors import InputError

OPTIMIZERS = ("adam", "sgd")
DECAYS = ("l2", "decoupled")
SCHEDULES = ("constant", "step", "cosine", "linear")
ATTENTION_FORMS = ("norm", "squared_mean", "max_normalised")
# Class weights that follow from how many images each class has.
BALANCED = "balanced"


@dataclass(frozen=True)
class Group:
    """Weights that are trained in another way than the others.

    Attributes:
      pattern: of their names, `layer/weight`, such as "logits/*" or "block_*_conv/*".
      rate: factor of the learning rate; 0 freezes them.
      decay: factor of the weight decay.
    """

    pattern: str
    rate: float = 1.0
    decay: float = 1.0

    @classmethod
    def parse(cls, text: str) -> "Group":
        """Reads `PATTERN:RATE` or `PATTERN:RATE:DECAY`.

        Raises:
          InputError: it is neither.
        """
        pattern, *factors = text.split(":")
        try:
            values = [float(factor) for factor in factors]
        except ValueError:
            values = []
        holds = bool(pattern) and len(values) in (1, 2)
        expected = "PATTERN:RATE or PATTERN:RATE:DECAY, such as 'logits/*:10'"
        require(holds, "optimizer.groups", text, expected)
        for value in values:
            require_range(f"A factor of optimizer.groups {text!r}", value, 0)
        return cls(pattern, *values)


@dataclass(frozen=True)
class Optimizer:
    """How gradients become steps.

    Attributes:
      name: "adam" or "sgd".
      learning_rate: the peak, before any schedule; one for all weights of the stage,
        which is our reading of Sec. 4.1's rates for real and for binary weights.
      momentum: for "sgd" only.
      weight_decay: strength for real-valued kernels; binary weights never decay (Sec.
        4.1), nor does anything that is no kernel (ours).
      decay: "l2" adds `weight_decay * w` to the gradient (what Adam with a weight decay
        meant when the paper was written); "decoupled" subtracts
        `learning_rate * weight_decay * w` from the weight (AdamW).
      groups: weights with factors of their own, "PATTERN:RATE" or
        "PATTERN:RATE:DECAY" each, see `Group`; the first that fits a weight counts.
        Sec. 4.1's two rates within one network are "block_*[ab]_conv/kernel:0.2:0"; a
        binary downsample has "block_*_shortcut_conv/kernel:0.2:0" beside it.
      clip_norm: scale all gradients of a step down to this norm, taken over all of them
        together, where it is larger (Pascanu et al., 2013); 0 is off.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: str = "l2"
    groups: tuple[str, ...] = ()
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        """Refuses settings that cannot train."""
        require_choice("optimizer.name", self.name, OPTIMIZERS)
        require_choice("optimizer.decay", self.decay, DECAYS)
        require_positive("optimizer.learning_rate", self.learning_rate)
        require_range("optimizer.weight_decay", self.weight_decay, 0)
        require_fraction_below_1("optimizer.momentum", self.momentum)
        require_range("optimizer.clip_norm", self.clip_norm, 0)
        object.__setattr__(self, "groups", tuple(self.groups))
        for text in self.groups:
            Group.parse(text)


@dataclass(frozen=True)
class Schedule:
    """How the learning rate moves over a stage; all durations in epochs.

    Attributes:
      kind: "constant"; "step", times `drop_factor` at each of `drop_epochs`; "cosine"
        and "linear", down to `final_fraction` of the peak at the end.
      drop_epochs: for "step", rising.
      drop_factor: for "step".
      warmup_epochs: linear rise from 0 at the start of the stage.
      final_fraction: for "cosine" and "linear".
    """

    kind: str = "constant"
    drop_epochs: tuple[int, ...] = ()
    drop_factor: float = 0.1
    warmup_epochs: float = 0.0
    final_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Refuses schedules that contradict themselves."""
        require_choice("schedule.kind", self.kind, SCHEDULES)
        object.__setattr__(self, "drop_epochs", tuple(self.drop_epochs))
        drops = self.drop_epochs
        rising = list(drops) == sorted(set(drops)) and all(drop > 0 for drop in drops)
        require(rising, "schedule.drop_epochs", drops, "positive, rising epochs")
        fits = bool(drops) == (self.kind == "step")
        expected = "epochs for the kind 'step' and none for any other"
        require(fits, "schedule.drop_epochs", drops, expected)
        require_positive("schedule.drop_factor", self.drop_factor)
        require_range("schedule.drop_factor", self.drop_factor, 0, 1)
        require_range("schedule.final_fraction", self.final_fraction, 0, 1)
        require_range("schedule.warmup_epochs", self.warmup_epochs, 0)


def _words(given: Any) -> tuple[str, ...]:
    """Several words, or a single one."""
    return (given,) if isinstance(given, str) else tuple(map(str, given))


@dataclass(frozen=True)
class Losses:
    """Weights and forms of the loss parts (Sec. 4.2).

    Attributes:
      cross_entropy: weight of the labels.
      attention: weight of Eq. 2, one tap at the end of each block.
      attention_form: "norm" is Eq. 2 as printed; see
        `r2b_keras.trainers.losses.attention_matching`.
      logit_matching: weight of the distillation loss.
      temperature: T of the distillation loss.
      label_smoothing: share of the labels that is spread evenly over all classes
        (Szegedy et al., 2016), after classes are weighed, so that an image keeps the
        weight of its class; a teacher's logits stay as they are.
      class_weights: factors of the labels' cross-entropy, one number for each class in
        the order of the labels, or "balanced": N / (K n) for a class with n of N images
        to train on, of K classes, so that all classes weigh the same and the mean over
        the images is 1 (King & Zeng, Political Analysis 2001, weighting); a teacher's
        losses stay as they are. Empty for 1 each.
      taps: "STUDENT=TEACHER" each, names of the layers whose maps are matched, such as
        "block_2=block_3" where the teacher is deeper; empty for block by block.
    """

    cross_entropy: float = 1.0
    attention: float = 0.0
    attention_form: str = "norm"
    logit_matching: float = 0.0
    temperature: float = 1.0
    label_smoothing: float = 0.0
    class_weights: tuple[str, ...] = ()
    taps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses negative weights, unknown forms, and no loss at all."""
        for name in ("cross_entropy", "attention", "logit_matching"):
            require_range(f"losses.{name}", getattr(self, name), 0)
        require_choice("losses.attention_form", self.attention_form, ATTENTION_FORMS)
        require_positive("losses.temperature", self.temperature)
        require_range("losses.temperature", self.temperature, 0, 1e6)
        require_fraction_below_1("losses.label_smoothing", self.label_smoothing)
        self._check_class_weights()
        object.__setattr__(self, "taps", _words(self.taps))
        for tap in self.taps:
            holds = all(tap.partition("="))
            require(holds, "losses.taps", tap, "STUDENT=TEACHER, two names of layers")
        if not (self.cross_entropy or self.needs_teacher):
            raise InputError(
                "All weights of losses are 0, expected at least one above 0: there is "
                "nothing to train with."
            )

    def _check_class_weights(self) -> None:
        words = _words(self.class_weights)
        object.__setattr__(self, "class_weights", words)
        if words in ((), (BALANCED,)):
            return
        expected = f"{BALANCED!r}, or a number of at least 0 for each class, not all 0"
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = [-1.0]
        holds = all(0 <= x < math.inf for x in numbers) and any(numbers)
        require(holds, "losses.class_weights", words, expected)

    @property
    def tap_pairs(self) -> list[tuple[str, str]]:
        """`taps` as names in the student and in the teacher."""
        return [(own, other) for own, _, other in (x.partition("=") for x in self.taps)]

    @property
    def needs_teacher(self) -> bool:
        """Whether any part compares with a teacher."""
        return self.attention > 0 or self.logit_matching > 0


@dataclass(frozen=True)
class Expected:
    """What a finished stage should reach.

    Attributes:
      top1: accuracy on the test set, a fraction.
      source: where the number is from, "measured" (with this recipe, by us) or a
        citation.
      low: lower end of where a new run's accuracy lies, see `r2b_keras.claims`; None
        where nobody has measured enough seeds.
      high: upper end of it.
    """

    top1: float
    source: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no fraction, and ends that do not hold it between them."""
        require(0 < self.top1 <= 1, "expected.top1", self.top1, "a fraction in (0, 1]")
        require(bool(self.source), "expected.source", self.source, "a source")
        if self.low is None and self.high is None:
            return
        low = -math.inf if self.low is None else self.low
        high = -math.inf if self.high is None else self.high
        require(
            0 <= low <= self.top1 <= high <= 1,
            "expected.low and high",
            (self.low, self.high),
            f"fractions to both sides of {self.top1}, or None twice",
        )
