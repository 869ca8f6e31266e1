"""TensorBoard's view of hyper-parameters (HParams): one run a trial."""

import shutil
from typing import Any

from r2b_keras.environment import hparams, tf
from r2b_keras.sweeps.results import short_name
from r2b_keras.sweeps.space import Field, as_text
from r2b_keras.sweeps.sweep import EPOCHS, Sweep
from r2b_keras.trainers.workdir import StageResult

METRICS = {
    "validation_top1": "validation top-1",
    "kibibytes": "size (KiB)",
    "seconds": "training (s)",
}


def write_experiment(sweep: Sweep) -> None:
    """Says which fields vary in which ranges, and what is measured."""
    folder = sweep.hparams / "sweep"
    shutil.rmtree(folder, ignore_errors=True)
    own = sweep.own_values()
    parameters = [
        hparams.HParam(short_name(field.name), _domain(field, own[field.name]))
        for field in sweep.settings.space.fields
    ]
    if sweep.settings.tuner == "hyperband":
        longest = sweep.settings.recipe.stages[sweep.settings.stage].epochs
        parameters.append(hparams.HParam("epochs", hparams.IntInterval(1, longest)))
    metrics = [hparams.Metric(tag, display_name=name) for tag, name in METRICS.items()]
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams_config(parameters, metrics)


def _domain(field: Field, own: Any) -> Any:
    """Where a field varies, with the recipe's own value wherever that lies."""
    if field.kind == "choice":
        return hparams.Discrete(list(dict.fromkeys([*field.choices, own])))
    low, high = min(field.low, own), max(field.high, own)
    if field.kind == "int":
        return hparams.IntInterval(int(low), int(high))
    return hparams.RealInterval(low, high)


def write_trial(
    sweep: Sweep, number: int, values: dict[str, Any], result: StageResult | None
) -> None:
    """Writes a trial's values and what it gave; without a result it has failed."""
    folder = sweep.hparams / f"trial_{number:03d}"
    # Of a trial that was cut off before.
    shutil.rmtree(folder, ignore_errors=True)
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams(_parameters(sweep, values), trial_id=f"trial_{number:03d}")
        if result:
            metrics = {
                "validation_top1": result.validation_top1,
                "kibibytes": result.bytes / 1024,
                "seconds": result.seconds,
            }
            for tag, value in metrics.items():
                tf.summary.scalar(tag, value, step=0)
        tf.summary.experimental.write_raw_pb(_end(bool(result)), step=0)


def _end(success: bool) -> bytes:
    """The record that closes a run; the public interface has it for Keras alone."""
    from tensorboard.plugins.hparams import api_pb2, summary

    status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
    return summary.session_end_pb(status).SerializeToString()


def _parameters(sweep: Sweep, values: dict[str, Any]) -> dict[str, Any]:
    """Numbers with the digits that were trained with, choices as words."""
    found: dict[str, Any] = {}
    for field in sweep.settings.space.fields:
        value = values[field.name]
        exact = float(as_text(value)) if isinstance(value, float) else value
        found[short_name(field.name)] = exact
    if EPOCHS in values:
        found["epochs"] = int(values[EPOCHS])
    return found
