"""A small valid chain, which tests change in one place each."""

from r2b_keras.data.config import Augmentation, DataConfig
from r2b_keras.networks import Network
from r2b_keras.recipes import Expected, Losses, Recipe, Schedule, Stage

DATA = DataConfig("digits", (8, 8, 1), (0.3,), (0.35,), validation_size=100)

SMALL = {"width": 8, "blocks": (1, 1), "stem": "cifar"}


def network(binarization: str = "binary_activations", **options) -> Network:
    options = SMALL | options
    name = "resnet18" if binarization == "real" else "real_to_binary18"
    return Network(name, binarization, **options)


def stage(binarization: str = "binary_activations", **fields) -> Stage:
    student = fields.pop("student", None) or network(binarization)
    return Stage(**{"student": student, "epochs": 10, "batch_size": 32} | fields)


def recipe(*stages: Stage, **fields) -> Recipe:
    return Recipe(**{"name": "r", "summary": "s", "data": DATA} | fields, stages=stages)


def chain() -> Recipe:
    """Four stages with a field of every kind in use."""
    taught = Losses(attention=1.0, logit_matching=1.0)
    return recipe(
        stage("real", augmentation=Augmentation(flip=True)),
        stage("soft", teacher=0, losses=taught, expected=Expected(0.5, "paper")),
        stage(teacher=1, losses=taught),
        stage(
            "binary",
            teacher=2,
            start_from=2,
            absorb_magnitude=True,
            losses=Losses(logit_matching=1.0),
            schedule=Schedule("step", drop_epochs=(5, 8), warmup_epochs=1),
        ),
    )
