"""Student, optimizer and progress: saved and restored to the bit, or not at all."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from small_networks import (
    assert_all_equal,
    classes,
    images,
    one_hot,
    plain,
    randomize,
    values,
)

from r2b_keras import recipes
from r2b_keras.environment import tf
from r2b_keras.errors import InputError
from r2b_keras.trainers import Distiller, checkpoints, stage
from r2b_keras.trainers.checkpoints import Progress
from r2b_keras.trainers.workdir import Workdir

OPTIMIZERS = {
    "adam": lambda: tf.keras.optimizers.Adam(0.01),
    "sgd": lambda: tf.keras.optimizers.SGD(0.01, momentum=0.9),
    "plain sgd": lambda: tf.keras.optimizers.SGD(0.01),
}


def normalised(seed):
    """A student with the moving means and variances of a BatchNorm."""
    before = plain()
    x = tf.keras.layers.BatchNormalization(name="norm")(before.output)
    return randomize(tf.keras.Model(before.inputs, x, name="student"), seed)


def distiller(seed, optimizer="adam", student=None):
    model = Distiller(student or normalised(seed))
    model.compile(OPTIMIZERS[optimizer](), run_eagerly=True)
    model.optimizer.build(model.student.trainable_variables)
    return model


def train(model, steps, seed=0):
    for step in range(steps):
        model.train_on_batch(images(4, seed + step), one_hot(classes(4, seed + step)))


def state(model):
    return values([*model.student.weights, *model.optimizer.variables])


class Noisy(tf.keras.layers.Layer):
    """A layer of the user's own with a random one in it."""

    def __init__(self):
        super().__init__(name="noisy")
        self.dropout = tf.keras.layers.Dropout(0.5, name="inner")

    def call(self, inputs):
        return self.dropout(inputs)


@pytest.mark.parametrize("is_random", [False, True])
def test_random_layers_are_told_on_resuming(tmp_path, capsys, is_random):
    """Their draws begin anew in a new process."""
    student = plain()
    if is_random:
        student = tf.keras.Model(student.inputs, Noisy()(student.output))
    workdir, model = Workdir(tmp_path), distiller(1, student=student)
    workdir.stage(3).mkdir()
    checkpoints.save(workdir.checkpoint(3), model, Progress(4))
    run = SimpleNamespace(workdir=workdir, recipe=recipes.get("digits"))
    assert stage._restore(run, 3, model).epochs == 4
    told = capsys.readouterr().out
    assert told.startswith("stage 3 resumes after epoch 4/20")
    assert ("random numbers (inner)" in told) == is_random


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_round_trip_to_the_bit(tmp_path, optimizer):
    path = tmp_path / "checkpoint.npz"
    trained, fresh = distiller(1, optimizer), distiller(2, optimizer)
    train(trained, 2)
    assert checkpoints.save(path, trained, Progress(3, 1.25)) is None
    assert checkpoints.restore(path, fresh) == Progress(3, 1.25)
    assert_all_equal(state(fresh), state(trained))
    assert int(fresh.optimizer.iterations) == 2
    # And they go on alike.
    train(trained, 1, seed=7)
    train(fresh, 1, seed=7)
    assert_all_equal(state(fresh), state(trained))


def test_round_trip_with_loss_scaling(tmp_path, set_policy):
    """float16's dynamic loss scale decides which steps are taken: it is state too."""
    path = tmp_path / "checkpoint.npz"
    set_policy("mixed_float16")
    trained, fresh = distiller(1), distiller(2)
    assert isinstance(trained.optimizer, tf.keras.mixed_precision.LossScaleOptimizer)
    train(trained, 2)
    # A gradient that overflows halves the scale and starts its counter anew.
    pairs = [(tf.zeros_like(v) / 0.0, v) for v in trained.student.trainable_weights]
    trained.optimizer.apply_gradients(pairs)
    train(trained, 1)
    assert float(trained.optimizer.loss_scale) == 2.0**14
    assert int(trained.optimizer.dynamic_counter) == 1
    checkpoints.save(path, trained, Progress(1, 2.0))
    checkpoints.restore(path, fresh)
    assert float(fresh.optimizer.loss_scale) == 2.0**14
    assert int(fresh.optimizer.dynamic_counter) == 1
    assert_all_equal(state(fresh), state(trained))
    train(trained, 1, seed=7)
    train(fresh, 1, seed=7)
    assert_all_equal(state(fresh), state(trained))


