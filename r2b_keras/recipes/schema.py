"""What a recipe is: stages as frozen, checked values. Imports no TensorFlow."""

from collections.abc import Callable
from dataclasses import dataclass, field

from r2b_keras.checks import (
    require,
    require_choice,
    require_count,
    require_flag,
    require_fraction_below_1,
)
from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.errors import InputError
from r2b_keras.networks import BINARIZATIONS, RESCALINGS, Network
from r2b_keras.recipes.stage_parts import Expected, Losses, Optimizer, Schedule

# Fields of `Recipe` and `Stage` that tell people about them and change no training.
DESCRIPTIONS = ("summary", "expected")

# For `Stage.start_from`: the network of one's own that is named on the command line.
TO_BE_NAMED = "(--start_from)"


@dataclass(frozen=True)
class Stage:
    """One training run: a student, who teaches it, where it starts, how it trains.

    Attributes:
      student: the network that is trained.
      epochs: passes over the training part.
      batch_size: images a step, over all replicas.
      teacher: number of the earlier stage whose finished network teaches, path of a
        saved network that does, or None.
      start_from: number of the earlier stage whose finished weights it starts with,
        path of a saved network with such weights, `TO_BE_NAMED` where a recipe needs
        one, or None for a fresh start.
      absorb_magnitude: multiply each learned factor per channel by the mean magnitude
        of the filter before it, which becomes binary; for the step from real to binary
        weights. XNOR-Net's analytic factors have that magnitude by themselves.
      optimizer: see `Optimizer`.
      schedule: see `Schedule`.
      losses: see `Losses`.
      augmentation: see `Augmentation`.
      expected: what to expect of it, or None where nobody has measured.
      keep: "last" epoch, or "best" by the accuracy on the validation part.
      patience: stop after so many epochs without a better one; 0 is never. Only where
        the best is kept.
      average: share of the moving average of the weights that each step keeps, such as
        0.999; the average is what the stage ends with, see
        `r2b_keras.trainers.averaging`. 0 is off.
    """

    student: Network
    epochs: int
    batch_size: int
    teacher: int | str | None = None
    start_from: int | str | None = None
    absorb_magnitude: bool = False
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    losses: Losses = field(default_factory=Losses)
    augmentation: Augmentation = field(default_factory=Augmentation)
    expected: Expected | None = None
    keep: str = "last"
    patience: int = 0
    average: float = 0.0

    def __post_init__(self) -> None:
        """Refuses a stage that contradicts itself."""
        require_count("epochs", self.epochs)
        require_count("batch_size", self.batch_size)
        require_flag("absorb_magnitude", self.absorb_magnitude)
        self._check_end()
        if self.losses.needs_teacher and self.teacher is None:
            raise InputError(
                "A stage has weights for attention or logit matching but no teacher: "
                "name the teacher's stage, or set both weights to 0."
            )
        if self.absorb_magnitude:
            self._check_absorption()
        warmup, drops = self.schedule.warmup_epochs, self.schedule.drop_epochs
        expected = f"at most the stage's {self.epochs} epochs"
        require(warmup <= self.epochs, "schedule.warmup_epochs", warmup, expected)
        before = all(drop < self.epochs for drop in drops)
        expected = f"all to be before the end of the stage at epoch {self.epochs}"
        require(before, "schedule.drop_epochs", drops, expected)

    def _check_end(self) -> None:
        """Refuses ends of the stage that exclude each other."""
        require_choice("keep", self.keep, ("last", "best"))
        require_count("patience", self.patience, 0)
        require_fraction_below_1("average", self.average)
        best = self.keep == "best"
        require(best or not self.patience, "patience", self.patience, "0, or keep=best")
        alone = not (best and self.average)
        require(alone, "average", self.average, "0 where the best epoch is kept")

    @property
    def links(self) -> tuple[int | str, ...]:
        """Stages and files that it rests on; no teacher to whom no loss listens."""
        teacher = self.teacher if self.losses.needs_teacher else None
        return tuple(link for link in (teacher, self.start_from) if link is not None)

    @property
    def files(self) -> tuple[str, ...]:
        """Those of `links` that are files."""
        return tuple(link for link in self.links if isinstance(link, str))

    def _check_absorption(self) -> None:
        """Refuses to absorb a magnitude that is kept, or that nothing can take over."""
        if self.start_from is None or not _has_binary_weights(self.student):
            raise InputError(
                "absorb_magnitude is true, expected false for a stage without "
                "start_from or with real weights: it is for a binary student that "
                "starts from real weights."
            )
        rescaling = self.student.rescaling_used
        if not RESCALINGS[rescaling].absorbs_magnitude:
            raise InputError(
                f"absorb_magnitude is true, expected false for the rescaling "
                f"{rescaling!r}, which has no factor that could take over the size of "
                "the weights: set absorb_magnitude to false, or the rescaling of this "
                "stage and of those that it starts from to 'gate_and_scale' (Eq. 3)."
            )


