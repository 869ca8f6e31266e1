"""Real weights in fewer bits: files put together by hand, and a converted network."""

import numpy as np
import pytest

from r2b_keras.board.card import REAL_WEIGHTS
from r2b_keras.converters import card, engines, real_weights, tflite_file
from r2b_keras.errors import InputError
from tests.converters.weighted_flatbuffers import Builder, dense, schema

SMALLER = ("float16", "int8")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def constants(flatbuffer):
    """Type, values and scales of every constant, by name."""
    dtypes = {0: np.float32, 1: np.float16, 2: np.int32, 9: np.int8}
    model = tflite_file.parse(flatbuffer)
    found = {}
    for tensor in model.subgraphs[0].tensors:
        content = tflite_file.constant(model, tensor)
        if content:
            values = np.frombuffer(content, dtypes[tensor.type]).reshape(tensor.shape)
            found[tensor.name.decode()] = values
    return found


def stored_bytes(flatbuffer):
    model = tflite_file.parse(flatbuffer)
    return sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)


def dequantized(flatbuffer):
    """What DEQUANTIZE makes, by output tensor, computed here once more."""
    model = tflite_file.parse(flatbuffer)
    tensors = model.subgraphs[0].tensors
    found = {}
    for operator in model.subgraphs[0].operators:
        if tflite_file.operator_name(model, operator) != "DEQUANTIZE":
            continue
        tensor = tensors[operator.inputs[0]]
        content = tflite_file.constant(model, tensor)
        if tensor.type == schema.TensorType.FLOAT16:
            values = np.frombuffer(content, np.float16).astype(np.float32)
            values = values.reshape(tensor.shape)
        else:
            assert tensor.type == schema.TensorType.INT8
            np.testing.assert_array_equal(tensor.quantization.zeroPoint, 0)
            axis = tensor.quantization.quantizedDimension
            integers = np.frombuffer(content, np.int8).reshape(tensor.shape)
            rows = np.moveaxis(integers, axis, -1).astype(np.float32)
            scales = np.asarray(tensor.quantization.scale, np.float32)
            assert scales.shape == rows.shape[-1:]
            values = np.moveaxis(rows * scales, -1, axis)
        found[operator.outputs[0]] = values
    return found


def with_rounded_constants(flatbuffer, smaller):
    """The float32 file with the values that the smaller one's engines compute with."""
    model = tflite_file.parse(flatbuffer)
    for index, values in dequantized(smaller).items():
        buffer = tflite_file.add_buffer(model, np.ascontiguousarray(values).tobytes())
        model.subgraphs[0].tensors[index].buffer = buffer
    return tflite_file.serialize(model)


@pytest.fixture(scope="module")
def network():
    """A converted binary network with every kind of real weight: bytes."""
    from r2b_keras import converters, models
    from r2b_keras.environment import tf

    tf.keras.utils.set_random_seed(3)
    options = {"width": 64, "blocks": (1, 1), "stem": "cifar"}
    model = models.build("real_to_binary18", "binary", (8, 8, 3), 100, **options)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            size = layer.moving_mean.shape[0]
            layer.moving_mean.assign(normal(size, seed=size))
            layer.gamma.assign(np.where(np.arange(size) % 4 == 1, -1.0, 1.0))
    return converters.convert(model)