def test_teacher_is_not_saved(tmp_path):
    path = tmp_path / "checkpoint.npz"
    teacher = plain(name="teacher", channels=9)
    student = plain()
    model = Distiller(student, teacher, logit_weight=1.0)
    model.compile(OPTIMIZERS["adam"]())
    model.optimizer.build(student.trainable_variables)
    checkpoints.save(path, model, Progress())
    with np.load(path) as file:
        shapes = {name: file[name].shape for name in file.files}
    found = [shape for name, shape in shapes.items() if name.startswith("student/")]
    assert found == [tuple(weight.shape) for weight in student.weights]
    assert not any(9 in shape for shape in shapes.values())


def test_written_whole(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    model = distiller(1)
    checkpoints.save(path, model, Progress(1, 1.0))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(path, model, Progress(2, 2.0))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def array_file(path):
    np.save(path.with_suffix(".npy"), np.zeros(3))
    return path.with_suffix(".npy").read_bytes()


DAMAGE = {
    "empty": lambda whole, path: b"",
    "short": lambda whole, path: whole[:100],
    "half": lambda whole, path: whole[: len(whole) // 2],
    "last byte lost": lambda whole, path: whole[:-1],
    "random": lambda whole, path: np.random.default_rng(0).bytes(len(whole)),
    "middle overwritten": lambda whole, path: (
        whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 + 50 :]
    ),
    "text": lambda whole, path: b"not a checkpoint\n",
    "pickle": lambda whole, path: b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.",
    "one array": lambda whole, path: array_file(path),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_named_and_nothing_changes(tmp_path, damage):
    path = tmp_path / "checkpoint.npz"
    model = distiller(1)
    checkpoints.save(path, model, Progress(1, 1.0))
    path.write_bytes(DAMAGE[damage](path.read_bytes(), path))
    other = distiller(2)
    before = state(other)
    with pytest.raises(InputError, match=r"checkpoint\.npz is damaged"):
        checkpoints.epochs_done(path)
    with pytest.raises(InputError, match=r"checkpoint\.npz is damaged"):
        checkpoints.restore(path, other)
    assert_all_equal(state(other), before)


def test_flipped_bytes_are_found_or_do_not_matter(tmp_path):
    """Every kind of byte: zip's and NumPy's headers, names, values, the directory."""
    path = tmp_path / "checkpoint.npz"
    small = tf.keras.Sequential([tf.keras.layers.Input((5, 7, 2))])
    small.add(tf.keras.layers.Flatten())
    small.add(tf.keras.layers.Dense(2, use_bias=False, name="dense"))
    saved = distiller(1, "plain sgd", small)
    checkpoints.save(path, saved, Progress(1, 1.0))
    whole, expected = path.read_bytes(), state(saved)
    positions = np.random.default_rng(0).permutation(len(whole))[:240]
    num_refused = 0
    for position, flip in zip(
        positions, itertools.cycle((1, 8, 128, 255)), strict=False
    ):
        damaged = bytearray(whole)
        damaged[position] ^= flip
        path.write_bytes(damaged)
        try:
            assert checkpoints.restore(path, saved) == Progress(1, 1.0)
        except InputError:
            num_refused += 1
        assert_all_equal(state(saved), expected)
    assert num_refused > 60


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.npz"):
        checkpoints.restore(tmp_path / "absent.npz", distiller(1))
    assert checkpoints.epochs_done(tmp_path / "absent.npz") == 0


@pytest.mark.parametrize(
    ("other", "optimizer"),
    [
        # Another width, another layer, another optimizer's slots.
        (lambda: plain(channels=5), "adam"),
        (plain, "adam"),
        (lambda: normalised(1), "sgd"),
    ],
)
def test_checkpoint_of_another_network(tmp_path, other, optimizer):
    path = tmp_path / "checkpoint.npz"
    checkpoints.save(path, distiller(1, "adam"), Progress(1, 1.0))
    model = distiller(2, optimizer, other())
    before = state(model)
    with pytest.raises(InputError, match=r"checkpoint\.npz holds other variables"):
        checkpoints.restore(path, model)
    assert_all_equal(state(model), before)