def _has_binary_weights(network: Network) -> bool:
    return BINARIZATIONS[network.binarization].weights == "sign"


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
        """Refuses links to the stage itself, to later ones or to ones that do not fit.

        A network that does not fit would else be found only after hours of training.
        """
        named = isinstance(self.name, str) and self.name != ""
        require(named, "name", self.name, "a name")
        object.__setattr__(self, "stages", tuple(self.stages))
        require(bool(self.stages), "stages", self.stages, "at least one stage")
        for number, stage in enumerate(self.stages):
            self._check_link(number, "teacher", stage.teacher)
            self._check_link(number, "start_from", stage.start_from)
            if isinstance(stage.start_from, int):
                self._check_fit(number, "start_from", Network.weight_layout)
                self._check_start_is_real(number, stage.start_from)
            by_block = stage.losses.attention > 0 and not stage.losses.taps
            if by_block and isinstance(stage.teacher, int):
                self._check_fit(number, "teacher", Network.map_layout)
            self._check_padding(number)

    def _check_padding(self, number: int) -> None:
        """Refuses windows that may lie beside the whole image."""
        padding = self.stages[number].augmentation.pad_and_crop
        height, width, _ = self.data.image_shape
        if padding >= min(height, width):
            raise InputError(
                f"stages.{number}.augmentation.pad_and_crop is {padding}, expected "
                f"less than the sides of the images, which are {height}x{width}."
            )

    def _check_link(self, number: int, role: str, other: int | str | None) -> None:
        earlier = f"an earlier stage (0 to {number - 1}), " if number else ""
        if isinstance(other, int) and not isinstance(other, bool):
            holds = 0 <= other < number
        else:
            holds = other is None or (isinstance(other, str) and bool(other))
        require(holds, f"stages.{number}.{role}", other, f"{earlier}a file or none")

    def _check_fit(
        self, number: int, role: str, layout: Callable[[Network], dict[str, object]]
    ) -> None:
        """Refuses a linked network whose weights or feature maps have other shapes."""
        other = getattr(self.stages[number], role)
        student, linked = self.stages[number].student, self.stages[other].student
        mine, theirs = layout(student), layout(linked)
        for name in mine:
            if mine[name] == theirs[name]:
                continue
            # As they are written; what is left empty, as it is filled in.
            found = getattr(student, name) or mine[name]
            expected = getattr(linked, name) or theirs[name]
            raise InputError(
                f"stages.{number}.student.{name} is {found!r}, expected {expected!r} "
                f"as in stage {other}, its {role}: give both stages the same."
            )

    def _check_start_is_real(self, number: int, start: int) -> None:
        """Refuses to absorb the magnitude of weights that were binary before."""
        stage = self.stages[number]
        if stage.absorb_magnitude and _has_binary_weights(self.stages[start].student):
            raise InputError(
                f"stages.{number}.absorb_magnitude is true, expected false: the "
                f"weights of stage {start}, which it starts from, are binary already, "
                "and its factors have their size."
            )

    def require_stage(self, number: int) -> None:
        """Refuses the number of a stage that there is not."""
        if not 0 <= number < len(self.stages):
            raise InputError(
                f"--stage={number} is out of range, recipe {self.name!r} has stages 0 "
                f"to {len(self.stages) - 1}."
            )

    def stages_needed(self, number: int) -> list[int]:
        """Numbers of the stages that stage `number` rests on, itself included.

        A teacher to whom no loss listens is not among them.
        """
        needed = {number}
        for index in range(number, -1, -1):
            if index in needed:
                links = self.stages[index].links
                needed.update(link for link in links if isinstance(link, int))
        return sorted(needed)
