"""What an experiment is: commands, the numbers they give, and what these may claim."""

import dataclasses


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
