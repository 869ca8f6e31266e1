"""Workdirs whose stages are finished, without any training."""

from r2b_keras.trainers.workdir import StageResult, Workdir


def result(number=1, **changes):
    values = {
        "stage": number,
        "network": "real_to_binary18",
        "binarization": "soft",
        "top1": 0.875,
        "top5": 0.99,
        "validation_top1": None,
        "epochs": 3,
        "seconds": 12.5,
        "bytes": 1234,
        "parameters": 5678,
        "binary_parameters": 90,
    }
    return StageResult(**{**values, **changes})


def finished(path, *numbers, **changes):
    """A workdir with results of these stages, and something in place of the models."""
    workdir = Workdir(path)
    for number in numbers:
        workdir.stage(number).mkdir(parents=True, exist_ok=True)
        workdir.model(number).write_bytes(b"weights")
        workdir.save_result(result(number, **changes))
    return workdir
