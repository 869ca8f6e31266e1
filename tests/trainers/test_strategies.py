"""Replicas: two of half a batch are one of the whole batch."""

import json
import pathlib
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import scipy.special

from r2b_keras import data, files, models, recipes
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import strategies
from r2b_keras.trainers.strategies import STRATEGIES, check_batch, make_workers

# Two devices where this machine has one.
DEVICES = """
import json, sys
from r2b_keras.environment import tf
devices = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], devices
)
"""


def printed(program, *arguments):
    """What a program prints that sees two devices."""
    result = subprocess.run(
        [sys.executable, "-c", DEVICES + program, *arguments],
        capture_output=True,
        text=True,
        cwd=pathlib.Path(__file__).parent,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


# Every loss part there is, so that each must be shared out among the replicas: the
# teacher's, L2 decay and the student's own regularisation. Once without clipping, which
# would hide gradients that are too large by one factor, and once with all that the
# optimizer can do.
PROGRAM = """
import numpy as np
from small_networks import classes, images, one_hot, plain, randomize
from r2b_keras.recipes import Optimizer
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.optimizers import decayed_variables, freeze, make_optimizer
from r2b_keras.trainers.strategies import make_workers

# One of each: two mirrored strategies in a process confuse their collective operations.
STRATEGIES = {name: make_workers(name).strategy for name in ("none", "mirrored")}
PLAIN = Optimizer("sgd", momentum=0.9)
WHOLE = Optimizer(
    "sgd", momentum=0.9, weight_decay=0.5, decay="decoupled",
    groups=("tap_1/*:0", "tap_1_prelu/*:0.5", "dense/*:3:0.5"), clip_norm=0.5,
)

def train(name, settings, average):
    strategy = STRATEGIES[name]
    with strategy.scope():
        regularizer = tf.keras.regularizers.L2(0.05)
        student = randomize(plain(kernel_regularizer=regularizer), seed=0)
        teacher = randomize(plain(channels=6, name="teacher"), seed=1)
        freeze(settings, student)
        model = Distiller(
            student, teacher, ["tap_1", "tap_2"], attention_weight=2.0,
            logit_weight=0.5, temperature=2.0, l2=0.1,
            l2_variables=decayed_variables(student),
        )
        model.compile(make_optimizer(settings, 0.02, student, average))
    pictures, labels = images(128), one_hot(classes(128))
    weights = np.linspace(0.5, 1.5, 128, dtype=np.float32)
    data = tf.data.Dataset.from_tensor_slices((pictures, labels, weights)).batch(64)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    data = data.with_options(options)
    before = [w.numpy() for w in student.weights]

    def moved():
        pairs = zip(student.weights, before)
        return [(w.numpy() - old).ravel().tolist() for w, old in pairs]

    # One step an epoch, so that every step's logs are seen.
    steps = []
    keep = tf.keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: steps.append(moved())
    )
    history = model.fit(
        data, epochs=2, steps_per_epoch=1, callbacks=[keep], verbose=0
    ).history
    # An average takes the place of the weights at the end.
    ended = moved()
    logs = model.evaluate(data, verbose=0, return_dict=True)
    return {
        "replicas": strategy.num_replicas_in_sync,
        "history": history,
        "logs": logs,
        "moved": steps[-1],
        "ended": ended,
    }

cases = (PLAIN, 0.0), (WHOLE, 0.9)
print(json.dumps([[train(name, *case) for name in STRATEGIES] for case in cases]))
"""


@pytest.mark.slow
def test_two_replicas_take_the_steps_of_one():
    plain, whole = json.loads(printed(PROGRAM).splitlines()[-1])
    for one, two in (plain, whole):
        assert_alike(one, two)
    assert all(map(moves, plain[0]["moved"]))
    frozen, others = whole[0]["moved"][:2], whole[0]["moved"][2:]
    assert not any(map(moves, frozen)) and all(map(moves, others))
    assert plain[0]["ended"] == plain[0]["moved"]
    assert whole[0]["ended"] != whole[0]["moved"], "it ends with an average"


def moves(steps):
    return max(map(abs, steps)) > 1e-4


def assert_alike(one, two):
    """Both runs gave the same numbers, up to roundings."""
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
    for kind in ("moved", "ended"):
        for found, expected in zip(two[kind], one[kind], strict=True):
            largest = max(map(abs, expected))
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-4 * largest)


