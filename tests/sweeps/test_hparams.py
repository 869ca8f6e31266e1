"""TensorBoard's HParams: what is in the event files."""

import tensorflow as tf
from small_sweeps import RATE, TEMPERATURE, make_result, make_sweep
from tensorboard.plugins.hparams import api_pb2, metadata

from r2b_keras.sweeps import hparams


def read(folder):
    """HParams records by their tag, and scalars."""
    records, scalars = {}, {}
    (path,) = folder.glob("events.*")
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                content = value.metadata.plugin_data.content
                records[value.tag] = content
            else:
                scalars[value.tag] = float(tf.make_ndarray(value.tensor))
    return records, scalars


def test_experiment(tmp_path):
    sweep = make_sweep(tmp_path, tuner="hyperband")
    # A second run takes the place of the first.
    hparams.write_experiment(sweep)
    hparams.write_experiment(sweep)
    records, _ = read(tmp_path / "hparams" / "sweep")
    found = metadata.parse_experiment_plugin_data(records[metadata.EXPERIMENT_TAG])
    infos = {info.name: info for info in found.hparam_infos}
    assert list(infos) == ["optimizer.learning_rate", "losses.temperature", "epochs"]
    interval = infos["optimizer.learning_rate"].domain_interval
    assert (interval.min_value, interval.max_value) == (1e-3, 1e-1)
    choices = infos["losses.temperature"].domain_discrete
    assert list(choices) == ["1", "2", "8"]
    assert infos["epochs"].domain_interval.max_value == 20
    assert [info.name.tag for info in found.metric_infos] == [
        "validation_top1",
        "kibibytes",
        "seconds",
    ]


def test_finished_trial(tmp_path):
    sweep = make_sweep(tmp_path, tuner="hyperband")
    values = {RATE: 0.001235, TEMPERATURE: "8", "tuner/epochs": 7}
    hparams.write_trial(sweep, 3, values, make_result(0.9375))
    hparams.write_trial(sweep, 3, values, make_result(0.9375))
    records, scalars = read(tmp_path / "hparams" / "trial_003")
    start = metadata.parse_session_start_info_plugin_data(
        records[metadata.SESSION_START_INFO_TAG]
    )
    assert start.group_name == "trial_003"
    assert start.hparams["optimizer.learning_rate"].number_value == 0.001235
    assert start.hparams["losses.temperature"].string_value == "8"
    assert start.hparams["epochs"].number_value == 7
    assert scalars["validation_top1"] == 0.9375
    assert scalars["kibibytes"] == 10.0
    assert abs(scalars["seconds"] - 12.34) < 1e-6  # written with 32 bits
    end = metadata.parse_session_end_info_plugin_data(
        records[metadata.SESSION_END_INFO_TAG]
    )
    assert end.status == api_pb2.STATUS_SUCCESS


def test_failed_trial(tmp_path):
    values = {RATE: 0.001235, TEMPERATURE: "8"}
    hparams.write_trial(make_sweep(tmp_path), 0, values, None)
    records, scalars = read(tmp_path / "hparams" / "trial_000")
    end = metadata.parse_session_end_info_plugin_data(
        records[metadata.SESSION_END_INFO_TAG]
    )
    assert (end.status, scalars) == (api_pb2.STATUS_FAILURE, {})


def test_the_recipes_own_value_is_in_every_domain(tmp_path):
    content = {
        RATE: {"log": [0.01, 0.1]},
        "stage.losses.logit_matching": {"linear": [0.1, 0.5]},
        TEMPERATURE: {"choice": [2, 8]},
    }
    sweep = make_sweep(tmp_path, content=content)
    own = sweep.own_values()
    assert own[RATE] < 0.01 and own["stage.losses.logit_matching"] > 0.5
    hparams.write_experiment(sweep)
    records, _ = read(tmp_path / "hparams" / "sweep")
    found = metadata.parse_experiment_plugin_data(records[metadata.EXPERIMENT_TAG])
    rate, weight, temperature = found.hparam_infos
    ends = rate.domain_interval.min_value, rate.domain_interval.max_value
    assert ends == (own[RATE], 0.1)
    ends = weight.domain_interval.min_value, weight.domain_interval.max_value
    assert ends == (0.1, own["stage.losses.logit_matching"])
    assert list(temperature.domain_discrete) == ["1", "2", "8"]
