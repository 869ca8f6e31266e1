"""Two classes with one output: from a Keras file to names of pictures."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from r2b_keras.board import classification
from r2b_keras.board.card import ModelCard
from r2b_keras.converters import card, engines, flatbuffer, tflite_file, verification
from r2b_keras.converters.deployment import deploy
from r2b_keras.converters.one_output import require_one_right, with_two_outputs
from r2b_keras.converters.sources import Source
from r2b_keras.environment import lq, tf
from r2b_keras.errors import InputError
from tests.commands import run
from tests.converters.binary_networks import batch_norm, binary_convolution

layers = tf.keras.layers
SHAPE = (8, 8, 3)


def network(*last, name="mine"):
    """A binary network whose last layers are given."""
    tf.keras.utils.set_random_seed(5)
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.Conv2D(8, 3)(image))
    x = layers.GlobalAveragePooling2D()(binary_convolution(8)(x))
    for layer in last:
        x = layer(x)
    return tf.keras.Model(image, x, name=name)


def images_of(num):
    return np.random.default_rng(0).normal(size=(num, *SHAPE)).astype(np.float32)


def sigmoid(z):
    return 1 / (1 + np.exp(-z.astype(np.float64)))


def inner(*last):
    x = tf.keras.Input((8,))
    return tf.keras.Model(x, layers.Dense(1, *last)(x))


def both():
    """A logit, and the probability of it."""
    x = tf.keras.Input((8,))
    logit = layers.Dense(1)(x)
    return tf.keras.Model(x, [logit, layers.Activation("sigmoid")(logit)])


# Last layers, and what makes the probability of class 1 of their output.
PROBABILITIES = [
    [layers.Dense(1, activation="sigmoid")],
    [layers.Dense(1), layers.Activation("sigmoid")],
    [lq.layers.QuantDense(1, activation="sigmoid")],
    [inner("sigmoid")],
    # As networks in 16 bits end.
    [layers.Dense(1, activation="sigmoid"), layers.Activation("linear")],
    [both(), lambda pair: pair[1]],
]
LOGITS = [
    [layers.Dense(1)],
    [layers.Dense(1, activation="linear")],
    [layers.Dense(1), layers.Activation("linear", dtype="float32")],
    [inner()],
    [both(), lambda pair: pair[0]],
]


@pytest.mark.parametrize(
    ("last", "probability"),
    [*((last, np.asarray) for last in PROBABILITIES), *((x, sigmoid) for x in LOGITS)],
)
def test_two_scores_of_one(last, probability):
    """Class 1 has the probability that the network gives it, in `predict` too."""
    model = network(*last)
    images = images_of(50)
    expected = probability(model.predict_on_batch(images))[:, 0]
    assert 0 < np.mean(expected > 0.5) < 1
    two = with_two_outputs(model)
    scores = two.predict_on_batch(images)
    assert scores.shape == (50, 2) and two.name == "mine"
    np.testing.assert_array_equal(scores.argmax(axis=1), expected > 0.5)
    for row, share in zip(scores, expected, strict=True):
        shares = classification.probabilities(row)
        np.testing.assert_allclose(shares, [1 - share, share], atol=1e-6)
    again = type(two).from_config(two.get_config())
    again.set_weights(two.get_weights())
    np.testing.assert_array_equal(again.predict_on_batch(images), scores)
    content = accepted(two, images)
    assert tflite_file.count_operators(content)["LceBconv2d"] == 1


def accepted(model, images):
    """The flatbuffer, verified in every engine, in batches too."""
    content = flatbuffer.convert(model)
    reference = verification.Reference(model, images)
    for engine in engines.names_for(content):
        found = reference.compare(content, engine)
        assert found.accepted and found.agreement == 1
        batch = engines.load(content, engine, batch_size=3).predict(images)
        np.testing.assert_allclose(batch, reference.scores, atol=1e-5)
    return content


def test_networks_with_more_outputs_stay():
    model = network(layers.Dense(2))
    assert with_two_outputs(model) is model


def test_networks_of_several_outputs_are_not_judged_here():
    image = tf.keras.Input((4, 4, 1))
    x = layers.Flatten()(image)
    outputs = [layers.Dense(3, activation="sigmoid")(x) for _ in range(2)]
    model = tf.keras.Model(image, outputs)
    assert with_two_outputs(model) is model


@pytest.mark.parametrize(
    "last",
    [
        [layers.Dense(3, activation="sigmoid")],
        [layers.Dense(3), layers.Activation("sigmoid"), layers.Activation("linear")],
    ],
)
def test_several_sigmoids_are_refused(last):
    """Each says yes or no for itself: a softmax of them would be of nothing."""
    with pytest.raises(InputError, match="'mine' ends in 3 sigmoids, expected the sco"):
        with_two_outputs(network(*last))


def apart(x):
    ones = [layers.Dense(1, activation="sigmoid")(x) for _ in range(3)]
    return layers.Concatenate()(ones)


SIGMOIDS = {
    "apart": [apart],
    "function": [layers.Dense(3), tf.nn.sigmoid],
    "activation": [layers.Dense(3), tf.keras.activations.sigmoid],
    "layer": [layers.Dense(3, activation=layers.Activation("sigmoid"))],
    "shape": [layers.Dense(3, activation="sigmoid"), layers.Reshape((3,))],
    "dropout": [layers.Dense(3, activation="sigmoid"), layers.Dropout(0.1)],
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_sigmoids_are_told_by_their_scores(name):
    """Of whatever code they are made."""
    model = with_two_outputs(network(*SIGMOIDS[name]))
    scores = model.predict_on_batch(images_of(50))
    words = "'mine' gives 3 scores from 0 to 1 whose sum is not 1, as sigmoids do, exp"
    for found in (scores, scores[:1]):
        with pytest.raises(InputError, match=words):
            require_one_right("mine", found)


@pytest.mark.parametrize(
    "last",
    [
        [layers.Dense(3)],
        [layers.Dense(3, activation="softmax")],
        [layers.Dense(200, activation="softmax")],
        [layers.Dense(1, activation="sigmoid")],
        [layers.Dense(1)],
    ],
)
def test_scores_of_which_one_is_right_stay(last):
    model = with_two_outputs(network(*last))
    require_one_right("mine", model.predict_on_batch(images_of(50)))


def test_few_logits_may_be_small():
    """One outside in one image is enough."""
    scores = np.full((3, 4), 0.5)
    for other in (-0.01, 1.01):
        scores[1, 2] = other
        require_one_right("mine", scores)


def test_sigmoids_are_not_deployed():
    model = network(*SIGMOIDS["function"])
    described = ModelCard(("a", "b", "c"), SHAPE, (0.0,) * 3, (1.0,) * 3)
    with pytest.raises(InputError, match="as sigmoids do, expected the scores of cla"):
        deploy(Source(model, described, images_of(5)))


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ([layers.Dense(1, activation="tanh")], "made by tanh"),
        ([layers.Dense(1), layers.Lambda(tf.sigmoid)], "made by Lambda"),
        ([layers.Dense(1, activation="softmax")], "made by softmax"),
        ([layers.Dense(1), batch_norm()], "made by BatchNormalization"),
    ],
)
def test_one_output_of_another_kind_is_refused(last, words):
    with pytest.raises(InputError, match=f"'mine' has one output, {words}: expected"):
        with_two_outputs(network(*last))


def test_code_is_refused():
    class Code(tf.keras.Model):
        def __init__(self):
            super().__init__(name="code")
            self.inner = network(layers.Dense(1, activation="sigmoid"))

        def call(self, inputs):
            return self.inner(inputs)

    model = Code()
    model(tf.keras.Input(SHAPE))
    with pytest.raises(InputError, match="'code' has one output, made by code"):
        with_two_outputs(model)


class Inverted(tf.keras.Model):
    """A graph with code around it, which its layers do not tell."""

    def call(self, inputs):
        return super().call(1 - inputs)


def test_code_around_a_graph_is_refused():
    """The graph alone gives other scores; of several classes it is kept as it is."""
    image, plain = tf.keras.Input(SHAPE), network(layers.Dense(1))
    model = Inverted(plain.input, plain.output, name="mine")
    images = images_of(3)
    scores = [each.predict_on_batch(images) for each in (model, plain)]
    assert not np.allclose(*scores)
    for other in (model, tf.keras.Model(image, model(image), name="mine")):
        with pytest.raises(InputError, match="'mine' has one output, made by code"):
            with_two_outputs(other)
    three = network(layers.Dense(3))
    several = Inverted(three.input, three.output)
    assert with_two_outputs(several) is several


def test_sequences_are_graphs():
    model = tf.keras.Sequential(
        [layers.Flatten(input_shape=(4, 4, 1)), layers.Dense(1)]
    )
    assert with_two_outputs(model).output_shape == (None, 2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(4)
    for number in range(12):
        pixels = generator.integers(0, 256, SHAPE, np.uint8) // (1 + number % 4)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("activation", "probability"), [("sigmoid", np.asarray), (None, sigmoid)]
)
def test_from_a_keras_file_to_the_board(pictures, tmp_path, activation, probability):
    model = network(layers.Dense(1, activation=activation))
    model.save(tmp_path / "model.keras")
    (tmp_path / "labels.txt").write_text("cat\ndog\n")
    output = tmp_path / "model.tflite"
    code, printed, errors = run(
        "convert",
        *(f"--model={tmp_path / 'model.keras'}", f"--output={output}"),
        *("--mean=0.5,0.5,0.5", "--std=0.5,0.5,0.5", f"--verify_images={pictures}"),
        *(f"--labels={tmp_path / 'labels.txt'}", "--framing=whole"),
    )
    assert (code, errors) == (0, "") and printed.endswith("accepted\n")
    paths = sorted(map(str, pictures.iterdir()))
    own = card.read(output.read_bytes())
    assert own.class_names == ("cat", "dog")
    images = np.stack([np.asarray(Image.open(path)) for path in paths]) / 255
    images = ((images - 0.5) / 0.5).astype(np.float32)
    expected = probability(model.predict_on_batch(images))[:, 0]
    assert 0 < np.mean(expected > 0.5) < 1
    command = (sys.executable, "-m", "r2b_runtime", "classify", "--json", str(output))
    on_board = subprocess.run([*command, *paths], capture_output=True, text=True)
    asked = run("predict", f"--model={output}", "--json", *paths)
    found = [json.loads(result.stdout) for result in (on_board, asked)]
    for guesses in found:
        for path, share in zip(paths, expected, strict=True):
            shares = {guess["label"]: guess["probability"] for guess in guesses[path]}
            assert shares["dog"] == pytest.approx(share, abs=1e-5)
            assert shares["cat"] == pytest.approx(1 - share, abs=1e-5)
            assert guesses[path][0]["label"] == ("dog" if share > 0.5 else "cat")


def test_a_layer_of_the_name_that_is_given():
    image = tf.keras.Input((4, 4, 1))
    x = tf.keras.layers.Flatten()(image)
    model = tf.keras.Model(image, tf.keras.layers.Dense(1, name="two_classes")(x))
    assert with_two_outputs(model).output_shape == (None, 2)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_scores_are_in_float32_whatever_layers_are_built_in(policy):
    model = network(layers.Dense(1))
    expected = with_two_outputs(model)(images_of(3))
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        found = with_two_outputs(model)(images_of(3))
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert found.dtype == "float32"
    np.testing.assert_array_equal(found, expected)
