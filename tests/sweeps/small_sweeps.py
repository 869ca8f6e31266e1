"""Sweeps and trials made by hand."""

from types import SimpleNamespace

from r2b_keras import recipes
from r2b_keras.sweeps import space
from r2b_keras.sweeps.results import FAILED, FINISHED, TrialRow
from r2b_keras.sweeps.sweep import Settings, Sweep
from r2b_keras.trainers.workdir import StageResult

RATE, TEMPERATURE = "stage.optimizer.learning_rate", "stage.losses.temperature"
CONTENT = {RATE: {"log": [1e-3, 1e-1]}, TEMPERATURE: {"choice": [1, 2, 8]}}


def make_sweep(path="sweep", tuner="random", content=None, **changes) -> Sweep:
    recipe = recipes.get("digits")
    found = space.parse(content or CONTENT, "space.json", recipe, 3)
    values = {
        "recipe": recipe,
        "stage": 3,
        "tuner": tuner,
        "space": found,
        "seed": 0,
        "precision": "float32",
        "data_dir": None,
        "dataset": SimpleNamespace(fingerprint="abc", num_validation=144),
    }
    return Sweep(path, Settings(**{**values, **changes}))


def make_result(validation: float, test: float = 0.5) -> StageResult:
    return StageResult(
        stage=3,
        network="real_to_binary18",
        binarization="binary",
        top1=test,
        top5=1.0,
        validation_top1=validation,
        epochs=20,
        seconds=12.34,
        bytes=10 * 1024,
        parameters=1000,
        binary_parameters=900,
    )


def finished(number: int, validation: float, rate="0.01", temperature="1") -> TrialRow:
    values = {RATE: rate, TEMPERATURE: temperature}
    return TrialRow(number, FINISHED, values, make_result(validation, number / 10))


def failed(number: int, rate="0.1", temperature="8") -> TrialRow:
    values = {RATE: rate, TEMPERATURE: temperature}
    return TrialRow(number, FAILED, values, reason="The loss is nan, sadly")