def awkward_weights():
    """Rows of unlike magnitude, one of zeros, and what float16 hardly holds."""
    weights = normal(5, 512) * np.array([1, 0, 1e-3, 100, 1e-7], "f4")[:, None]
    weights[3, :2] = -65504, 65504
    return weights


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("engine", engines.NAMES)
def test_engines_compute_with_the_rounded_weights(engine, kind):
    """To the bit: one-hot images read the weights back, one column each."""
    flatbuffer = dense(awkward_weights(), binary=engine != "litert")
    smaller = real_weights.shrink(flatbuffer, kind)
    (expected,) = dequantized(smaller).values()
    assert not np.array_equal(expected, awkward_weights())
    images = np.eye(512, dtype=np.float32)[::5, None, :, None]
    scores = engines.load(smaller, engine).predict(images)
    np.testing.assert_array_equal(scores.T, expected[:, ::5])


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("engine", [name for name in engines.NAMES if name != "litert"])
def test_network_computes_with_the_rounded_weights(network, engine, kind):
    """As the float32 file does that has the rounded values in it."""
    smaller = real_weights.shrink(network, kind)
    images = normal(4, 8, 8, 3, seed=1)
    expected = engines.load(with_rounded_constants(network, smaller), engine)
    expected = expected.predict(images)
    for options in ({}, {"batch_size": 4}, {"num_threads": 2}):
        scores = engines.load(smaller, engine, **options).predict(images)
        atol = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(scores, expected, rtol=0, atol=atol)
    assert np.abs(engines.load(network, engine).predict(images) - expected).max() > atol


def test_what_is_rounded_of_a_binary_network(network):
    """Not the stem; downsampling to float16; gates and classifier as asked."""
    before, after = constants(network), constants(real_weights.shrink(network, "int8"))
    changed = {before[name].shape for name in before.keys() - after.keys()}
    gates = {(8, 1, 1, 64), (64, 1, 1, 8), (16, 1, 1, 64), (128, 1, 1, 16)}
    gates |= {(16, 1, 1, 128)}
    assert changed == gates | {(128, 1, 1, 64), (100, 128)}
    assert (64, 3, 3, 3) in {values.shape for values in after.values()}
    for name, values in after.items():
        if name not in before:
            downsampling = values.shape == (128, 1, 1, 64)
            assert values.dtype == (np.float16 if downsampling else np.int8)
    half = constants(real_weights.shrink(network, "float16"))
    assert {half[name].dtype for name in half.keys() - before.keys()} == {
        np.dtype(np.float16)
    }
    for name in before.keys() & after.keys():
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("kind", SMALLER)
def test_operators_stay(network, kind):
    smaller = real_weights.shrink(network, kind)
    counts = tflite_file.count_operators(smaller)
    assert counts.pop("DEQUANTIZE") == len(dequantized(smaller))
    assert counts == tflite_file.count_operators(network)


@pytest.mark.parametrize("kind, version", [("float16", 3), ("int8", 5)])
def test_versions_that_know_the_types(kind, version):
    """TensorFlow Lite's first versions of DEQUANTIZE with float16, with scales."""
    model = tflite_file.parse(real_weights.shrink(dense(normal(20, 64)), kind))
    dequantize, matrix = model.subgraphs[0].operators
    assert model.operatorCodes[dequantize.opcodeIndex].version == version
    assert model.operatorCodes[matrix.opcodeIndex].version == 1
    assert tflite_file.operator_code(model, "DEQUANTIZE", version) == 1
    assert tflite_file.operator_code(model, "DEQUANTIZE", version + 1) == 2


@pytest.mark.parametrize("kind", SMALLER)
def test_bytes_by_part(network, kind):
    """Filters by their shapes; the float32 values have left the file."""
    before = real_weights.bytes_by_part(network)
    # One bit a weight, 32 to a word: 64 -> 64, 64 -> 64, 64 -> 128, 128 -> 128.
    assert before["binary weights"] == 9 * (2 * 64 * 64 + 64 * 128 + 128 * 128) // 8
    smaller = real_weights.shrink(network, kind)
    after = real_weights.bytes_by_part(smaller)
    assert sum(before.values()) == len(network)
    assert sum(after.values()) == len(smaller) < len(network)
    assert before["binary weights"] == after["binary weights"]
    rounded = dequantized(smaller).values()
    saved = sum(values.nbytes for values in rounded)
    for values in rounded:
        if kind == "float16" or values.shape == (128, 1, 1, 64):
            saved -= 2 * values.size
        else:
            saved -= values.size + 12 * len(values)
    assert before["real weights"] - after["real weights"] == saved
    # Tables, with names of about 50 characters.
    assert 0 < after["rest"] - before["rest"] < 256 * len(rounded)


