"""How many binary weights an epoch turns, against NumPy."""

import numpy as np
import pytest
from small_networks import classes, images, one_hot, plain, randomize, real_to_binary

from r2b_keras.environment import lq, tf
from r2b_keras.trainers import Distiller
from r2b_keras.trainers.callbacks import SaveEpoch
from r2b_keras.trainers.checkpoints import Progress
from r2b_keras.trainers.weight_flips import (
    NAME,
    WeightFlips,
    binary_kernels,
    share_flipped,
    signs,
)
from r2b_keras.trainers.workdir import Workdir


class Latent(tf.keras.callbacks.Callback):
    """Keeps the kernels as they are at both ends of every epoch."""

    def __init__(self):
        super().__init__()
        self.before, self.after = [], []

    def _kernels(self):
        layers = [
            layer
            for layer in self.model.student.layers
            if isinstance(layer, lq.layers.QuantConv2D)
        ]
        # Latent weights as the optimizer sees them, not through the layers' quantizers.
        return np.concatenate([layer.get_weights()[0].ravel() for layer in layers])

    def on_epoch_begin(self, epoch, logs=None):
        self.before.append(self._kernels())

    def on_epoch_end(self, epoch, logs=None):
        self.after.append(self._kernels())


def fit(student, *callbacks, epochs=3, rate=0.3):
    model = Distiller(student)
    model.compile(tf.keras.optimizers.Adam(rate), run_eagerly=True)
    batches = tf.data.Dataset.from_tensor_slices((images(8), one_hot(classes(8))))
    return model.fit(batches.batch(4), epochs=epochs, callbacks=callbacks, verbose=0)


def test_share_of_turned_signs_in_a_fit(tmp_path):
    workdir = Workdir(tmp_path)
    workdir.stage(3).mkdir()
    latent = Latent()
    save = SaveEpoch(workdir, 3, Progress())
    student = randomize(real_to_binary())
    history = fit(student, latent, WeightFlips(), save).history
    expected = [
        np.mean((old < 0) != (new < 0))
        for old, new in zip(latent.before, latent.after, strict=True)
    ]
    assert 0 < min(expected) < 1 and len(set(expected)) > 1
    assert history[NAME] == pytest.approx(expected, abs=1e-15)
    head, *rows = (tmp_path / "metrics.csv").read_text().splitlines()
    column = head.split(",").index(NAME)
    written = [float(row.split(",")[column]) for row in rows]
    assert written == pytest.approx(expected, rel=1e-5)


def test_zero_is_plus_one_as_in_larq():
    values = np.array([-1.0, -1e-30, -0.0, 0.0, 1e-30, 0.5], np.float32)
    (found,) = signs([tf.Variable(values)])
    binarized = lq.quantizers.SteSign()(values).numpy()
    np.testing.assert_array_equal(found, binarized > 0)
    np.testing.assert_array_equal(found, [False, False, True, True, True, True])


def test_signs_are_those_that_the_convolution_sees():
    """By a quantizer of one's own, which centres each filter."""

    class Centred(lq.quantizers.SteSign):
        def call(self, inputs):
            return super().call(inputs - tf.reduce_mean(inputs, [0, 1, 2]))

    layer = lq.layers.QuantConv2D(4, 3, kernel_quantizer=Centred())
    model = tf.keras.Sequential([tf.keras.Input((6, 6, 3)), layer])
    (first,) = signs(binary_kernels(model))
    kernel = layer.get_weights()[0]
    np.testing.assert_array_equal(first, kernel - kernel.mean((0, 1, 2)) >= 0)
    assert not np.array_equal(first, kernel >= 0)


def test_share_by_hand():
    before = [np.array([True, True, False]), np.array([[False], [True]])]
    after = [np.array([True, False, True]), np.array([[False], [False]])]
    assert share_flipped(before, after) == 3 / 5
    assert share_flipped(before, before) == 0


def test_only_kernels_behind_one_bit_quantizers_count():
    found = binary_kernels(real_to_binary())
    assert sum(kernel.shape.num_elements() for kernel in found) == (
        9 * (4 * 4 + 4 * 4 + 4 * 8 + 8 * 8)
    )
    for binarization in ("soft", "binary_activations"):
        assert binary_kernels(real_to_binary(binarization)) == []


def test_depthwise_and_pointwise_kernels_count_too():
    one_bit = {"depthwise_quantizer": "ste_sign", "pointwise_quantizer": "ste_sign"}
    one_bit |= {f"{k}_constraint": "weight_clip" for k in ("depthwise", "pointwise")}
    image = tf.keras.Input((5, 5, 2))
    x = lq.layers.QuantSeparableConv2D(3, 3, **one_bit)(image)
    x = lq.layers.QuantDense(2, kernel_quantizer="dorefa_quantizer")(x)
    found = binary_kernels(tf.keras.Model(image, x))
    assert sorted(kernel.shape.num_elements() for kernel in found) == [6, 18]


def test_a_student_without_binary_weights_has_no_such_number():
    history = fit(randomize(plain()), WeightFlips(), epochs=1, rate=0.01).history
    assert NAME not in history
