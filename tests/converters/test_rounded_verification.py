"""Files of rounded weights: what is told from the float32 file, and what is refused."""

import numpy as np
import pytest
from flatbuffers import flexbuffers
from small_flatbuffers import (
    DENSE_CARD,
    binary,
    changed,
    dense_of,
    dense_of_card,
    shrunk,
)

from r2b_keras.converters import (
    engines,
    real_weights,
    rounded_verification,
    score_comparison,
    tflite_file,
    verification,
)
from r2b_keras.converters.card import attach
from r2b_keras.converters.tflite_file import Flatbuffer
from tests.converters import mutations
from tests.converters.binary_networks import random_images

SMALLER = ("float16", "int8")
schema = tflite_file.schema


@pytest.fixture(scope="module")
def network(weighted):
    """The float32 file of a network with every kind of real weight, and its scores."""
    model, content = weighted
    return content, verification.Reference(model, random_images((8, 8, 3), 30))


def judge(network, rounded, kind, engine="lce_indirect"):
    exact, reference = network
    (found,) = rounded_verification.verify(
        reference, Flatbuffer(exact), Flatbuffer(rounded), [engine], kind
    )
    return found


def wrong(network, rounded):
    return rounded_verification.problem_of_file(
        Flatbuffer(network[0]), Flatbuffer(rounded)
    )


def are_rounded(flatbuffer):
    return real_weights.are_rounded(tflite_file.parse(flatbuffer))


@pytest.mark.parametrize("kind", SMALLER)
def test_rounded_files_in_every_engine(network, kind):
    rounded = shrunk(network[0], kind)
    wide = rounded_verification.widen(Flatbuffer(rounded))
    assert are_rounded(rounded)
    assert not are_rounded(network[0]) and not are_rounded(wide.content)
    assert wrong(network, rounded) is None
    for engine in engines.names_for(rounded):
        scores = engines.load(rounded, engine).predict(network[1].images)
        found = judge(network, rounded, kind, engine)
        # Of weights that were not trained, many answers may change.
        assert found.problem is None or "changes the answers" in found.problem
        agreement = score_comparison.agreement(network[1].scores, scores)
        assert (found.agreement, found.num_images) == (agreement, 30)
        assert found.to_text().startswith(f"30 images, engine {engine}: top-1 agree")
        np.testing.assert_array_equal(
            engines.load(wide, engine).predict(network[1].images), scores
        )


def stored(flatbuffer):
    """Indices of the constants in fewer bits."""
    model = tflite_file.parse(flatbuffer)
    kinds = (schema.TensorType.FLOAT16, schema.TensorType.INT8)
    tensors = model.subgraphs[0].tensors
    return [index for index, tensor in enumerate(tensors) if tensor.type in kinds]


def with_stored(flatbuffer, index, change):
    """One constant in fewer bits changed."""

    def apply(model, graph):
        tensor = graph.tensors[index]
        dtype = "<f2" if tensor.type == schema.TensorType.FLOAT16 else "<i1"
        buffer = model.buffers[tensor.buffer]
        values = change(np.array(buffer.data, np.uint8).view(dtype))
        buffer.data = values.astype(dtype).view(np.uint8)

    return changed(flatbuffer, apply)


def one_step_up(values):
    """The next larger value of the first weight that is not the largest."""
    values = values.copy()
    place = np.flatnonzero(np.abs(values) < np.abs(values).max())[0]
    if values.dtype == np.int8:
        values[place] += 1
    else:
        values[place] = np.nextafter(values[place], np.float16(np.inf))
    return values


@pytest.mark.parametrize("kind", SMALLER)
def test_each_changed_weight_is_refused(network, kind):
    """Also one of thousands by one step, which no score would tell."""
    rounded = shrunk(network[0], kind)
    indices = stored(rounded)
    assert len(indices) == 10
    for index in indices:
        for change in (np.negative, lambda values: np.roll(values, 1), one_step_up):
            problem = wrong(network, with_stored(rounded, index, change))
            assert problem.startswith("its constant '")
            assert problem.endswith("' is not what the float32 file has")