# A network with BatchNorm synchronised, one step of SGD at rate 1: what a weight moves
# by is the gradient. Then an evaluation whose last batch leaves one replica without
# images.
SYNCHRONISED = """
from small_networks import classes, images, one_hot
from r2b_keras import models
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.strategies import make_workers

# One of each: two mirrored strategies in a process confuse their collective operations.
STRATEGIES = {name: make_workers(name).strategy for name in ("none", "mirrored")}

def gradients(name, synchronized):
    strategy = STRATEGIES[name]
    with strategy.scope():
        # Tanh: a sign would turn with the last bit.
        tf.keras.utils.set_random_seed(0)
        student = build(synchronized)
        model = Distiller(student)
        model.compile(tf.keras.optimizers.SGD(1.0))
    before = student.get_weights()
    data = tf.data.Dataset.from_tensor_slices((images(64), one_hot(classes(64))))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    model.fit(data.batch(64).with_options(options), verbose=0)
    moved = [new - old for new, old in zip(student.get_weights(), before)]
    odd = data.take(33).batch(32).with_options(options)
    logs = model.evaluate(odd, verbose=0, return_dict=True)
    return [m.ravel().tolist() for m in moved], logs

def build(synchronized):
    network = models.Network(
        "real_to_binary18", "soft", width=4, blocks=(1, 1), stem="cifar",
        synchronized_batch_norm=synchronized,
    )
    return models.build_network(network, (5, 7, 2), 3)

print(json.dumps([gradients(*case) for case in (
    ("none", True), ("mirrored", True), ("mirrored", False)
)]))
"""


@pytest.fixture(scope="module")
def gradients():
    """Gradients of one batch of 64, and of two of 32 with and without synchronising."""
    return json.loads(printed(SYNCHRONISED).splitlines()[-1])


def largest_difference(found, expected):
    """Over all weights, each relative to its tensor's largest gradient."""
    return max(
        np.abs(np.subtract(a, b)).max() / (np.abs(b).max() + 1e-12)
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.slow
def test_two_batches_of_32_give_the_gradients_of_one_of_64(gradients):
    (one, _), (synchronised, _), (separate, _) = gradients
    # Float32 sums in another order; most tensors agree to 1e-5, and the one whose own
    # gradient nearly vanishes (1e-3) to 1e-4.
    assert largest_difference(synchronised, one) < 5e-4
    assert largest_difference(separate, one) > 0.05, "the test can tell them apart"


@pytest.mark.slow
def test_a_replica_without_images_changes_no_mean(gradients):
    (_, one), (_, synchronised), _ = gradients
    assert set(one) == {"loss", "cross_entropy", "accuracy"}
    for name, value in one.items():
        assert synchronised[name] == pytest.approx(value, rel=1e-5), name


# The whole chain, one epoch a stage, as commands run it.
CHAIN = """
from r2b_keras import recipes
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir
recipe = recipes.apply_overrides(recipes.get("digits"), [
    "stages.*.epochs=1", "stages.*.student.width=4", "stages.*.student.blocks=1",
    "stages.*.batch_size=320", "stages.*.student.synchronized_batch_norm=true",
])
for name in ("none", "mirrored"):
    train_chain(recipe, 3, Workdir(f"{sys.argv[1]}/{name}"), strategy=name)
"""


@pytest.mark.slow
def test_a_chain_under_replicas_is_the_chain_without(tmp_path):
    printed(CHAIN, str(tmp_path))
    rows = {}
    for name in ("none", "mirrored"):
        rows[name] = files.read_csv(tmp_path / name / "metrics.csv")
        saved = models.load(tmp_path / name / "stage_3" / "model.keras")
        kinds = {type(layer).__name__ for layer in saved.layers}
        assert "BatchNormalization" in kinds and "SynchronizedBatchNorm" not in kinds
    assert [row["stage"] for row in rows["none"]] == ["0", "1", "2", "3"]
    for one, two in zip(rows["none"], rows["mirrored"], strict=True):
        assert one.keys() == two.keys()
        assert float(one["learning_rate"]) == float(two["learning_rate"])
        # Four steps: gradients agree to some 1e-4 (above), and a sign that turns with
        # the last bit moves a loss of about 2 by some thousandths.
        for name in ("loss", "val_loss"):
            assert float(two[name]) == pytest.approx(float(one[name]), rel=5e-3)


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    strategy = types.SimpleNamespace(num_replicas_in_sync=4)
    check_batch(64, strategy)
    with pytest.raises(
        InputError, match="batch_size is 63, expected a multiple of .*4"
    ):
        check_batch(63, strategy)


def test_none_is_the_default_placement():
    assert make_workers("none").strategy is tf.distribute.get_strategy()
    assert make_workers("none").strategy.num_replicas_in_sync == 1


def test_unknown_strategy():
    with pytest.raises(InputError, match=f"'two', expected one of {STRATEGIES[0]}, "):
        make_workers("two")


def test_waiting_for_workers_can_be_stopped(monkeypatch):
    """By the system's own handlers; the command's are there again afterwards."""
    seen = []

    def connect():
        seen.append(signal.getsignal(signal.SIGTERM))
        raise tf.errors.UnavailableError(None, None, "nobody there")

    def own(number, frame):
        """A handler of the command's."""

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", connect)
    before = signal.signal(signal.SIGTERM, own)
    try:
        with pytest.raises(InputError, match=r"cannot be connected \(nobody there\)"):
            strategies._multi_worker()
        assert seen == [signal.SIG_DFL] and signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)


