"""No changed file is accepted where its scores move, and no intact one is refused."""

import functools
import itertools

import larq_zoo_weights
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

from r2b_keras import models
from r2b_keras.board import pictures
from r2b_keras.converters import (
    convert,
    engines,
    score_comparison,
    tflite_file,
    verification,
    with_two_outputs,
)
from r2b_keras.environment import tf
from r2b_keras.models import larq_zoo
from tests.converters import mutations
from tests.converters.binary_networks import (
    batch_norm,
    binary_convolution,
    random_images,
    randomize,
)
from tests.networks import build_model

layers = tf.keras.layers
SHAPE = (8, 8, 3)
NORMALISATION = models.Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def relu_before_sign():
    """Signs of a ReLU are all +1, and every other value is exactly 0."""
    image = tf.keras.Input(SHAPE)
    x = layers.ReLU()(layers.Conv2D(16, 3, padding="same")(image))
    x = layers.Flatten()(binary_convolution(16)(x))
    return tf.keras.Model(image, layers.Dense(5)(x))


def relu_and_normalization():
    """Zeros of a ReLU, moved from the threshold."""
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.ReLU()(layers.Conv2D(16, 3, padding="same")(image)))
    x = batch_norm()(layers.ReLU()(binary_convolution(16)(x)))
    x = batch_norm()(binary_convolution(16)(layers.MaxPool2D(2)(x)))
    x = layers.GlobalAveragePooling2D()(x)
    return tf.keras.Model(image, layers.Dense(5, activation="softmax")(x))


def packed_between():
    """Without zero padding, one binary convolution gives the next one its bits."""
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.Conv2D(16, 3, padding="same")(image))
    x = batch_norm()(binary_convolution(40, padding="valid")(x))
    x = batch_norm()(binary_convolution(16, padding="valid")(x))
    x = layers.Concatenate()([x, x])
    return tf.keras.Model(image, layers.Dense(5)(layers.Flatten()(x)))


def half_blocks():
    """Gates, PReLU, learned factors and skips: ours."""
    options = {"width": 16, "blocks": (1,), "stem": "cifar"}
    return build_model("real_to_binary18", "binary", SHAPE, 5, **options)


def integer_half_blocks():
    """The same with two groups, their downsampling, stem and classifier in integers.

    Ranges are as small as some activations that are beyond them.
    """
    options = {"width": 16, "blocks": (1, 1), "stem": "cifar"}
    model = build_model(
        *("real_to_binary18", "binary", SHAPE, 5),
        NORMALISATION,
        **{**options, "real_layers": "integer"},
    )
    for layer in model.layers:
        if isinstance(layer, models.IntegerConv2D | models.IntegerDense):
            layer.maximum.assign(2.5)
    return model


NETWORKS = (relu_before_sign, relu_and_normalization, packed_between, half_blocks)