def test_bytes_of_a_matrix():
    flatbuffer = dense(normal(10, 640))
    parts = {kind: real_weights.shrink(flatbuffer, kind) for kind in REAL_WEIGHTS}
    assert parts["float32"] is flatbuffer
    sizes = {kind: real_weights.bytes_by_part(parts[kind]) for kind in parts}
    assert [size["real weights"] for size in sizes.values()] == [25600, 12800, 6520]
    assert [size["binary weights"] for size in sizes.values()] == [0, 0, 0]
    assert [stored_bytes(part) for part in parts.values()] == [25600, 12800, 6400]


def test_weights_too_few_to_save_anything_stay():
    """90 values in float16 save 180 bytes, less than an operator takes."""
    flatbuffer = dense(normal(3, 30))
    smaller = real_weights.shrink(flatbuffer, "float16")
    assert tflite_file.count_operators(smaller) == {"FULLY_CONNECTED": 1}
    assert len(smaller) <= len(flatbuffer)


def test_depthwise_and_plain_convolutions_of_a_real_network():
    """int8 throughout where there is no sign; channels on the last and first axis."""
    builder = Builder()
    image = builder.tensor("image", (1, 5, 5, 32))
    kernel = builder.tensor("depthwise", (1, 5, 5, 32), normal(1, 5, 5, 32))
    bias = builder.tensor("bias", (32,), normal(32))
    middle = builder.tensor("middle", (1, 1, 1, 32))
    builder.depthwise(image, kernel, bias, middle)
    plain = builder.tensor("plain", (32, 1, 1, 32), normal(32, 1, 1, 32, seed=1))
    mapped = builder.tensor("mapped", (1, 1, 1, 32))
    builder.convolution(middle, plain, bias, mapped)
    matrix = builder.tensor("matrix", (20, 32), normal(20, 32, seed=2))
    scores = builder.tensor("scores", (1, 20))
    builder.dense(mapped, matrix, scores)
    flatbuffer = builder.finish(image, scores)
    smaller = real_weights.shrink(flatbuffer, "int8")
    assert sorted(dequantized(smaller)) == [kernel, plain, matrix]
    found = constants(smaller)
    assert [found[f"{name}_int8"].dtype for name in ("depthwise", "plain")] == [
        "i1"
    ] * 2
    np.testing.assert_array_equal(
        np.abs(found["depthwise_int8"]).max((0, 1, 2)), np.full(32, 127)
    )
    images = normal(3, 5, 5, 32, seed=3)
    reference = with_rounded_constants(flatbuffer, smaller)
    for engine in engines.names_for(smaller):
        expected = engines.load(reference, engine).predict(images)
        atol = 1e-5 * np.abs(expected).max()
        scores = engines.load(smaller, engine).predict(images)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=atol)


def two_matrices(second_weights=None, buffer=0, weights=None):
    """Two products, summed, of one matrix or of two."""
    builder = Builder()
    image = builder.tensor("image", (1, 1, 64, 1))
    weights = normal(20, 64) if weights is None else weights
    first = second = builder.tensor("weights", weights.shape, weights)
    if second_weights is not None:
        second = builder.tensor("more", second_weights.shape, second_weights)
    elif buffer:
        second = builder.tensor("more", weights.shape, buffer=buffer)
    left, right, scores = (builder.tensor(name, (1, 20)) for name in "lrs")
    builder.dense(image, first, left)
    builder.dense(image, second, right)
    builder.add(left, right, scores)
    return builder, image, scores, (first, second)


@pytest.mark.parametrize("buffer", [0, 1])
def test_shared_weights_are_stored_once(buffer):
    """By one tensor that two operators read, or by two tensors of one buffer."""
    builder, image, scores, tensors = two_matrices(buffer=buffer)
    smaller = real_weights.shrink(builder.finish(image, scores), "int8")
    assert set(dequantized(smaller)) == set(tensors)
    assert stored_bytes(smaller) == 20 * 64
    images = normal(1, 1, 64, 1)
    (weights, *_) = dequantized(smaller).values()
    expected = 2 * weights @ images.ravel()
    outputs = engines.load(smaller, "litert").predict(images)[0]
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * expected.max())