def test_no_tpu_is_one_sentence(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(InputError, match="There is no TPU to be reached .*TPU_NAME"):
        make_workers("tpu")


# Two batches in one execution; the range of the inputs of a layer of integers.
INTEGERS = """
import numpy as np
from r2b_keras.models import IntegerDense
from r2b_keras.trainers.strategies import make_workers

with make_workers("mirrored").strategy.scope():
    inputs = tf.keras.Input((3,))
    model = tf.keras.Model(inputs, IntegerDense(2, momentum=0.75)(inputs))
    model.compile("sgd", "mse", steps_per_execution=2)
x = np.arange(24, dtype=np.float32).reshape(8, 3)
data = tf.data.Dataset.from_tensor_slices((x, x[:, :2])).batch(4)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = (
    tf.data.experimental.AutoShardPolicy.OFF
)
model.fit(data.with_options(options), verbose=0)
before = model.get_weights()
model.evaluate(data.with_options(options), verbose=0)
same = all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))
print(json.dumps([float(before[2]), same]))
"""


@pytest.mark.slow
def test_each_replica_has_a_range_and_saved_is_their_mean():
    """Of rows 0 and 1, then 4 and 5; and of the two rows after each."""
    maximum, same = json.loads(printed(INTEGERS).splitlines()[-1])
    one, other = 5 + 0.25 * (17 - 5), 11 + 0.25 * (23 - 11)
    assert maximum == pytest.approx((one + other) / 2, rel=1e-6)
    assert same


# Statistics of BatchNorm that differ by replica, before and after they are shared.
STATISTICS = """
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.replicas import ShareMeans
from r2b_keras.trainers.strategies import make_workers

strategy = make_workers("mirrored").strategy
with strategy.scope():
    inputs = tf.keras.Input((3,))
    outputs = tf.keras.layers.BatchNormalization(name="norm")(inputs)
    model = Distiller(tf.keras.Model(inputs, outputs))
    model.compile("sgd")
    model.optimizer.build(model.student.trainable_variables)
moving = model.student.get_layer("norm").moving_mean
parts = strategy.experimental_local_results(moving)
share, found = ShareMeans(), []
share.set_model(model)
for act in (share.on_test_begin, lambda: share.on_epoch_end(0)):
    for number, part in enumerate(parts):
        part.assign([number, 2.0 * number, 4.0])
    act()
    found += [part.numpy().tolist() for part in parts]
print(json.dumps(found))
"""


@pytest.mark.slow
def test_replicas_share_their_statistics():
    found = printed(STATISTICS).splitlines()[-1]
    assert json.loads(found) == [[0.5, 1.0, 4.0]] * 4


# Stages whose replicas measure for themselves: plain BatchNorm, integers' ranges.
APART = """
from r2b_keras import recipes
from r2b_keras.trainers.chain import train_chain
from r2b_keras.trainers.workdir import Workdir
recipe = recipes.apply_overrides(recipes.get("digits"), [
    "stages.*.epochs=1", "stages.*.student.width=4", "stages.*.student.blocks=1",
    "stages.*.student.real_layers=integer", "stages.*.batch_size=16",
])
train_chain(recipe, 0, Workdir(sys.argv[1]), strategy="mirrored")
"""


@pytest.mark.slow
def test_what_is_validated_is_what_is_saved(tmp_path):
    """The epoch to keep, and when to stop, are chosen by it."""
    printed(APART, str(tmp_path / "run"))
    (row,) = files.read_csv(tmp_path / "run" / "metrics.csv")
    saved = models.load(tmp_path / "run" / "stage_0" / "model.keras")
    ((images, labels),) = (
        data.load(recipes.get("digits").data).validation(144).as_numpy_iterator()
    )
    scores = scipy.special.log_softmax(saved(images, training=False), axis=-1)
    loss = -np.mean(np.sum(labels * scores, axis=-1))
    # Halves add up in another order. With its own statistics in each replica, it
    # is 4e-4 off.
    assert float(row["val_cross_entropy"]) == pytest.approx(loss, rel=2e-5)
