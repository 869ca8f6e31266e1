"""Networks trained with 16-bit floats, rebuilt to compute in float32."""

from types import SimpleNamespace

import binary_networks as nets
import numpy as np
import pytest
from small_flatbuffers import refusal

from r2b_keras import models
from r2b_keras.converters import (
    convert,
    engines,
    in_float32,
    sign_proof,
    verification,
)
from r2b_keras.environment import lq, tf
from tests.networks import build_model

layers = tf.keras.layers
POLICIES = ("mixed_bfloat16", "mixed_float16", "float16")
OPTIONS = {"width": 8, "blocks": (1, 1), "stem": "small"}


@pytest.fixture
def policy():
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy("float32")


def ours():
    return build_model("real_to_binary18", "binary", (8, 8, 1), 3, **OPTIONS)


def nested():
    """A model in a Sequential, a layer of integers and one wrapped in another."""
    image = tf.keras.Input((4, 6, 2))
    x = layers.TimeDistributed(layers.Conv1D(3, 3))(image)
    inner = tf.keras.Model(image, layers.BatchNormalization()(x))
    sign = lq.layers.QuantConv2D(4, 2, input_quantizer="ste_sign")
    ends = [layers.GlobalAveragePooling2D(), layers.Dense(3)]
    return tf.keras.Sequential([tf.keras.Input((4, 6, 2)), inner, sign, *ends])


def without_weights_in_16_bits():
    """What lies between layers of float32 rounds what these give."""
    image = tf.keras.Input((8, 8, 1))
    x = layers.Flatten()(layers.Conv2D(3, 3, dtype="float32")(image))
    x = layers.Dense(3, dtype="float32")(x)
    return tf.keras.Model(image, x)


@pytest.mark.parametrize("build", [ours, nested, without_weights_in_16_bits])
@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.filterwarnings("ignore:.*float16")
def test_the_network_that_float32_would_have_built(policy, build, name, tmp_path):
    """With the same weights: the same scores to the bit, also of a file."""
    policy(name)
    model = build()
    generator = np.random.default_rng(2)
    model.set_weights(
        # Positive, as a variance has to be.
        [generator.random(w.shape).astype(w.dtype) for w in model.get_weights()]
    )
    model.save(tmp_path / "model.keras")
    policy("float32")
    expected = build()
    expected.set_weights(model.get_weights())
    images = generator.normal(size=(5, *model.input_shape[1:])).astype(np.float32)
    scores = expected(images, training=False).numpy()
    assert np.abs(scores).max() > 0.1
    for found in (model, models.load(tmp_path / "model.keras")):
        rebuilt = in_float32(found)
        inner = [x for x in rebuilt.submodules if isinstance(x, layers.Layer)]
        assert {x.compute_dtype for x in inner if x.weights} == {"float32"}
        np.testing.assert_array_equal(rebuilt(images, training=False), scores)
    assert in_float32(expected) is expected


class Code(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(3)

    def call(self, inputs):
        return self.dense(self.flat(inputs))


@pytest.mark.filterwarnings("ignore:.*float16")
def test_code_has_to_be_built_anew(policy):
    policy("mixed_bfloat16")
    model = Code()
    model(tf.zeros((1, 4, 6, 2)))
    message = refusal(convert, in_float32(model))
    assert "build it with the policy float32" in message and "in_float32" not in message


@pytest.mark.filterwarnings("ignore:.*float16")
def test_a_layer_that_models_share_is_told(policy):
    """Of its configuration Keras makes two."""
    policy("mixed_bfloat16")
    image = tf.keras.Input((4, 4, 3))
    shared = layers.Conv2D(3, 1)
    inner = tf.keras.Model(image, shared(image), name="inner")
    outer = tf.keras.Sequential([inner, shared], name="outer")
    again = tf.keras.Input((4, 4, 3))
    x = layers.Flatten()(outer(inner(again)))
    model = tf.keras.Model(again, layers.Dense(2)(x), name="mine")
    message = refusal(in_float32, model)
    assert "'mine' computes in" in message and "build it with the policy" in message


def test_weights_of_64_bits_are_rounded(policy):
    policy("float64")
    model = ours()
    policy("float32")
    rebuilt = in_float32(model)
    assert {weight.dtype for weight in rebuilt.weights} == {tf.float32}
    images = np.random.default_rng(2).normal(size=(5, *model.input_shape[1:]))
    expected = model(images, training=False).numpy()
    np.testing.assert_allclose(rebuilt(images, training=False), expected, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*float16")
def test_convert_names_it(policy):
    policy("mixed_bfloat16")
    model = ours()
    policy("float32")
    message = refusal(convert, model)
    assert "computes in bfloat16" in message and "in_float32(model)" in message
    loaded = engines.load(convert(in_float32(model)))
    assert loaded.num_classes == 3


def test_networks_that_files_are_held_against_compute_with_all_bits():
    """A GPU's TF32 would differ from a right file by more than rounding."""
    config, seen = tf.config.experimental, []

    class Watching(tf.keras.layers.Layer):
        def call(self, inputs):
            tf.py_function(note, [], [])
            return inputs

    def note():
        seen.append(config.tensor_float_32_execution_enabled())

    image = tf.keras.Input((4, 4, 33))
    x = Watching()(nets.binary_convolution(3)(image))
    model = tf.keras.Model(image, tf.keras.layers.GlobalAveragePooling2D()(x))
    images = nets.random_images((4, 4, 33))
    config.enable_tensor_float_32_execution(True)
    try:
        reference = verification.Reference(model, images)
        assert seen == [False]
        network = sign_proof.SignedNetwork(model)
        seen.clear()
        network.run(images, SimpleNamespace(signs=lambda name, values: np.sign(values)))
        assert seen == [False] and config.tensor_float_32_execution_enabled()
        assert len(reference.scores) == len(images)
        model.predict_on_batch(images)
        assert seen[-1]
    finally:
        config.enable_tensor_float_32_execution(True)
