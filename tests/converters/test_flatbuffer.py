"""Conversion of a briefly trained network: binary operations, and the same logits."""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.converters.binary_flow import binary_layers
from r2b_keras.converters.flatbuffer import convert
from r2b_keras.converters.tflite_file import count_operators
from r2b_keras.environment import tf
from r2b_keras.errors import InputError

layers = tf.keras.layers
SHAPE = (16, 16, 3)
BATCH = 3


def images(num, seed=0):
    return np.random.default_rng(seed).normal(size=(num, *SHAPE)).astype("float32")


@pytest.fixture(scope="module")
def trained():
    """A small binary network after a few steps, one gamma in four negative.

    Steps move BatchNorm's statistics off 0 and 1, and a negative gamma turns the
    comparison in the threshold of the sign after it.
    """
    tf.keras.utils.set_random_seed(11)
    model = models.build(
        "real_to_binary18", "binary", SHAPE, 5, width=8, blocks=(1, 1), stem="cifar"
    )
    model.compile(
        tf.keras.optimizers.Adam(0.01),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, labels = images(32), np.arange(32) % 5
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            signs = np.where(np.arange(layer.gamma.shape[0]) % 4 == 1, -1.0, 1.0)
            layer.gamma.assign(layer.gamma * signs)
    for _ in range(8):
        model.train_on_batch(x, labels)
    norm = model.get_layer("block_1a_batch_norm")
    assert norm.gamma.numpy().min() < 0
    assert np.abs(norm.moving_mean).min() > 0
    return model


def with_batch(model, batch_size):
    """The same network, the batch fixed: how a flatbuffer learns of it."""
    image = tf.keras.Input(model.input_shape[1:], batch_size=batch_size)
    return tf.keras.Model(image, model(image))


def run(flatbuffer, x):
    """Runs the whole batch at once in Larq Compute Engine's interpreter."""
    from larq_compute_engine import testing

    interpreter = testing.Interpreter(flatbuffer)
    assert interpreter.input_shapes == [x.shape]
    # `Interpreter.predict` would take the batch apart; what is under it does not.
    (outputs,) = interpreter.interpreter.predict([x])
    return outputs


def test_trained_network_in_a_batch(trained, capfd):
    """Each image of a batch has its own gate, in the flatbuffer as in Keras."""
    flatbuffer = convert(with_batch(trained, BATCH))
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    counts = count_operators(flatbuffer)
    assert counts["LceBconv2d"] == counts["LceQuantize"] == 4
    assert counts["LOGISTIC"] == 4  # the gates
    x = (
        images(BATCH, seed=1)
        * np.array([0.3, 1.0, 3.0], "float32")[:, None, None, None]
    )
    expected = trained(x, training=False).numpy()
    # Binary convolutions are exact; what differs is float32's rounding in BatchNorm
    # and the real-valued layers, folded by the converter: parts in 10^6. A sign turned
    # by it would show as a difference of some percent.
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(run(flatbuffer, x), expected, atol=atol)


def test_single_images_by_default(trained):
    flatbuffer = convert(trained)
    x = images(1, seed=2)
    expected = trained(x, training=False).numpy()
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(run(flatbuffer, x), expected, atol=atol)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated:UserWarning")
def test_a_batch_chosen_after_conversion():
    """The gate fixes no batch in the flatbuffer, as one of dense layers would.

    Of a real-valued network, which stock TensorFlow Lite runs and resizes.
    """
    tf.keras.utils.set_random_seed(11)
    options = {"width": 8, "blocks": (1,), "stem": "cifar"}
    model = models.build("real_to_binary18", "soft", SHAPE, 5, **options)
    interpreter = tf.lite.Interpreter(model_content=convert(model))
    interpreter.resize_tensor_input(0, (BATCH, *SHAPE))
    interpreter.allocate_tensors()
    x = images(BATCH, seed=1)
    interpreter.set_tensor(0, x)
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = model(x).numpy()
    np.testing.assert_allclose(outputs, expected, atol=1e-4 * np.abs(expected).max())


def test_binary_layers_are_named(trained):
    names = ["block_1a_conv", "block_1b_conv", "block_2a_conv", "block_2b_conv"]
    assert binary_layers(trained) == binary_layers(with_batch(trained, 2)) == names


def test_mixed_precision_is_refused():
    policy = tf.keras.mixed_precision.Policy("mixed_bfloat16")
    image = tf.keras.Input((2,))
    model = tf.keras.Model(image, layers.Dense(2, dtype=policy)(image))
    with pytest.raises(InputError, match="computes in bfloat16.*float32 only"):
        convert(model)


def test_counts_of_a_real_network():
    image = tf.keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 3, activation="relu")(image)
    x = layers.MaxPool2D(2)(x)
    counts = count_operators(convert(tf.keras.Model(image, x)))
    assert counts == {"CONV_2D": 1, "MAX_POOL_2D": 1}