def test_halves_are_the_nearest_just_below_a_power_of_two():
    """There the next one is half as far: 0.9995, not 1, is nearest to 0.99956."""
    weights = np.float32([1 - 0.9 * 2.0**-11, -1 + 0.9 * 2.0**-11, 0.3, 0.0, 1e-7])
    nearest = weights.astype(np.float16).astype(np.float32)
    assert rounded_verification._Rounded(nearest, None).is_nearest(weights)
    for place, other in ((0, 1.0), (1, -1.0), (2, 0.3003), (3, 6e-8), (4, 0.0)):
        wrong = nearest.copy()
        wrong[place] = np.float16(other)
        assert not rounded_verification._Rounded(wrong, None).is_nearest(weights)


def test_changed_scales_are_refused(network):
    rounded = shrunk(network[0], "int8")
    model = tflite_file.parse(rounded)
    indices = [
        index
        for index in stored(rounded)
        if model.subgraphs[0].tensors[index].quantization is not None
    ]
    assert len(indices) > 5
    for index in indices:
        for factor in (0.999, 1.001):

            def apply(model, graph, index=index, factor=factor):
                quantization = graph.tensors[index].quantization
                scales = np.array(quantization.scale, np.float32)
                scales[-1] *= np.float32(factor)
                quantization.scale = scales

            assert wrong(network, changed(rounded, apply))

    def shift(model, graph):
        quantization = graph.tensors[indices[0]].quantization
        quantization.zeroPoint = np.array(quantization.zeroPoint) + 1

    assert wrong(network, changed(rounded, shift))


def test_whatever_else_is_changed_is_refused(network):
    """But for what is the same turned round, such as constants of one value."""
    rounded = shrunk(network[0], "int8")
    num_refused = 0
    for name, mutated in mutations.all_of(rounded):
        problem = wrong(network, mutated)
        num_refused += problem is not None
        if problem is None:
            assert mutated == tflite_file.serialize(tflite_file.parse(rounded)), name
    assert num_refused > 40

    def stride(model, graph):
        for operator in graph.operators:
            if tflite_file.operator_name(model, operator) == "CONV_2D":
                operator.builtinOptions.strideH += 1

    def order(model, graph):
        graph.operators[-2:] = graph.operators[-2:][::-1]

    for change in (stride, order):
        problem = wrong(network, changed(rounded, change))
        assert problem == "its operators are not those of the float32 file"


@pytest.mark.parametrize(
    ("option", "value"), [("padding", 1), ("pad_values", 0), ("stride_height", 2)]
)
def test_another_binary_convolution_is_refused(option, value):
    def change(model, graph):
        ((_, operator),) = tflite_file.operators(model, "LceBconv2d")
        options = flexbuffers.Loads(bytes(operator.customOptions))
        assert options[option] != value
        content = flexbuffers.Dumps({**options, option: value})
        operator.customOptions = np.frombuffer(content, np.uint8)

    assert wrong([binary()], changed(binary(), lambda *model: None)) is None
    problem = wrong([binary()], changed(binary(), change))
    assert problem == "its operators are not those of the float32 file"


def test_a_file_with_a_card_is_widened():
    """Without the card, whose checksum is that of the rounded weights."""
    rounded = shrunk(attach(dense_of_card(), DENSE_CARD), "float16")
    assert are_rounded(rounded)
    wide, x = rounded_verification.widen(Flatbuffer(rounded)), random_images((1, 64, 1))
    scores = [engines.load(each, "r2b_runtime").predict(x) for each in (rounded, wide)]
    np.testing.assert_allclose(*scores, atol=1e-5)


@pytest.mark.parametrize("kind", SMALLER)
def test_what_is_wrong_is_said(network, kind):
    rounded = shrunk(network[0], kind)
    changed_weight = with_stored(rounded, stored(rounded)[-1], np.negative)
    found = judge(network, changed_weight, kind)
    assert not found.accepted and "its constant '" in found.problem
    assert found.to_text().endswith("REJECTED: " + found.problem)


