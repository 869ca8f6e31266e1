"""Fashion-MNIST, 60,000 + 10,000 images of 28x28 pixels."""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.models.config import Network
from r2b_keras.recipes.schema import Losses, Optimizer, Recipe, Schedule, Stage


def _network(name: str, precision: str) -> Network:
    return Network(
        name, precision, width=16, stem="small", activation_binarizer="approx_sign"
    )


_DATA = DataConfig(
    source="fashion_mnist",
    image_shape=(28, 28, 1),
    mean=(0.286,),
    std=(0.353,),
    validation_size=5000,
)
_AUGMENTATION = Augmentation(flip=True, pad_and_crop=2)

REAL_TO_BINARY = Recipe(
    name="fashion_mnist",
    summary="Fashion-MNIST, four stages",
    data=_DATA,
    stages=(
        Stage(
            student=_network("resnet18", "real"),
            epochs=10,
            batch_size=128,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            augmentation=_AUGMENTATION,
        ),
        Stage(
            student=_network("real_to_binary18", "soft"),
            teacher=0,
            epochs=10,
            batch_size=128,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0, temperature=4.0),
            augmentation=_AUGMENTATION,
        ),
        Stage(
            student=_network("real_to_binary18", "binary_activations"),
            teacher=1,
            start_from=1,
            epochs=10,
            batch_size=128,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            losses=Losses(attention=1.0, logit_matching=1.0, temperature=4.0),
            augmentation=_AUGMENTATION,
        ),
        Stage(
            student=_network("real_to_binary18", "binary"),
            teacher=2,
            start_from=2,
            absorb_magnitude=True,
            epochs=20,
            batch_size=128,
            optimizer=Optimizer(learning_rate=3e-3),
            schedule=Schedule("cosine"),
            losses=Losses(logit_matching=1.0, temperature=4.0),
            augmentation=_AUGMENTATION,
        ),
    ),
)
STRONG_BASELINE = Recipe(
    name="fashion_mnist/strong_baseline",
    summary="Fashion-MNIST, the strong baseline's two stages",
    data=_DATA,
    stages=(
        Stage(
            student=_network("strong_baseline18", "binary_activations"),
            epochs=25,
            batch_size=128,
            optimizer=Optimizer(learning_rate=2e-3, weight_decay=1e-5),
            schedule=Schedule("cosine", warmup_epochs=1),
            augmentation=_AUGMENTATION,
        ),
        Stage(
            student=_network("strong_baseline18", "binary"),
            start_from=0,
            absorb_magnitude=True,
            epochs=25,
            batch_size=128,
            optimizer=Optimizer(learning_rate=3e-3),
            schedule=Schedule("cosine"),
            augmentation=_AUGMENTATION,
        ),
    ),
)
RECIPES = (REAL_TO_BINARY, STRONG_BASELINE)
