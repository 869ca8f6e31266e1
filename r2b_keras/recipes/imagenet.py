"""ImageNet (ILSVRC 2012), the paper's main experiment (Sec. 4.1, Sec. 4.2).

    python -m r2b_keras.train --recipe=imagenet --stage=3 --data_dir=DIR

DIR is the folder of TensorFlow Datasets in which `imagenet2012` has been prepared once,
from the archives that image-net.org gives out after registration.

Hardware: one GPU or more (`--strategy=mirrored`, `--precision=bfloat16`); the batch of
256 is over all of them. Hours: not run here. The four stages of 75 epochs are 381
million images; docs/scale.md estimates their hours on 1, 8 and 64 GPUs, and says from
what. The progress bar shows the speed of your machine.

Top-1 on the 50,000 validation images, which are the test part here. Nothing in this
table is measured here:

    stage  student                     top-1   source
    0      real ResNet-18              69.3 %  paper
    1      tanh, real weights          71.2 %  larq-zoo, with settings of its own
    2      binary activations          67.1 %  larq-zoo, with settings of its own
    3      binary                      65.4 %  paper
    imagenet/strong_baseline
    0      binary activations               -  not printed
    1      binary                      60.9 %  paper

Where the paper is silent, the comments say what was chosen, and why. It trains on all
images; 10,000 are held out here to choose by (`--override=data.validation_size=0`
trains on all of them).
"""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.recipes import chains, paper
from r2b_keras.recipes.schema import Recipe
from r2b_keras.recipes.stage_parts import Expected

_DATA = DataConfig(
    source="tfds:imagenet2012",
    image_shape=(224, 224, 3),  # the size that the paper's operation count is for
    mean=(0.485, 0.456, 0.406),  # ours: the usual ones of this set
    std=(0.229, 0.224, 0.225),
    validation_size=10_000,  # ours: 0.8 %, to choose by; the paper holds out nothing
    framing="center",  # ours: the usual evaluation, 224 of 256 pixels
)
_SETTINGS = paper.settings(
    stem="imagenet",  # Sec. 4.1: 7x7, stride 2, max pool
    batch_size=256,  # Sec. 4.1
    drop_epochs=(40, 60, 70),  # Sec. 4.1
    # Sec. 4.1: crop, flip and colour jitter; no mix-up, it hurts. The jitter's strength
    # is ours (not printed; 0.4 is usual for ResNets).
    augmentation=Augmentation(random_resized_crop=True, flip=True, color_jitter=0.4),
    # Sec. 4.1: no jitter once the weights are binary.
    binary_augmentation=Augmentation(random_resized_crop=True, flip=True),
)
# Sec. 4.1. Each stage runs all of them (ours: the paper does not say that any is
# shorter).
_EPOCHS = 75
_LARQ_ZOO = "larq-zoo, other settings"

RECIPES = (
    Recipe(
        "imagenet",
        "ImageNet, the paper's four stages",
        _DATA,
        chains.real_to_binary(
            _SETTINGS,
            [_EPOCHS] * 4,
            [
                Expected(0.693, "paper"),
                Expected(0.7121, _LARQ_ZOO),
                Expected(0.6712, _LARQ_ZOO),
                Expected(0.654, "paper"),
            ],
        ),
    ),
    Recipe(
        "imagenet/strong_baseline",
        "ImageNet, the strong baseline's two stages",
        _DATA,
        chains.strong_baseline(
            _SETTINGS, [_EPOCHS] * 2, [None, Expected(0.609, "paper")]
        ),
    ),
)
