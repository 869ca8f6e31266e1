"""What the recipes for small machines share; all of it ours.

A cosine instead of steps and a learning rate of 2e-3, because there are so few epochs;
a higher one than the paper's 2e-4 in the last stage for the same reason. approx_sign,
whose gradient is nearer to that of the sign than the clipped identity's. Losses weigh 1
(Sec. 4.2 prints no weight).
"""

from typing import Any

from r2b_keras.data.config import Augmentation
from r2b_keras.recipes.chains import ChainSettings, Training
from r2b_keras.recipes.stage_parts import Losses, Optimizer, Schedule


def settings(
    network: dict[str, Any],
    batch_size: int,
    last_rate: float,
    augmentation: Augmentation,
    binary_augmentation: Augmentation | None = None,
    temperature: float = 1.0,
) -> ChainSettings:
    """Settings of a chain of few epochs.

    Args:
      network: options of every network.
      batch_size: images a step.
      last_rate: learning rate of the last stage.
      augmentation: while weights are real.
      binary_augmentation: while weights are binary, where it is another.
      temperature: T of the distillation loss.
    """
    real_weights = Training(
        batch_size,
        Optimizer(learning_rate=2e-3, weight_decay=1e-5),
        Schedule("cosine", warmup_epochs=1),
        augmentation,
    )
    binary_weights = Training(
        batch_size,
        Optimizer(learning_rate=last_rate),
        Schedule("cosine"),
        binary_augmentation or augmentation,
    )
    return ChainSettings(
        {"activation_binarizer": "approx_sign", **network},
        real_weights,
        binary_weights,
        Losses(attention=1.0, logit_matching=1.0, temperature=temperature),
        Losses(logit_matching=1.0, temperature=temperature),
    )
