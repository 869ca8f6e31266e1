"""How steps are executed: XLA, several at once, and on which devices."""

import numpy as np
import pytest
from small_distillers import student_network
from small_networks import classes, images

from r2b_keras import recipes
from r2b_keras.board import machine
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.models import build_network
from r2b_keras.networks import Network
from r2b_keras.recipes import Losses, Optimizer, Stage
from r2b_keras.trainers import PRECISIONS, Distiller, manifest
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.execution import Execution, device_names, facts, sentence
from r2b_keras.trainers.optimizers import OnePassAdam, make_optimizer
from r2b_keras.trainers.stage_distiller import make_distiller
from r2b_keras.trainers.strategies import make_workers
from r2b_keras.trainers.workdir import Workdir

SHAPE = (8, 8, 1)


@pytest.fixture
def distiller(set_policy):
    """Makes a stage's distiller in a precision."""

    def distiller(precision: str, **execution) -> tf.keras.Model:
        set_policy(PRECISIONS[precision])
        networks = [
            Network(name, kind, width=4, blocks=(1,), stem="small")
            for name, kind in (("real_to_binary18", "binary"), ("resnet18", "real"))
        ]
        losses = Losses(attention=1.0, logit_matching=1.0)
        stage = Stage(networks[0], epochs=1, batch_size=4, teacher=0, losses=losses)
        tf.keras.utils.set_random_seed(3)
        built = [build_network(network, SHAPE, 10) for network in networks]
        return make_distiller(stage, *built, 5, Execution(**execution))

    return distiller


@pytest.fixture
def two_gpus(monkeypatch):
    """TensorFlow sees two GPUs, as far as it is only asked."""

    def devices(kind=None):
        names = {"GPU": 2, "CPU": 1}
        found = [
            tf.config.LogicalDevice(f"/device:{name}:{number}", name)
            for name, count in names.items()
            for number in range(count)
        ]
        return [device for device in found if kind in (None, device.device_type)]

    details = {"device_name": "Some GPU", "compute_capability": (9, 0)}
    # Keras has its own name for the same module.
    for config in (tf.config, tf.compat.v2.config):
        for function in ("list_physical_devices", "list_logical_devices"):
            monkeypatch.setattr(config, function, devices)
        monkeypatch.setattr(
            config.experimental, "get_device_details", lambda device: details
        )


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("xla", [False, True])
def test_xla_is_what_is_asked_for_in_every_precision(
    distiller, two_gpus, precision, xla
):
    assert distiller(precision, xla=xla).jit_compile is xla


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_updates_are_not_compiled_one_by_one_where_there_is_a_gpu(two_gpus, name):
    student = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(2,))])
    assert not make_optimizer(Optimizer(name), 0.1, student).jit_compile
    assert not OnePassAdam().jit_compile
    assert tf.keras.optimizers.Adam().jit_compile, "Keras's own would be"


@pytest.mark.slow  # XLA takes seconds to compile a step
def test_xla_compiles_the_step(distiller):
    logs = []
    for xla in (False, True):
        model = distiller("float16", xla=xla)
        batch = images(4, shape=SHAPE), classes(4)
        logs.append(model.train_on_batch(*batch, return_dict=True))
    # The first step's losses; sums in float16, which has 11 bits, are in another order.
    assert logs[0].keys() == logs[1].keys() >= {"attention", "logit_matching"}
    for name, value in logs[0].items():
        assert logs[1][name] == pytest.approx(value, rel=0.02), name


def test_steps_at_once_are_the_steps_one_by_one():
    """Also in the last execution of an epoch, which here has two of five."""
    found = []
    for each in (1, 3):
        model = Distiller(student_network())
        model.compile(steps_per_execution=each)
        pairs = images(20), classes(20)
        data = tf.data.Dataset.from_tensor_slices(pairs).batch(4).repeat(2)
        fitted = model.fit(data, epochs=2, steps_per_epoch=5, verbose=0)
        found.append((fitted.history, model.student.get_weights()))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_steps_at_once():
    with pytest.raises(InputError, match="steps_per_execution is 0, expected a whole"):
        Execution(steps_per_execution=0)


CPU = f"CPU:0 ({machine.cpu_name()}, {machine.num_cores()} cores)"


def test_devices_are_told():
    workers = make_workers("none")
    assert sentence(workers) == f"1 replica on {CPU}"
    assert facts("none", workers, Execution(xla=True, steps_per_execution=7)) == {
        "strategy": "none",
        "devices": [CPU],
        "replicas": 1,
        "workers": 1,
        "xla": True,
        "steps_per_execution": 7,
    }


def test_of_several_gpus_one_is_used(two_gpus):
    assert device_names(make_workers("none")) == ["GPU:0 (Some GPU)"]


def test_mirroring_without_gpus_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(
        tf.config, "list_logical_devices", lambda kind: [kind] * (kind == "CPU")
    )
    workdir = Workdir(tmp_path / "run")
    with pytest.raises(InputError, match="TensorFlow sees none: install .* train on"):
        train_chain(
            recipes.get("digits"), 0, workdir, strategy="mirrored", deterministic=False
        )
    assert not workdir.path.exists()


def test_a_stage_says_what_it_trains_and_sends_bytes(tmp_path, monkeypatch, capsys):
    class FittedError(Exception):
        pass

    def fit(self, images, validation_data, **options):
        raise FittedError(images.element_spec[0], validation_data.element_spec[0])

    monkeypatch.setattr(Distiller, "fit", fit)
    recipe = recipes.apply_overrides(
        recipes.get("digits"),
        ["stages.0.augmentation.rotation_degrees=0", "stages.0.student.width=4"],
    )
    with pytest.raises(FittedError) as fitted:
        train_chain(recipe, 0, Workdir(tmp_path / "run"), deterministic=False)
    for spec in fitted.value.args:
        assert spec.dtype == "uint8" and spec.shape[1:] == SHAPE
    assert capsys.readouterr().out == (
        "stage 0: resnet18, binary: nothing; 10 epochs of 20 steps of 64 images; 1294 "
        f"images to train on, 144 held out, 359 to test on; 1 replica on {CPU}\n"
    )
    (run,) = manifest.runs_of(tmp_path / "run" / "manifest.json")
    assert run["execution"] == facts("none", make_workers("none"), Execution())
