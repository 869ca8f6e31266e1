"""XLA: for float16 on GPUs alone, and that it can compile a stage's step."""

import numpy as np
import pytest

from r2b_keras.environment import tf
from r2b_keras.models.config import Network
from r2b_keras.models.registry import build_network
from r2b_keras.recipes import Losses, Stage
from r2b_keras.trainers.chain import PRECISION_POLICIES
from r2b_keras.trainers.stage import make_distiller

SHAPE = (8, 8, 1)


@pytest.fixture
def distiller(monkeypatch):
    """Makes a stage's distiller in a precision, with so many GPUs in the machine."""

    def distiller(precision: str, num_gpus: int) -> tf.keras.Model:
        def devices(kind=None):
            return ["gpu"] * num_gpus if kind == "GPU" else ["cpu"]

        tf.keras.mixed_precision.set_global_policy(PRECISION_POLICIES[precision])
        networks = [
            Network(name, kind, width=4, blocks=(1,), stem="small")
            for name, kind in (("real_to_binary18", "binary"), ("resnet18", "real"))
        ]
        losses = Losses(attention=1.0, logit_matching=1.0)
        stage = Stage(networks[0], epochs=1, batch_size=4, teacher=0, losses=losses)
        tf.keras.utils.set_random_seed(3)
        built = [build_network(network, SHAPE, 10) for network in networks]
        with monkeypatch.context() as patch:
            patch.setattr(tf.config, "list_physical_devices", devices)
            return make_distiller(stage, *built, steps_per_epoch=5)

    yield distiller
    tf.keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize(
    ("precision", "num_gpus", "compiled"),
    [
        ("float16", 1, True),
        ("float16", 4, True),
        ("float16", 0, False),
        ("bfloat16", 1, False),
        ("float32", 1, False),
        ("float32", 0, False),
    ],
)
def test_xla_is_for_float16_on_gpus(distiller, precision, num_gpus, compiled):
    assert distiller(precision, num_gpus).jit_compile is compiled


@pytest.mark.slow  # XLA takes seconds to compile a step
def test_xla_compiles_the_step(distiller):
    generator = np.random.default_rng(0)
    images = generator.normal(size=(4, *SHAPE)).astype(np.float32)
    labels = generator.integers(0, 10, 4)
    logs = []
    for num_gpus in (0, 1):
        model = distiller("float16", num_gpus)
        logs.append(model.train_on_batch(images, labels, return_dict=True))
    # The first step's losses; sums in float16, which has 11 bits, are in another order.
    assert logs[0].keys() == logs[1].keys() >= {"attention", "logit_matching"}
    for name, value in logs[0].items():
        assert logs[1][name] == pytest.approx(value, rel=0.02), name
