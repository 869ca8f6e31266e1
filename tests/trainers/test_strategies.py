"""Replicas: two of half a batch are one of the whole batch."""

import json
import subprocess
import sys

import pytest

from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers.strategies import STRATEGIES, make_strategy

# Every loss part there is, so that each must be shared out among the replicas: the
# teacher's, L2 decay and the student's own regularisation.
PROGRAM = """
import json, sys
from r2b_keras.environment import tf
devices = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], devices
)
import numpy as np
from small_networks import classes, images, one_hot, plain, randomize
from r2b_keras.recipes import Optimizer
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.optimizers import decayed_variables, make_optimizer
from r2b_keras.trainers.strategies import make_strategy

def train(name):
    strategy = make_strategy(name)
    with strategy.scope():
        regularizer = tf.keras.regularizers.L2(0.05)
        student = randomize(plain(kernel_regularizer=regularizer), seed=0)
        teacher = randomize(plain(channels=6, name="teacher"), seed=1)
        model = Distiller(
            student, teacher, ["tap_1", "tap_2"], attention_weight=2.0,
            logit_weight=0.5, temperature=2.0, l2=0.1,
            l2_variables=decayed_variables(student),
        )
        model.compile(make_optimizer(Optimizer("sgd", momentum=0.9), 0.02, student))
    pictures, labels = images(128), one_hot(classes(128))
    weights = np.linspace(0.5, 1.5, 128, dtype=np.float32)
    data = tf.data.Dataset.from_tensor_slices((pictures, labels, weights)).batch(64)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    data = data.with_options(options)
    before = [w.numpy() for w in student.weights]
    # One step an epoch, so that every step's logs are seen.
    history = model.fit(data, epochs=2, steps_per_epoch=1, verbose=0).history
    logs = model.evaluate(data, verbose=0, return_dict=True)
    moved = [w.numpy() - old for w, old in zip(student.weights, before)]
    return {
        "replicas": strategy.num_replicas_in_sync,
        "history": history,
        "logs": logs,
        "moved": [m.ravel().tolist() for m in moved],
    }

print(json.dumps([train("none"), train("mirrored")]))
"""


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one(request):
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        cwd=request.path.parent,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    one, two = json.loads(result.stdout.splitlines()[-1])
    assert (one["replicas"], two["replicas"]) == (1, 2)
    # Sums of 64 terms in another order: some units in the last place of float32.
    assert set(one["history"]) == {
        "loss",
        "cross_entropy",
        "attention",
        "logit_matching",
        "l2",
        "accuracy",
    }
    for name, expected in one["history"].items():
        assert two["history"][name] == pytest.approx(expected, rel=1e-5), name
    for name, expected in one["logs"].items():
        assert two["logs"][name] == pytest.approx(expected, rel=1e-5), name
    for found, expected in zip(two["moved"], one["moved"], strict=True):
        largest = max(map(abs, expected))
        assert largest > 1e-4, "two steps were taken"
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-4 * largest)


def test_none_is_the_default_placement():
    assert make_strategy("none") is tf.distribute.get_strategy()
    assert make_strategy("none").num_replicas_in_sync == 1


def test_unknown_strategy():
    with pytest.raises(InputError, match=f"'two', expected one of {STRATEGIES[0]}, "):
        make_strategy("two")