def random_pictures(number, seed=0):
    """Of whole pixels, in larger patches of one colour beside noise."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (number, *SHAPE), np.uint8)
    pixels[::2] = np.repeat(np.repeat(pixels[::2, ::4, ::4], 4, 1), 4, 2)
    return pictures.normalize(pixels, NORMALISATION)


@functools.cache
def converted(make, seed):
    tf.keras.utils.set_random_seed(seed)
    model = randomize(make(), seed)
    for layer in model.layers:
        bias = getattr(layer, "bias", None)
        if bias is not None:
            bias.assign(np.random.default_rng(seed).normal(0, 0.2, bias.shape))
    return model, convert(model)


def count_moved(model, flatbuffer, images, mutated_files, engine):
    """How many changed files have other scores, none of which may be accepted."""
    reference = verification.Reference(model, images)
    intact = reference.predict(engines.load(flatbuffer, engine), images)
    num_moved = 0
    for name, mutated in mutated_files:
        scores = reference.predict(engines.load(mutated, engine), images)
        found = reference.compare(mutated, engine, scores)
        moves = bool(score_comparison.differs(intact, scores).any())
        assert found.accepted == (not moves), (name, found.to_text())
        num_moved += moves
    return num_moved


@pytest.mark.parametrize(
    ("make", "least"),
    [(NETWORKS[0], 9), (NETWORKS[1], 25), (NETWORKS[2], 20), (NETWORKS[3], 40)],
)
def test_no_mutation_is_accepted(make, least):
    """Most of them move scores; zeros rolled do not, nor what leaves all signs +1."""
    model, flatbuffer = converted(make, 3)
    mutated = mutations.all_of(flatbuffer)
    images = random_images(SHAPE, 24)
    assert count_moved(model, flatbuffer, images, mutated, "lce_indirect") >= least


def test_no_mutation_of_integers_is_accepted():
    model, flatbuffer = converted(integer_half_blocks, 3)
    mutated = mutations.of_integer_layers(flatbuffer)
    images = random_pictures(12)
    assert count_moved(model, flatbuffer, images, mutated, "lce_indirect") >= 15


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lce_indirect", "r2b_runtime"])
def test_no_mutation_of_a_network_of_integer_layers_is_accepted(engine):
    model, flatbuffer = converted(integer_half_blocks, 3)
    mutated = [*mutations.all_of(flatbuffer), *mutations.of_integer_layers(flatbuffer)]
    images = random_pictures(24)
    assert count_moved(model, flatbuffer, images, mutated, engine) >= 60


def network_that_is_sure(num_outputs, activation):
    """Its logits are some tens apart, as those of a trained network."""
    tf.keras.utils.set_random_seed(3)
    image = tf.keras.Input(SHAPE)
    x = batch_norm()(layers.Conv2D(16, 3, padding="same")(image))
    for _ in range(2):
        x = batch_norm()(binary_convolution(16)(x))
    last = layers.Dense(num_outputs, activation=activation)
    model = tf.keras.Model(image, last(layers.GlobalAveragePooling2D()(x)))
    last.set_weights([40 * weights for weights in last.get_weights()])
    return with_two_outputs(randomize(model, 3))


@pytest.mark.parametrize("end", [(5, "softmax"), (1, "sigmoid")])
def test_no_wrong_filter_hides_behind_sure_answers(end):
    """Of images whose best class has all but 1e-6."""
    model = network_that_is_sure(*end)
    images = random_images(SHAPE, 400)
    images = images[model.predict_on_batch(images).max(axis=1) > 1 - 1e-6][:50]
    reference, flatbuffer = verification.Reference(model, images), convert(model)
    found = reference.compare(flatbuffer, "r2b_runtime")
    assert found.accepted and found.num_images == 50
    for number, seed in itertools.product(range(2), repeat=2):
        wrong = mutations.with_filter_bit(flatbuffer, number, seed, 16)
        assert not reference.compare(wrong, "r2b_runtime").accepted


# Of the tests above: what is converted already.
SEEDS = [3, *(pytest.param(k, marks=pytest.mark.slow) for k in range(20) if k != 3)]


@pytest.mark.parametrize("seed", SEEDS)
def test_intact_files_of_integer_layers_are_accepted(seed):
    """Among 200 images a few have an input that rounds to another whole number."""
    model, flatbuffer = converted(integer_half_blocks, seed)
    for engine in ("lce_indirect", "r2b_runtime"):
        found = verification.verify(
            model, flatbuffer, random_pictures(200, seed), engine
        )
        assert found.accepted, found.to_text()
        assert all(d.remaining < 1e-5 * found.largest_score for d in found.differences)


@pytest.mark.parametrize(
    ("make", "seed"),
    [
        *((make, 3) for make in NETWORKS),
        *(
            pytest.param(NETWORKS[k % len(NETWORKS)], k, marks=pytest.mark.slow)
            for k in range(20)
            if k != 3
        ),
    ],
)
def test_intact_files_are_accepted(make, seed):
    model, flatbuffer = converted(make, seed)
    images = random_images(SHAPE, 200, seed)
    for engine in engines.names_for(flatbuffer):
        found = verification.verify(model, flatbuffer, images, engine)
        assert found.accepted, found.to_text()


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
    """larq-zoo's shape at 224x224, random weights, and crops of two photographs."""
    fixture = larq_zoo_weights.read_fixture()
    weights = larq_zoo_weights.random_weights(fixture["shapes"], fixture["seed"])
    path = tmp_path_factory.mktemp("zoo") / "weights.h5"
    larq_zoo_weights.write_file(path, weights)
    model = larq_zoo.load_weights(path, (224, 224, 3))
    path.unlink()
    generator = np.random.default_rng(0)
    crops = []
    for number in range(40):
        photo = load_sample_images().images[number % 2]
        top, left = (generator.integers(size - 224) for size in photo.shape[:2])
        crops.append(photo[top : top + 224, left : left + 224])
    images = (np.stack(crops) / 255 - larq_zoo.MEAN) / larq_zoo.STD
    return model, convert(model), images.astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["lce_indirect", "r2b_runtime"])
def test_an_intact_file_of_large_maps_is_accepted(zoo, engine):
    """Of 2.4 million signs an image, some are next to their threshold."""
    found = verification.verify(*zoo, engine)
    assert found.accepted, found.to_text()
    assert 0 < found.num_different < 20
    assert all(d.remaining < 1e-5 * found.largest_score for d in found.differences)
    assert all(d.margin < 1e-5 for d in found.differences)


@pytest.mark.slow
def test_no_mutation_of_large_maps_is_accepted(zoo):
    """Every sixth constant, the classifier's among them, and every fourth filter."""
    model, flatbuffer, images = zoo
    constants = mutations.real_constants(flatbuffer)
    content = tflite_file.parse(flatbuffer)
    sizes = [
        len(tflite_file.constant(content, content.subgraphs[0].tensors[index]))
        for index in constants
    ]
    classifier = constants[int(np.argmax(sizes))]

    def mutated():
        for number, index in enumerate([classifier, *constants[::6]]):
            change = list(mutations.CHANGES)[number % 3]
            yield index, mutations.with_real_constant(flatbuffer, index, change)
        for number in range(0, 16, 4):
            yield f"filter {number}", mutations.with_filter_bit(flatbuffer, number, 0)

    moved = count_moved(model, flatbuffer, images[:6], mutated(), "r2b_runtime")
    assert moved >= 15
