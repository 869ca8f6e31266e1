"""The recipes for one's own pictures, by number: no table would notice a slip."""

from r2b_keras import recipes
from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.recipes import Losses, Optimizer, Schedule

CROP = Augmentation(random_resized_crop=True, flip=True)
JITTER = Augmentation(random_resized_crop=True, flip=True, color_jitter=0.4)
NONE, LOGITS, BOTH = (
    Losses(1.0, attention, "norm", logits, temperature)
    for attention, logits, temperature in (
        (0.0, 0.0, 1.0),
        (0.0, 1.0, 4.0),
        (1.0, 1.0, 4.0),
    )
)
LAST = (Optimizer(learning_rate=3e-3), Schedule("cosine"), CROP)
EARLIER = (
    Optimizer(learning_rate=2e-3, weight_decay=1e-5),
    Schedule("cosine", warmup_epochs=1),
    JITTER,
)


def test_four_stages_for_photographs():
    recipe = recipes.get("pictures")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    assert recipe.data == DataConfig("folder", (64, 64, 3), mean, std, 0, "center")
    found = [(s.epochs, s.teacher, s.start_from, s.losses) for s in recipe.stages]
    assert found == [
        (40, None, None, NONE),
        (40, 0, None, BOTH),
        (40, 1, 1, BOTH),
        (80, 2, 2, LOGITS),
    ]
    for stage in recipe.stages:
        training = LAST if stage is recipe.stages[3] else EARLIER
        assert (stage.optimizer, stage.schedule, stage.augmentation) == training
        network = stage.student
        assert (network.width, network.stem, stage.batch_size) == (32, "small", 32)
        assert network.activation_binarizer == "approx_sign"
        assert stage.expected is None


def test_fine_tuning_of_a_network_that_knows_other_pictures():
    recipe, known = recipes.get("pictures/fine_tuning"), recipes.get("cifar100_small")
    assert recipe.data == DataConfig(
        "folder", (32, 32, 3), known.data.mean, known.data.std, 0, "center"
    )
    (stage,) = recipe.stages
    assert stage.student == known.stages[-1].student
    assert (stage.epochs, stage.batch_size, stage.teacher) == (40, 32, None)
    assert stage.losses == NONE and not stage.absorb_magnitude
    assert stage.optimizer == Optimizer(learning_rate=5e-4, groups=("logits/*:4",))
    assert stage.schedule == Schedule("cosine")
    assert stage.augmentation == Augmentation(flip=True, pad_and_crop=4)