@pytest.mark.parametrize("kind", SMALLER)
def test_weights_that_are_awkward_to_round(kind):
    """Rows of unlike magnitude, one of zeros, powers of 2 and subnormal numbers."""
    weights = np.random.default_rng(0).normal(size=(6, 512)).astype(np.float32)
    weights *= np.array([1, 0, 1e-3, 100, 1e-7, 1e-40], np.float32)[:, None]
    weights[3, :2] = -65504, 65504
    weights[0] = np.ldexp(np.float32(1), np.arange(512) % 30 - 20) * (1 - 2.0**-12)
    weights[2, ::2] *= -1
    exact = dense_of(weights)
    rounded = shrunk(exact, kind)
    assert are_rounded(rounded)
    assert wrong([exact], rounded) is None


def test_an_engine_that_reads_the_weights_wrongly_is_refused(network, monkeypatch):
    rounded = shrunk(network[0], "int8")
    load = engines.load

    def broken(flatbuffer, *rest):
        content = flatbuffer.content
        if are_rounded(content):
            content = with_stored(content, stored(content)[-1], np.negative)
        return load(content, *rest)

    monkeypatch.setattr(rounded_verification.engines, "load", broken)
    found = judge(network, rounded, "int8")
    assert found.problem == "the engine computes with other weights than the file has"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_refused(network, monkeypatch, value):
    """In the place of the best class, where each is taken for the right answer."""
    rounded, reference = shrunk(network[0], "float16"), network[1]
    predict = engines.Engine.predict

    def broken(engine, images):
        scores = predict(engine, images)
        if len(images) == len(reference.images):
            scores[:3] = reference.scores[:3]
            scores[[0, 2], reference.scores[[0, 2]].argmax(axis=1)] = value
        return scores

    monkeypatch.setattr(rounded_verification, "MOST_LOST", 1.0)
    monkeypatch.setattr(engines.Engine, "predict", broken)
    found = judge(network, rounded, "float16")
    assert found.problem == "the scores of 2 of 30 images are not finite numbers"


def scores_of(lead, answers, loss=0.0):
    """Scores whose best class, 0, leads by `lead`, and others with these answers."""
    expected = np.tile([lead, 0.0, -1.0], (len(answers), 1))
    expected[np.array(answers) > 0, 0] = loss or lead
    return expected, np.eye(3)[answers]


@pytest.mark.parametrize(
    ("loss", "changed", "accepted"),
    # Together 15 of 715, 14 of 1000, 82 of 1000, and 60 of 660.
    [(0.1, 150, True), (2.0, 7, True), (2.0, 41, False), (0.3, 200, False)],
)
def test_answers_that_rounding_may_change(loss, changed, accepted):
    """Many where classes are close, few where the network was sure."""
    expected, scores = scores_of(2.0, [0] * (500 - changed) + [1] * changed, loss)
    problem = rounded_verification.problem_of_quality(expected, scores)
    assert (problem is None) == accepted
    if not accepted:
        assert f"changes the answers of {changed} of 500 images, and takes " in problem
    # From another origin.
    assert problem == rounded_verification.problem_of_quality(expected - 7, scores)


@pytest.mark.parametrize(("changed", "accepted"), [(20, True), (21, False)])
def test_answers_of_which_the_network_was_sure(changed, accepted):
    """Keras's probabilities, of 84 and 11 %, tell what that costs."""
    expected, scores = scores_of(2.0, [0] * (500 - changed) + [1] * changed)
    expected[:, 2] = -0.95
    shares = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    cost = (shares[0, 0] - shares[0, 1]) * changed / 500
    assert (cost <= rounded_verification.MOST_EXPECTED) == accepted
    for given in (expected, shares):
        problem = rounded_verification.problem_of_quality(given, scores)
        assert (problem is None) == accepted
    if not accepted:
        assert problem == (
            f"rounding changes the answers of {changed} of 500 images, and costs "
            f"{cost:.1%} of accuracy by Keras's probabilities, expected at most 3%"
        )


