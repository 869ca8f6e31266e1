"""Fashion-MNIST, 60,000 + 10,000 images of 28x28 pixels (Xiao et al., 2017).

    python -m r2b_keras.train --recipe=fashion_mnist --stage=3

The images come from Debian's package `dataset-fashion-mnist`, from a folder with the
four IDX files (`--data_dir`), or from a prepared TensorFlow Datasets copy.

Hardware: one CPU core is enough. Time: three quarters of an hour for the four stages on
one core of a busy machine.

What each stage reached on the 10,000 test images is in `results/seeds.csv`, seed by
seed, for this recipe, `fashion_mnist/strong_baseline` and that without
absorb_magnitude. With so few seeds nothing is claimed of it.

The stages are those of Sec. 4.2, each the teacher of the next, in networks of a quarter
of the paper's width. Losses weigh 1 and the temperature is 1 (Sec. 4.2 prints neither).
The paper has no such set, so all other numbers are ours, and none was chosen by the
test images:

- width 16 and 16 epochs, so that a small machine trains several seeds;
- stage 2 starts from stage 1's weights (the paper is silent): in four epochs a new
  start would still be learning what stage 1 knows;
- a cosine instead of steps and a learning rate of 2e-3, because there are so few
  epochs; for the same reason 3e-3 instead of 2e-4 in stage 3;
- absorb_magnitude, in the chain and in its baseline; see docs/how_it_works.md;
- approx_sign, whose gradient is nearer to that of the sign than the clipped identity's.
"""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.recipes import chains, short
from r2b_keras.recipes.measured import expected, expected_of_stages
from r2b_keras.recipes.schema import Recipe

_DATA = DataConfig(
    source="fashion_mnist",
    image_shape=(28, 28, 1),
    mean=(0.286,),
    std=(0.353,),
    validation_size=5000,
)
_SETTINGS = short.settings(
    {"width": 16, "stem": "small"},
    batch_size=128,
    last_rate=3e-3,
    augmentation=Augmentation(flip=True, pad_and_crop=2),
)
_CHAIN = chains.real_to_binary(
    _SETTINGS,
    [4, 2, 4, 6],
    expected_of_stages("fashion_mnist", 4),
    stage_2_start=1,
)

RECIPES = (
    Recipe("fashion_mnist", "Fashion-MNIST, four stages", _DATA, _CHAIN),
    Recipe(
        "fashion_mnist/integers",
        "Fashion-MNIST, the four stages and one with real layers in integers",
        _DATA,
        chains.in_integers(
            _CHAIN, 3, 1e-4, expected("fashion_mnist/integers", stage=4)
        ),
    ),
    # Equal in data, width and total epochs to the four stages above.
    Recipe(
        "fashion_mnist/strong_baseline",
        "Fashion-MNIST, the strong baseline's two stages",
        _DATA,
        chains.strong_baseline(
            _SETTINGS,
            [8, 8],
            expected_of_stages("fashion_mnist/strong_baseline", 2),
        ),
    ),
)
