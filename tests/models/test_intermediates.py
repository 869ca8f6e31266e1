"""Named intermediates: of our networks, and of ones that are not ours."""

import numpy as np
import pytest

from r2b_keras import models
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from tests.networks import build_model

layers = tf.keras.layers


def images(shape, num=3):
    return np.random.default_rng(0).normal(size=(num, *shape)).astype("float32")


def sequential():
    return tf.keras.Sequential(
        [
            layers.Input((6, 5, 2)),
            layers.Conv2D(4, 3, use_bias=False, name="features"),
            layers.Flatten(name="flat"),
            layers.Dense(3, name="classes"),
        ]
    )


def larq_model():
    """A small binary network of another make."""
    options = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
    options["kernel_constraint"] = "weight_clip"
    image = tf.keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = lq.layers.QuantConv2D(8, 3, padding="same", name="first", **options)(x)
    x = layers.BatchNormalization()(x)
    x = lq.layers.QuantConv2D(8, 3, strides=2, name="second", **options)(x)
    x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    return tf.keras.Model(image, x)


def test_our_networks_give_blocks_and_logits():
    model = build_model(
        "real_to_binary18", "binary", (8, 8, 3), 5, width=8, blocks=(1, 1), stem="cifar"
    )
    names = models.intermediate_names(model)
    tapped = models.with_intermediates(model, names)
    x = images((8, 8, 3))
    outputs = tapped(x)
    assert list(outputs) == ["block_1", "block_2", "logits"]
    np.testing.assert_array_equal(outputs["logits"], model(x))
    last = layers.GlobalAveragePooling2D()(outputs["block_2"])
    logits = model.get_layer("logits")(last)
    np.testing.assert_allclose(outputs["logits"], logits, rtol=1e-6)


def test_order_of_names_is_that_of_the_blocks():
    image = tf.keras.Input((2,))
    x = image
    for i in (1, 2, 10, 11, 3):
        x = layers.Dense(2, name=f"block_{i}")(x)
    x = layers.Dense(2, name="block_4_end")(x)
    names = models.intermediate_names(tf.keras.Model(image, x))
    assert names == ["block_1", "block_2", "block_3", "block_10", "block_11"]
    assert models.intermediate_names(sequential()) == []


def test_weights_are_shared():
    model = sequential()
    tapped = models.with_intermediates(model, ["features"])
    ids = [id(weight) for weight in tapped.weights]
    assert ids == [id(weight) for weight in model.weights]
    x = images((6, 5, 2))
    before = tapped(x)["features"].numpy()
    model.get_layer("features").set_weights([np.full((3, 3, 2, 4), 2.0)])
    after = tapped(x)["features"].numpy()
    assert not np.allclose(before, after)
    expected = 2 * x[:, :3, :3].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(after[:, 0, 0, 0], expected, atol=1e-4)


def test_a_sequential_model():
    model = sequential()
    x = images((6, 5, 2))
    outputs = models.with_intermediates(model, ["features", "flat"], output="out")(x)
    assert {name: value.shape for name, value in outputs.items()} == {
        "features": (3, 4, 3, 4),
        "flat": (3, 48),
        "out": (3, 3),
    }
    flat = np.reshape(outputs["features"], (3, 48))
    np.testing.assert_array_equal(outputs["flat"], flat)
    np.testing.assert_array_equal(outputs["out"], model(x))


def test_a_larq_model_that_is_not_ours():
    model = larq_model()
    outputs = models.with_intermediates(model, ["first", "second"])(images((6, 6, 1)))
    assert outputs["first"].shape == (3, 6, 6, 8)
    assert outputs["second"].shape == (3, 2, 2, 8)
    # Sums of 72 products of +-1 without padding, plus a bias of 0.
    assert set(np.unique(outputs["second"])) <= set(range(-72, 73, 2))
    np.testing.assert_array_equal(outputs["logits"], model(images((6, 6, 1))))


def test_a_layer_that_is_named_as_the_output_is():
    image = tf.keras.Input((2,))
    x = layers.Dense(2, name="logits")(image)
    model = tf.keras.Model(image, layers.Softmax(name="softmax")(x))
    with pytest.raises(InputError, match="Layer 'logits' of .* is not its output"):
        models.with_intermediates(model, ["logits"])
    found = models.with_intermediates(model, ["logits", "softmax"], "scores")(np.eye(2))
    np.testing.assert_array_equal(found["scores"], found["softmax"])
    np.testing.assert_allclose(tf.nn.softmax(found["logits"]), found["scores"], 1e-6)
    same = tf.keras.Model(image, x)
    found = models.with_intermediates(same, ["logits"])(np.eye(2))
    np.testing.assert_array_equal(found["logits"], same(np.eye(2)))


def test_unknown_names_are_listed_with_those_that_exist():
    with pytest.raises(InputError, match="'block_9', 'x'; its layers are .*features"):
        models.with_intermediates(sequential(), ["features", "block_9", "x"])


def test_models_without_a_graph_of_layers():
    class Subclassed(tf.keras.Model):
        def __init__(self):
            super().__init__(name="mine")
            self.dense = layers.Dense(2, name="dense")

        def call(self, inputs):
            return self.dense(inputs)

    subclassed = Subclassed()
    subclassed(np.zeros((1, 3)))
    unbuilt = tf.keras.Sequential([layers.Dense(2, name="dense")], name="mine")
    for model in (subclassed, unbuilt):
        with pytest.raises(InputError, match=r"'mine' has no graph of layers.*`Input`"):
            models.with_intermediates(model, ["dense"])


def test_a_model_of_two_outputs():
    image = tf.keras.Input((2,))
    x = layers.Dense(2, name="dense")(image)
    model = tf.keras.Model(image, [x, image])
    with pytest.raises(InputError, match="has 2 outputs, expected one"):
        models.with_intermediates(model, ["dense"])


def test_a_network_inside_of_another():
    """Its own graph is another one, and so is the tensor that it gives there."""
    inner = sequential()
    x = inputs = tf.keras.Input((6, 5, 2))
    x = layers.Rescaling(2.0)(x)
    x = inner(x)
    outer = tf.keras.Model(inputs, layers.Dense(2)(x))
    found = models.with_intermediates(outer, [inner.name])(images((6, 5, 2)))
    expected = inner(2 * images((6, 5, 2)))
    np.testing.assert_allclose(found[inner.name], expected, rtol=1e-6)
    # Layers of another network's, from its middle on.
    middle = tf.keras.Model(inner.layers[0].output, inner.get_layer("flat").output)
    maps = images((4, 3, 4))
    found = models.with_intermediates(middle, ["flat"])(maps)
    np.testing.assert_array_equal(found["flat"], maps.reshape(3, -1))


def test_a_layer_that_is_used_twice_is_none():
    image = tf.keras.Input((6, 6, 4))
    twice = layers.Conv2D(4, 3, padding="same", name="twice")
    model = tf.keras.Model(image, layers.Flatten()(twice(twice(image))))
    with pytest.raises(
        InputError, match="Layer 'twice' of .* gives 2 tensors in it, ex"
    ):
        models.with_intermediates(model, ["twice"])
    # Once in this network, and once more in another.
    once = tf.keras.Model(image, twice(image))
    assert models.with_intermediates(once, ["twice"]).output["twice"].shape[1:] == (
        *(6, 6, 4),
    )
