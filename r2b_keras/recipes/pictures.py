"""One's own pictures: a folder with one folder of JPEG, PNG or WebP files a class.

    python -m r2b_keras.train --recipe=pictures --data_dir=DIR

DIR holds CLASS/*.jpg, of which a fifth becomes the test part, or train/CLASS/*.jpg and
test/CLASS/*.jpg, and perhaps val/CLASS/*.jpg to choose by. The size that the network
sees is 64x64; change it with `--override=data.image_shape=96,96,3`.

Hardware: a few thousand pictures train on a CPU. Hours and accuracy depend on the
pictures, so there is no table. The settings are those of `fashion_mnist` (which says
why), but for the crop and the colour jitter of Sec. 4.1's ImageNet, as photographs are
larger and less centred, and the jitter is off where weights are binary (Sec. 4.1).
"""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.networks import Network
from r2b_keras.recipes.schema import Losses, Optimizer, Recipe, Schedule, Stage


def _network(name: str, binarization: str) -> Network:
    # ours: half the paper's width; the stem's stride 2 gives 32x32 feature maps.
    return Network(
        name, binarization, width=32, stem="small", activation_binarizer="approx_sign"
    )


_REAL_WEIGHTS = Optimizer(learning_rate=2e-3, weight_decay=1e-5)
_COLOURFUL = Augmentation(random_resized_crop=True, flip=True, color_jitter=0.4)
_PLAIN = Augmentation(random_resized_crop=True, flip=True)

PICTURES = Recipe(
    name="pictures",
    summary="your own folder of class folders (--data_dir), four stages",
    data=DataConfig(
        source="folder",
        image_shape=(64, 64, 3),
        mean=(0.485, 0.456, 0.406),  # ours: ImageNet's, near those of any photographs
        std=(0.229, 0.224, 0.225),
        validation_size=0,  # ours: one's own sets are small; the test part reports
        framing="center",  # ours: as on ImageNet, in photographs' middle is the subject
    ),
    stages=(
        Stage(
            student=_network("resnet18", "real"),
            epochs=40,
            batch_size=32,
            optimizer=_REAL_WEIGHTS,
            schedule=Schedule("cosine", warmup_epochs=1),
            augmentation=_COLOURFUL,
        ),
        Stage(
            student=_network("real_to_binary18", "soft"),
            teacher=0,
            epochs=40,
            batch_size=32,
            optimizer=_REAL_WEIGHTS,
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0, temperature=4.0),
            augmentation=_COLOURFUL,
        ),
        Stage(
            student=_network("real_to_binary18", "binary_activations"),
            teacher=1,
            start_from=1,
            epochs=40,
            batch_size=32,
            optimizer=_REAL_WEIGHTS,
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0, temperature=4.0),
            augmentation=_COLOURFUL,
        ),
        Stage(
            student=_network("real_to_binary18", "binary"),
            teacher=2,
            start_from=2,
            absorb_magnitude=True,
            epochs=80,
            batch_size=32,
            optimizer=Optimizer(learning_rate=3e-3),
            schedule=Schedule("cosine"),
            losses=Losses(logit_matching=1.0, temperature=4.0),
            augmentation=_PLAIN,
        ),
    ),
)
RECIPES = (PICTURES,)
