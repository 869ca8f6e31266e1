"""The paper's two chains of stages, as functions of what a data set changes.

Four stages, each the teacher of the next (Sec. 4.2), and the strong baseline's two
(Sec. 4.1). Ours is what makes a chain's last network one of integer real layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from r2b_keras.data.config import Augmentation
from r2b_keras.networks import Network
from r2b_keras.recipes.schema import Stage
from r2b_keras.recipes.stage_parts import Expected, Losses, Optimizer, Schedule


@dataclass(frozen=True)
class Training:
    """How a stage is trained, but for its length and its losses."""

    batch_size: int
    optimizer: Optimizer
    schedule: Schedule
    augmentation: Augmentation


@dataclass(frozen=True)
class ChainSettings:
    """What the stages of a data set have in common.

    Attributes:
      network: options of every network.
      real_weights: training of the stages with real weights.
      binary_weights: training of the one with binary weights.
      taught: losses of the students that match attention and logits.
      taught_last: losses of the last stage, which matches no attention (Sec. 4.2).
    """

    network: Mapping[str, Any]
    real_weights: Training
    binary_weights: Training
    taught: Losses
    taught_last: Losses

    def stage(self, name: str, binarization: str, epochs: int, **fields: Any) -> Stage:
        """A stage of one network."""
        is_binary = binarization == "binary"
        training = self.binary_weights if is_binary else self.real_weights
        student = Network(name, binarization, **self.network)
        return Stage(student, epochs, **vars(training), **fields)


def real_to_binary(
    settings: ChainSettings,
    epochs: Sequence[int],
    expected: Sequence[Expected | None] = (None,) * 4,
    stage_2_start: int | None = None,
    last_teacher: int = 2,
) -> tuple[Stage, ...]:
    """The four stages of Sec. 4.2.

    Args:
      settings: what they have in common.
      epochs: of each stage.
      expected: of each stage.
      stage_2_start: where stage 2 starts; from scratch as in larq-zoo, the paper is
        silent.
      last_teacher: the stage whose logits the last one matches; 2 in the paper.
    """
    name = "real_to_binary18"
    return (
        settings.stage("resnet18", "real", epochs[0], expected=expected[0]),
        settings.stage(
            name,
            "soft",
            epochs[1],
            teacher=0,
            losses=settings.taught,
            expected=expected[1],
        ),
        settings.stage(
            name,
            "binary_activations",
            epochs[2],
            teacher=1,
            start_from=stage_2_start,
            losses=settings.taught,
            expected=expected[2],
        ),
        settings.stage(
            name,
            "binary",
            epochs[3],
            teacher=last_teacher,
            start_from=2,  # Sec. 4.2: 2-stage initialisation is crucial
            # Ours: alpha was learned for W, and sign(W) is larger by orders of
            # magnitude. alpha times mean |W| (Eq. 1) starts near stage 2. What
            # the digits gain by it is claimed in results/claims.csv.
            absorb_magnitude=True,
            losses=settings.taught_last,
            expected=expected[3],
        ),
    )


def strong_baseline(
    settings: ChainSettings,
    epochs: Sequence[int],
    expected: Sequence[Expected | None] = (None,) * 2,
) -> tuple[Stage, ...]:
    """The same network in two stages with labels only (Sec. 4.1).

    XNOR-Net++'s learned factors take the place of the gate.

    Args:
      settings: as for `real_to_binary`; their losses are not used.
      epochs: of each stage.
      expected: of each stage.
    """
    name = "strong_baseline18"
    return (
        settings.stage(name, "binary_activations", epochs[0], expected=expected[0]),
        settings.stage(
            name,
            "binary",
            epochs[1],
            start_from=0,
            absorb_magnitude=True,  # ours, as above
            expected=expected[1],
        ),
    )


def in_integers(
    stages: tuple[Stage, ...],
    epochs: int,
    learning_rate: float,
    expected: Expected | None = None,
) -> tuple[Stage, ...]:
    """The stages, and one in which the last network's real layers become integers.

    It goes on as that network was trained, at a lower rate.

    Args:
      stages: a chain, or its baseline.
      epochs: of the new stage.
      learning_rate: its highest.
      expected: of the new stage.
    """
    last = stages[-1]
    added = replace(
        last,
        student=replace(last.student, real_layers="integer"),
        epochs=epochs,
        start_from=len(stages) - 1,
        absorb_magnitude=False,
        optimizer=replace(last.optimizer, learning_rate=learning_rate),
        expected=expected,
    )
    return (*stages, added)