def read_elsewhere(builder, weights):
    total = builder.tensor("total", (20, 64))
    builder.add(weights, weights, total)


def give_out(builder, weights):
    builder.graph.outputs = [*builder.graph.outputs, weights]


def name_in_metadata(builder, weights):
    buffer = builder.graph.tensors[weights].buffer
    tflite_file.add_metadata(builder.model, "mine", buffer)


def use_in_another_graph(builder, weights):
    other = schema.SubGraphT()
    other.tensors, other.inputs, other.outputs = (
        [builder.graph.tensors[weights]],
        [0],
        [0],
    )
    builder.model.subgraphs.append(other)


@pytest.mark.parametrize(
    "use", [read_elsewhere, give_out, name_in_metadata, use_in_another_graph]
)
def test_constants_with_another_use_stay(use):
    builder, image, scores, tensors = two_matrices(normal(20, 64, seed=1))
    builder.finish(image, scores)
    use(builder, tensors[0])
    flatbuffer = tflite_file.serialize(builder.model)
    smaller = real_weights.shrink(flatbuffer, "float16")
    assert list(dequantized(smaller)) == [tensors[1]]
    found = constants(smaller)
    np.testing.assert_array_equal(found["weights"], normal(20, 64))
    assert "more" not in found


def test_card_and_metadata_survive(network):
    """A card of before gets the new kind; one of after is read; others stay."""
    described = card.ModelCard(
        class_names=("a", "b"), image_shape=(8, 8, 3), mean=(0.5,) * 3, std=(0.2,) * 3
    )
    assert card.read(network) is None
    carded = real_weights.shrink(card.attach(network, described), "int8")
    result = card.read(carded)
    assert result.real_weights == "int8"
    assert result.class_names == ("a", "b")
    plain = real_weights.shrink(network, "int8")
    assert card.read(card.attach(plain, described)) == described
    versions = []
    for flatbuffer in (network, carded, plain):
        model = tflite_file.parse(flatbuffer)
        index = tflite_file.remove_metadata(model, "min_runtime_version")
        versions.append(bytes(model.buffers[index].data))
    assert versions[0] == versions[1] == versions[2] != b""


@pytest.mark.parametrize("first", SMALLER)
@pytest.mark.parametrize("second", SMALLER)
def test_smaller_weights_are_not_rounded_again(first, second):
    smaller = real_weights.shrink(dense(normal(20, 64)), first)
    assert real_weights.shrink(smaller, "float32") is smaller
    with pytest.raises(InputError, match=f"in fewer bits already, 'weights_{first}'"):
        real_weights.shrink(smaller, second)


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(kind, value):
    weights = normal(20, 64)
    weights[3, 4] = value
    with pytest.raises(InputError, match="Weight 'weights' is not finite"):
        real_weights.shrink(dense(weights), kind)


def test_weights_too_large_for_float16_are_named():
    weights = normal(20, 64)
    weights[3, 4] = -70000
    with pytest.raises(InputError, match="'weights' has a magnitude of 70000.*65504"):
        real_weights.shrink(dense(weights), "float16")
    (values,) = dequantized(real_weights.shrink(dense(weights), "int8")).values()
    assert values[3, 4] == -70000


def test_unknown_kinds_and_damaged_files():
    flatbuffer = dense(normal(20, 64))
    with pytest.raises(
        InputError, match="'int4', expected one of float32, float16, in"
    ):
        real_weights.shrink(flatbuffer, "int4")
    for damaged in (b"", b"nonsense", flatbuffer[:600]):
        with pytest.raises(InputError, match=r"\.tflite file"):
            real_weights.shrink(damaged, "int8")
        with pytest.raises(InputError, match=r"\.tflite file"):
            real_weights.bytes_by_part(damaged)
