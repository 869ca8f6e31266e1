"""scikit-learn's handwritten digits: 1,797 real images of 8x8 pixels, in its wheel.

    python -m r2b_keras.train --recipe=digits --stage=3

Nothing is downloaded. Hardware: 2 CPU cores. Time: about 1.5 minutes for the four
stages on an otherwise idle machine.

What each stage reaches on the 359 test images, and over how many seeds, is in
`results/claims.csv`; `--dry_run` prints it, and training's table holds each stage
against it.

This set is for seeing the whole chain at work; it is too small and too easy to tell the
two methods apart. The stages are those of Sec. 4.2 in a network of three groups and a
quarter of the width. All numbers below are ours: the paper has no such small set.
"""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.networks import Network
from r2b_keras.recipes.measured import expected
from r2b_keras.recipes.schema import (
    Losses,
    Optimizer,
    Recipe,
    Schedule,
    Stage,
)


def _network(name: str, binarization: str) -> Network:
    return Network(
        name,
        binarization,
        width=16,
        blocks=(2, 2, 2),
        stem="cifar",
        activation_binarizer="approx_sign",
    )


_DATA = DataConfig(
    source="digits",
    image_shape=(8, 8, 1),
    mean=(0.305,),
    std=(0.376,),
    validation_size=144,
)
_AUGMENTATION = Augmentation(pad_and_crop=1, rotation_degrees=10.0)

REAL_TO_BINARY = Recipe(
    name="digits",
    summary="handwritten digits of scikit-learn, four stages, no download",
    data=_DATA,
    stages=(
        Stage(
            student=_network("resnet18", "real"),
            epochs=10,
            batch_size=64,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            augmentation=_AUGMENTATION,
            expected=expected("digits", 0),
        ),
        Stage(
            student=_network("real_to_binary18", "soft"),
            teacher=0,
            epochs=10,
            batch_size=64,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0),
            augmentation=_AUGMENTATION,
            expected=expected("digits", 1),
        ),
        Stage(
            student=_network("real_to_binary18", "binary_activations"),
            teacher=1,
            epochs=15,
            batch_size=64,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0),
            augmentation=_AUGMENTATION,
            expected=expected("digits", 2),
        ),
        Stage(
            student=_network("real_to_binary18", "binary"),
            teacher=2,
            start_from=2,
            absorb_magnitude=True,
            epochs=20,
            batch_size=64,
            optimizer=Optimizer(learning_rate=5e-3),
            schedule=Schedule("cosine"),
            losses=Losses(logit_matching=1.0),
            augmentation=_AUGMENTATION,
            expected=expected("digits", 3),
        ),
    ),
)
# Equal in data, width and total epochs to the four stages above.
STRONG_BASELINE = Recipe(
    name="digits/strong_baseline",
    summary="handwritten digits of scikit-learn, the strong baseline's two stages",
    data=_DATA,
    stages=(
        Stage(
            student=_network("strong_baseline18", "binary_activations"),
            epochs=27,
            batch_size=64,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            augmentation=_AUGMENTATION,
            expected=expected("digits/strong_baseline", 0),
        ),
        Stage(
            student=_network("strong_baseline18", "binary"),
            start_from=0,
            absorb_magnitude=True,
            epochs=28,
            batch_size=64,
            optimizer=Optimizer(learning_rate=5e-3),
            schedule=Schedule("cosine"),
            augmentation=_AUGMENTATION,
            expected=expected("digits/strong_baseline", 1),
        ),
    ),
)
RECIPES = (REAL_TO_BINARY, STRONG_BASELINE)
