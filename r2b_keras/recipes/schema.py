"""What a recipe is: stages as frozen, checked values. Imports no TensorFlow."""

from dataclasses import dataclass, field

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.errors import InputError
from r2b_keras.models.config import Network

OPTIMIZERS = ("adam", "sgd")
DECAYS = ("l2", "decoupled")
SCHEDULES = ("constant", "step", "cosine", "linear")
ATTENTION_FORMS = ("norm", "squared_mean", "max_normalised")


def _require(holds: bool, field_name: str, value: object, expected: str) -> None:
    if not holds:
        raise InputError(f"{field_name} is {value!r}, expected {expected}.")


def _choice(field_name: str, value: str, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, field_name, value, f"one of {', '.join(allowed)}")


@dataclass(frozen=True)
class Optimizer:
    """How gradients become steps.

    Attributes:
      name: "adam" or "sgd".
      learning_rate: the peak, before any schedule.
      momentum: for "sgd" only.
      weight_decay: strength for real-valued kernels; binary weights never decay.
      decay: "l2" adds `weight_decay * w` to the gradient (what Adam with a weight decay
        meant when the paper was written); "decoupled" subtracts
        `learning_rate * weight_decay * w` from the weight (AdamW).
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.0
    decay: str = "l2"

    def __post_init__(self) -> None:
        """Refuses settings that cannot train."""
        _choice("optimizer.name", self.name, OPTIMIZERS)
        _choice("optimizer.decay", self.decay, DECAYS)
        rate = self.learning_rate
        _require(rate > 0, "optimizer.learning_rate", rate, "a positive number")
        decay = self.weight_decay
        _require(decay >= 0, "optimizer.weight_decay", decay, "0 or more")
        _require(
            0 <= self.momentum < 1,
            "optimizer.momentum",
            self.momentum,
            "at least 0 and below 1",
        )


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
        _choice("schedule.kind", self.kind, SCHEDULES)
        rising = list(self.drop_epochs) == sorted(set(self.drop_epochs))
        _require(
            rising and all(epoch > 0 for epoch in self.drop_epochs),
            "schedule.drop_epochs",
            self.drop_epochs,
            "positive, rising epochs",
        )
        _require(
            bool(self.drop_epochs) == (self.kind == "step"),
            "schedule.drop_epochs",
            self.drop_epochs,
            "epochs for the kind 'step' and none for any other",
        )
        for name in ("drop_factor", "final_fraction"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"schedule.{name}", value, "between 0 and 1")
        warmup = self.warmup_epochs
        _require(warmup >= 0, "schedule.warmup_epochs", warmup, "0 or more")


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
    """

    cross_entropy: float = 1.0
    attention: float = 0.0
    attention_form: str = "norm"
    logit_matching: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Refuses negative weights and unknown forms."""
        for name in ("cross_entropy", "attention", "logit_matching"):
            value = getattr(self, name)
            _require(value >= 0, f"losses.{name}", value, "0 or more")
        _choice("losses.attention_form", self.attention_form, ATTENTION_FORMS)
        temperature = self.temperature
        _require(
            temperature > 0, "losses.temperature", temperature, "a positive number"
        )

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
    """

    top1: float
    source: str

    def __post_init__(self) -> None:
        """Refuses what is no fraction."""
        _require(0 < self.top1 <= 1, "expected.top1", self.top1, "a fraction in (0, 1]")


@dataclass(frozen=True)
class Stage:
    """One training run: a student, who teaches it, where it starts, how it trains.

    Attributes:
      student: the network that is trained.
      epochs: passes over the training part.
      batch_size: images a step, over all replicas.
      teacher: number of the earlier stage whose finished network teaches, or None.
      start_from: number of the earlier stage whose finished weights it starts with, or
        None for a fresh start.
      absorb_magnitude: multiply each alpha by the mean magnitude of the filter before
        it, which becomes binary; for the step from real to binary weights.
      optimizer: see `Optimizer`.
      schedule: see `Schedule`.
      losses: see `Losses`.
      augmentation: see `Augmentation`.
      expected: what to expect of it, or None where nobody has measured.
    """

    student: Network
    epochs: int
    batch_size: int
    teacher: int | None = None
    start_from: int | None = None
    absorb_magnitude: bool = False
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    losses: Losses = field(default_factory=Losses)
    augmentation: Augmentation = field(default_factory=Augmentation)
    expected: Expected | None = None

    def __post_init__(self) -> None:
        """Refuses a stage that contradicts itself."""
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        if self.losses.needs_teacher and self.teacher is None:
            raise InputError(
                "A stage has weights for attention or logit matching but no teacher: "
                "name the teacher's stage, or set both weights to 0."
            )
        if self.schedule.warmup_epochs > self.epochs:
            raise InputError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs}, expected at "
                f"most the stage's {self.epochs} epochs."
            )
        if self.schedule.drop_epochs and self.schedule.drop_epochs[-1] >= self.epochs:
            raise InputError(
                f"schedule.drop_epochs is {self.schedule.drop_epochs}, expected all to "
                f"be before the end of the stage at epoch {self.epochs}."
            )


@dataclass(frozen=True)
class Recipe:
    """A chain of stages on one data set.

    Attributes:
      name: what `--recipe` takes.
      summary: one line about it.
      data: where the images come from.
      stages: in order; each may look back at any earlier one.
    """

    name: str
    summary: str
    data: DataConfig
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        """Refuses stages that look at themselves or ahead."""
        _require(bool(self.stages), "stages", self.stages, "at least one stage")
        for number, stage in enumerate(self.stages):
            for role in ("teacher", "start_from"):
                other = getattr(stage, role)
                if other is not None and not 0 <= other < number:
                    raise InputError(
                        f"stages.{number}.{role} is {other}, expected an earlier stage "
                        f"(0 to {number - 1}) or none."
                    )

    def stages_needed(self, number: int) -> list[int]:
        """Numbers of the stages that stage `number` rests on, itself included."""
        needed = {number}
        for stage in range(number, -1, -1):
            if stage in needed:
                links = (self.stages[stage].teacher, self.stages[stage].start_from)
                needed.update(link for link in links if link is not None)
        return sorted(needed)