@pytest.mark.parametrize(
    ("spoilt", "mended", "accepted"),
    # A loss of 5 is 1 %, and twice the root of all that changed is chance.
    [(11, 0, True), (12, 0, False), (20, 5, True), (21, 5, False), (5, 30, True)],
)
def test_accuracy_that_rounding_costs(spoilt, mended, accepted):
    """Where the classes are known; answers that are wrong in both do not matter."""
    counts = [spoilt, mended, 30, 470 - spoilt - mended]
    expected, scores = scores_of(2.0, np.repeat([1, 1, 1, 0], counts), 0.05)
    labels = np.repeat([0, 1, 2, 0], counts)
    problem = rounded_verification.problem_of_quality(expected, scores, labels)
    assert (problem is None) == accepted
    if not accepted:
        assert problem == (
            f"of 500 images rounding spoils {spoilt} right answers and mends {mended}, "
            "expected a loss of accuracy of at most 1%"
        )


def test_accuracy_that_a_file_loses_refuses_it(network, monkeypatch):
    """Of classes that are Keras's answers in the first images alone."""
    rounded, (_, reference) = Flatbuffer(shrunk(network[0], "float16")), network
    labels = reference.scores.argmax(axis=1)
    labels[20:] += 1
    predict = engines.Engine.predict

    def spoilt(engine, images):
        """Lets the second class of the first 10 images win, by a hair's breadth."""
        scores = predict(engine, images)
        for image in range(10):
            second, best = np.argsort(scores[image])[-2:]
            scores[image, second] = scores[image, best] * (1 + 1e-6)
        return scores

    for name in ("MOST_LOST", "MOST_EXPECTED"):
        monkeypatch.setattr(rounded_verification, name, 1.0)
    monkeypatch.setattr(engines.Engine, "predict", spoilt)
    given = (reference, Flatbuffer(network[0]), rounded, ["lce_indirect"], "float16")
    (unknown,) = rounded_verification.verify(*given)
    (known,) = rounded_verification.verify(*given, labels)
    assert unknown.accepted
    assert known.problem.startswith("of 30 images rounding spoils 10 right answers")


def test_scores_that_are_none():
    logits = np.array([[-3.0, 3.0], [2.0, -2.0], [-0.01, 0.01], [-2.0, 2.0]])
    broken = np.where(np.arange(4)[:, None] == 1, np.nan, logits)
    assert rounded_verification.problem_of_quality(logits, broken) == (
        "the scores of 1 of 4 images are not finite numbers"
    )


def test_a_file_that_rounding_spoils_is_refused():
    """Weights of which one is so large that 8 bits leave nothing of the others."""
    weights = np.random.default_rng(0).normal(size=(6, 512)).astype(np.float32)
    weights[:, 0] = 5000
    exact = dense_of(weights)
    images = np.random.default_rng(1).normal(size=(30, 1, 512, 1)).astype(np.float32)
    rounded = shrunk(exact, "int8")
    assert wrong([exact], rounded) is None
    scores = [engines.load(each, "litert").predict(images) for each in (exact, rounded)]
    assert "changes the answers of" in rounded_verification.problem_of_quality(*scores)
    fine = engines.load(shrunk(exact, "float16"), "litert").predict(images)
    assert rounded_verification.problem_of_quality(scores[0], fine) is None


def test_another_output_shape_or_type_is_refused(network):
    rounded = shrunk(network[0], "float16")

    def output(model, graph):
        graph.outputs = np.array([graph.operators[-1].inputs[0]], np.int32)

    def shape(model, graph):
        tensor = graph.tensors[graph.operators[-1].inputs[0]]
        tensor.shape = np.array(tensor.shape, np.int32)[::-1]

    def kind(model, graph):
        tensor = graph.tensors[graph.operators[-1].inputs[0]]
        tensor.type = schema.TensorType.INT32

    assert wrong(network, rounded) is None
    for change in (output, shape, kind):
        problem = wrong(network, changed(rounded, change))
        assert problem == "its operators are not those of the float32 file"


@pytest.mark.parametrize(("num_other", "accepted"), [(5, True), (6, False)])
def test_an_engine_may_turn_a_sign_in_half_of_the_images(num_other, accepted):
    wide = np.tile(np.float32([1, 2, 4]), (10, 1))
    scores = wide.copy()
    scores[:num_other, 0] += 0.1
    problem = rounded_verification._problem_of_engine(wide, scores)
    assert (problem is None) == accepted
