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
from r2b_keras.recipes import chains, short
from r2b_keras.recipes.measured import expected_of_stages
from r2b_keras.recipes.schema import Recipe

_DATA = DataConfig(
    source="digits",
    image_shape=(8, 8, 1),
    mean=(0.305,),
    std=(0.376,),
    validation_size=144,
)
_SETTINGS = short.settings(
    {"width": 16, "blocks": (2, 2, 2), "stem": "cifar"},
    batch_size=64,
    last_rate=5e-3,
    augmentation=Augmentation(pad_and_crop=1, rotation_degrees=10.0),
)

RECIPES = (
    Recipe(
        "digits",
        "handwritten digits of scikit-learn, four stages, no download",
        _DATA,
        chains.real_to_binary(
            _SETTINGS, [10, 10, 15, 20], expected_of_stages("digits", 4)
        ),
    ),
    # Equal in data, width and total epochs to the four stages above.
    Recipe(
        "digits/strong_baseline",
        "handwritten digits of scikit-learn, the strong baseline's two stages",
        _DATA,
        chains.strong_baseline(
            _SETTINGS,
            [27, 28],
            expected_of_stages("digits/strong_baseline", 2),
        ),
    ),
)
