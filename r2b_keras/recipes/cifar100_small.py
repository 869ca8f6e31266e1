"""CIFAR-100 in networks of a quarter of the paper's width, for two CPU cores.

    python -m r2b_keras.train --recipe=cifar100_small --data_dir=DIR

DIR is the folder of TensorFlow Datasets in which `cifar100` has been prepared once.

Hardware: one CPU core is enough. Time: two hours for the four stages on one core, a
third of it for stage 0; three quarters of an hour for the strong baseline. The students
of `cifar100_small/half_width` are twice as wide: two and a half hours in bfloat16.

The stages are those of Sec. 4.2, with mix-up, which the paper calls crucial. What
departs from `cifar100`, all of it ours (what docs/cifar100.md lists was chosen by the
images held out, the rest was not tried):

- students of width 16 and a first teacher of width 32 instead of 64, or all of them of
  width 32, and a stem of stride 2 instead of 1: a sixteenth of the arithmetic, or less;
- gates of reduction 2, or 4, instead of 8, whose hidden layers are as wide as the
  paper's;
- stages 0 and 1, where nothing is binary, by SGD with a stronger decay: by Adam they
  know the training images by heart, and teach less of others;
- stage 2 starts from stage 1's weights (the paper is silent);
- stage 3 matches the logits of stage 0 instead of stage 2;
- 90 or 80 epochs of students instead of 1,050, a cosine, and higher learning rates: in
  the last stage 1e-3, and 3e-3 in the baseline's, which is better with it;
- temperature 4 (the paper prints none), and no rotation;
- absorb_magnitude and approx_sign, in the chain and in its baseline.
"""

import dataclasses
from typing import Any

from r2b_keras.data.config import Augmentation
from r2b_keras.recipes import chains, cifar100, short
from r2b_keras.recipes.measured import expected, expected_of_stages
from r2b_keras.recipes.schema import Recipe, Stage
from r2b_keras.recipes.stage_parts import Optimizer

_DATA = dataclasses.replace(cifar100.RECIPES[0].data, validation_size=5000)
_TRAINING: dict[str, Any] = {
    "batch_size": 128,
    "augmentation": Augmentation(flip=True, pad_and_crop=4, mixup_alpha=0.2),
    "temperature": 4.0,
}
_SGD = Optimizer("sgd", learning_rate=0.1, weight_decay=5e-4)


def _network(width: int) -> dict[str, Any]:
    # The hidden layer of the first gates has eight units, as at the paper's width.
    return {"width": width, "reduction": width // 8, "stem": "small"}


def _chain(name: str, width: int, epochs: list[int]) -> tuple[Stage, ...]:
    """The four stages with students of a width and a teacher of 32.

    Args:
      name: of the recipe.
      width: channels of the students' first block.
      epochs: of each stage.
    """
    first, second, *binary = chains.real_to_binary(
        short.settings(_network(width), last_rate=1e-3, **_TRAINING),
        epochs,
        expected_of_stages(name, 4),
        stage_2_start=1,
        last_teacher=0,
    )
    teacher = dataclasses.replace(first.student, **_network(32))
    return (
        dataclasses.replace(first, student=teacher, optimizer=_SGD),
        dataclasses.replace(second, optimizer=_SGD),
        *binary,
    )


_QUARTER = _chain("cifar100_small", 16, [40, 20, 30, 40])

RECIPES = (
    Recipe(
        "cifar100_small",
        "CIFAR-100, four stages of a quarter of the width",
        _DATA,
        _QUARTER,
    ),
    Recipe(
        "cifar100_small/integers",
        "CIFAR-100, the four stages and one with real layers in integers",
        _DATA,
        chains.in_integers(
            _QUARTER, 10, 1e-4, expected("cifar100_small/integers", stage=4)
        ),
    ),
    # Equal in data, width and total epochs of students to the four stages above;
    # without their gates, as the paper's.
    Recipe(
        "cifar100_small/strong_baseline",
        "CIFAR-100, the strong baseline's two stages of a quarter of the width",
        _DATA,
        chains.strong_baseline(
            short.settings(_network(16), last_rate=3e-3, **_TRAINING),
            [45, 45],
            expected_of_stages("cifar100_small/strong_baseline", 2),
        ),
    ),
    Recipe(
        "cifar100_small/half_width",
        "CIFAR-100, four stages of half the width",
        _DATA,
        _chain("cifar100_small/half_width", 32, [40, 20, 25, 35]),
    ),
)
