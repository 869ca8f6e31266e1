"""Real weights in fewer bits: files put together by hand, and a converted network."""

import numpy as np
import pytest

from r2b_keras.board.card import REAL_WEIGHTS
from r2b_keras.converters import engines, real_weights, tflite_edit, tflite_file
from r2b_keras.errors import InputError
from tests.converters.small_flatbuffers import dense_of, schema, shrunk
from tests.runtime.graph_files import GraphFile

SMALLER = ("float16", "int8")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def constants(flatbuffer):
    """Values of every constant, by name, or by its number where names do not tell."""
    dtypes = {0: np.float32, 1: np.float16, 2: np.int32, 9: np.int8}
    model = tflite_file.parse(flatbuffer)
    tensors = model.subgraphs[0].tensors
    names, found = [x.name and x.name.decode() for x in tensors], {}
    for index, tensor in enumerate(tensors):
        content = tflite_file.constant(model, tensor)
        if content:
            values = np.frombuffer(content, dtypes[tensor.type]).reshape(tensor.shape)
            found[index if names.count(names[index]) > 1 else names[index]] = values
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
        buffer = tflite_edit.add_buffer(model, np.ascontiguousarray(values).tobytes())
        model.subgraphs[0].tensors[index].buffer = buffer
    return tflite_file.serialize(model)


@pytest.fixture
def network(weighted):
    return weighted[1]


def awkward_weights():
    """Rows of unlike magnitude, one of zeros, and what float16 hardly holds."""
    weights = normal(5, 512) * np.array([1, 0, 1e-3, 100, 1e-7], "f4")[:, None]
    weights[3, :2] = -65504, 65504
    return weights


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("engine", engines.NAMES)
def test_engines_compute_with_the_rounded_weights(engine, kind):
    """To the bit: one-hot images read the weights back, one column each."""
    flatbuffer = dense_of(awkward_weights(), binary=engine != "litert")
    smaller = shrunk(flatbuffer, kind)
    (expected,) = dequantized(smaller).values()
    assert not np.array_equal(expected, awkward_weights())
    images = np.eye(512, dtype=np.float32)[::5, None, :, None]
    scores = engines.load(smaller, engine).predict(images)
    np.testing.assert_array_equal(scores.T, expected[:, ::5])


def test_what_is_rounded_of_a_binary_network(network):
    """Not the stem; downsampling to float16; gates and classifier as asked."""
    before, after = constants(network), constants(shrunk(network, "int8"))
    changed = {before[name].shape for name in before.keys() - after.keys()}
    gates = {(8, 1, 1, 64), (64, 1, 1, 8), (16, 1, 1, 64), (128, 1, 1, 16)}
    gates |= {(16, 1, 1, 128)}
    assert changed == gates | {(128, 1, 1, 64), (100, 128)}
    assert (64, 3, 3, 3) in {values.shape for values in after.values()}
    for name, values in after.items():
        if name not in before:
            downsampling = values.shape == (128, 1, 1, 64)
            assert values.dtype == (np.float16 if downsampling else np.int8)
    half = constants(shrunk(network, "float16"))
    assert {half[name].dtype for name in half.keys() - before.keys()} == {
        np.dtype(np.float16)
    }
    for name in before.keys() & after.keys():
        np.testing.assert_array_equal(before[name], after[name])


@pytest.mark.parametrize("kind", SMALLER)
def test_operators_stay(network, kind):
    smaller = shrunk(network, kind)
    counts = tflite_file.count_operators(smaller)
    assert counts.pop("DEQUANTIZE") == len(dequantized(smaller))
    assert counts == tflite_file.count_operators(network)


@pytest.mark.parametrize("kind, version", [("float16", 3), ("int8", 5)])
def test_versions_that_know_the_types(kind, version):
    """TensorFlow Lite's first versions of DEQUANTIZE with float16, with scales."""
    model = tflite_file.parse(shrunk(dense_of(normal(20, 64)), kind))
    dequantize, matrix = model.subgraphs[0].operators
    assert model.operatorCodes[dequantize.opcodeIndex].version == version
    assert model.operatorCodes[matrix.opcodeIndex].version == 1


@pytest.mark.parametrize("kind", SMALLER)
def test_bytes_by_part(network, kind):
    """Filters by their shapes; the float32 values have left the file."""
    before = real_weights.bytes_by_part(network)
    # One bit a weight, 32 to a word: 64 -> 64, 64 -> 64, 64 -> 128, 128 -> 128.
    assert before["binary weights"] == 9 * (2 * 64 * 64 + 64 * 128 + 128 * 128) // 8
    smaller = shrunk(network, kind)
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
    flatbuffer = dense_of(normal(10, 640))
    parts = {kind: shrunk(flatbuffer, kind) for kind in REAL_WEIGHTS}
    assert parts["float32"] == flatbuffer
    sizes = {kind: real_weights.bytes_by_part(parts[kind]) for kind in parts}
    assert [size["real weights"] for size in sizes.values()] == [25600, 12800, 6520]
    assert [size["binary weights"] for size in sizes.values()] == [0, 0, 0]
    assert [stored_bytes(part) for part in parts.values()] == [25600, 12800, 6400]


def test_weights_too_few_to_save_anything_stay():
    """90 values in float16 save 180 bytes, less than an operator takes."""
    flatbuffer = dense_of(normal(3, 30))
    smaller = shrunk(flatbuffer, "float16")
    assert tflite_file.count_operators(smaller) == {"FULLY_CONNECTED": 1}
    assert len(smaller) <= len(flatbuffer)


def test_depthwise_and_plain_convolutions_of_a_real_network():
    """int8 throughout where there is no sign; channels on the last and first axis."""
    file, once = GraphFile(), {"strideH": 1, "strideW": 1}
    x = file.input("float", (1, 5, 5, 32))
    kernel = file.constant("float", normal(1, 5, 5, 32), name="depthwise")
    bias = file.constant("float", normal(32))
    plain = file.constant("float", normal(32, 1, 1, 32, seed=1), name="plain")
    matrix = file.constant("float", normal(20, 32, seed=2))
    for name, weights, options in (
        ("DEPTHWISE_CONV_2D", kernel, {"padding": 1, "depthMultiplier": 1}),
        ("CONV_2D", plain, {}),
    ):
        y = file.tensor("float", (1, 1, 1, 32))
        x = file.builtin(name, [x, weights, bias], y, **once, **options)
    scores = file.tensor("float", (1, 20))
    flatbuffer = file.content(file.builtin("FULLY_CONNECTED", [x, matrix, -1], scores))
    smaller = shrunk(flatbuffer, "int8")
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


def two_matrices(second_weights=None):
    """Two products, summed, of one matrix or of two."""
    file = GraphFile()
    image = file.input("float", (1, 1, 64, 1))
    first = second = file.constant("float", normal(20, 64), name="weights")
    if second_weights is not None:
        second = file.constant("float", second_weights, name="more")
    products = [
        file.builtin("FULLY_CONNECTED", [image, x, -1], file.tensor("float", (1, 20)))
        for x in (first, second)
    ]
    scores = file.builtin("ADD", products, file.tensor("float", (1, 20)))
    return file, file.content(scores), (first, second)


def test_weights_that_two_operators_read_are_stored_once():
    _, content, tensors = two_matrices()
    smaller = shrunk(content, "int8")
    assert set(dequantized(smaller)) == set(tensors)
    assert stored_bytes(smaller) == 20 * 64
    images = normal(1, 1, 64, 1)
    (weights, *_) = dequantized(smaller).values()
    expected = 2 * weights @ images.ravel()
    outputs = engines.load(smaller, "litert").predict(images)[0]
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * expected.max())


def read_elsewhere(file, weights):
    file.builtin("ADD", [weights, weights], file.tensor("float", (20, 64)))


def give_out(file, weights):
    file.graph.outputs = [*file.graph.outputs, weights]


def name_in_metadata(file, weights):
    buffer = file.graph.tensors[weights].buffer
    tflite_edit.add_metadata(file.model, "mine", buffer)


def share_the_buffer(file, weights):
    file.tensor("float", (20, 64), buffer=file.graph.tensors[weights].buffer)


def use_in_another_graph(file, weights):
    other = schema.SubGraphT()
    other.tensors = [file.graph.tensors[weights]]
    other.inputs, other.outputs = [0], [0]
    file.model.subgraphs.append(other)


@pytest.mark.parametrize(
    "use",
    [
        *(read_elsewhere, give_out, name_in_metadata),
        *(share_the_buffer, use_in_another_graph),
    ],
)
def test_constants_with_another_use_stay(use):
    file, _, tensors = two_matrices(normal(20, 64, seed=1))
    use(file, tensors[0])
    smaller = shrunk(file.written(), "float16")
    assert list(dequantized(smaller)) == [tensors[1]]
    found = constants(smaller)
    np.testing.assert_array_equal(found["weights"], normal(20, 64))
    assert "more" not in found


@pytest.mark.parametrize("first", SMALLER)
@pytest.mark.parametrize("second", SMALLER)
def test_smaller_weights_are_not_rounded_again(first, second):
    smaller = shrunk(dense_of(normal(20, 64)), first)
    assert shrunk(smaller, "float32") == smaller
    with pytest.raises(InputError, match=f"in fewer bits already, 'weights_{first}'"):
        shrunk(smaller, second)


@pytest.mark.parametrize("kind", SMALLER)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_named(kind, value):
    weights = normal(20, 64)
    weights[3, 4] = value
    with pytest.raises(InputError, match="Weight 'weights' is not finite"):
        shrunk(dense_of(weights), kind)


def test_weights_too_large_for_float16_are_named():
    weights = normal(20, 64)
    weights[3, 4] = -70000
    with pytest.raises(InputError, match="'weights' has a magnitude of 70000.*65504"):
        shrunk(dense_of(weights), "float16")
    (values,) = dequantized(shrunk(dense_of(weights), "int8")).values()
    assert values[3, 4] == -70000


def test_unknown_kinds_and_damaged_files():
    flatbuffer = dense_of(normal(20, 64))
    with pytest.raises(
        InputError, match="'int4', expected one of float32, float16, in"
    ):
        shrunk(flatbuffer, "int4")
    for damaged in (b"", b"nonsense", flatbuffer[:600]):
        with pytest.raises(InputError, match=r"\.tflite file"):
            real_weights.bytes_by_part(damaged)


# --- By hand -------------------------------------------------------------------------


def widened(rounded):
    """What DEQUANTIZE makes of it: float32."""
    values = rounded.values.astype(np.float32)
    if rounded.scales is None:
        return values
    shape = [1] * values.ndim
    shape[rounded.axis] = -1
    return values * rounded.scales.reshape(shape)


def test_int8_by_hand():
    """Scales 2 / 127 and 1 / 127: each channel's largest magnitude becomes 127."""
    weights = np.array([[1.0, -2.0, 0.1], [0.5, 0.25, -1.0]], np.float32)
    rounded = real_weights.round_int8(weights, axis=0)
    assert rounded.values.dtype == np.int8
    # 1 / (2/127) = 63.5, the even neighbour; 0.1 / (2/127) = 6.35; 0.25 * 127 = 31.75.
    np.testing.assert_array_equal(rounded.values, [[64, -127, 6], [64, 32, -127]])
    np.testing.assert_array_equal(rounded.scales, np.float32([2, 1]) / np.float32(127))
    expected = np.float32([[64 * 2 / 127, -2, 12 / 127], [64 / 127, 32 / 127, -1]])
    np.testing.assert_allclose(widened(rounded), expected, rtol=1e-7)


def test_int8_of_a_single_scale_is_not_that_of_whole_numbers():
    """A matrix of one row whose largest weight is 127, which would have the scale 1."""
    weights = np.array([[127.0, -3.0, 0.6]], np.float32)
    rounded = real_weights.round_int8(weights, axis=0)
    np.testing.assert_array_equal(rounded.values, [[127, -3, 1]])
    assert rounded.scales.tolist() == [np.nextafter(np.float32(1), np.float32(2))]
    file = shrunk(dense_of(np.tile(weights, 200)), "int8")
    assert real_weights.are_rounded(tflite_file.parse(file))


def test_int8_of_channels_that_have_no_scale():
    """Zeros, and magnitudes / 127 below float32's normal numbers, become 0."""
    weights = np.array([[0, 0], [1e-37, 0], [3e38, -3e38]], np.float32)
    rounded = real_weights.round_int8(weights, axis=0)
    np.testing.assert_array_equal(rounded.values, [[0, 0], [0, 0], [127, -127]])
    np.testing.assert_array_equal(rounded.scales[:2], [2, 2])
    np.testing.assert_allclose(widened(rounded)[2], weights[2], rtol=1e-7)


def test_int8_along_the_last_axis():
    """A depthwise kernel `[1, h, w, C]`; errors are at most half a step."""
    weights = np.random.default_rng(0).normal(size=(1, 5, 3, 7)).astype(np.float32)
    weights *= 10.0 ** np.arange(-3, 4)
    rounded = real_weights.round_int8(weights, axis=3)
    steps = np.abs(weights).max((0, 1, 2)) / 127
    np.testing.assert_allclose(rounded.scales, steps, rtol=1e-7)
    errors = np.abs(widened(rounded) - weights)
    assert (errors <= 0.5001 * steps).all()
    assert (errors.max((0, 1, 2)) > 0.3 * steps).all()
    np.testing.assert_array_equal(np.abs(rounded.values).max((0, 1, 2)), 127)


def test_float16_by_hand():
    """11 significant bits, a tie to the even one, and the smallest magnitude."""
    weights = np.array([1 + 2**-11, 1 + 3 * 2**-11, -65504, 2**-24, 2**-26], np.float32)
    rounded = real_weights.round_float16(weights)
    assert rounded.values.dtype == np.float16
    expected = np.array([1, 1 + 2**-9, -65504, 2**-24, 0], np.float32)
    np.testing.assert_array_equal(widened(rounded), expected)


@pytest.mark.parametrize("order", [1, -1])
def test_weights_that_maps_and_gates_read_are_as_fine_as_for_maps(order):
    file = GraphFile()
    image = file.input("float", (1, 4, 4, 64))
    file.custom("LceQuantize", [image], file.tensor("packed", (1, 4, 4, 2)))
    weights = file.constant("float", normal(64, 1, 1, 64), name="weights")
    means = file.tensor("float", (1, 1, 1, 64))
    for source, side in ((image, 4), (means, 1))[::order]:
        scores = file.tensor("float", (1, side, side, 64))
        file.builtin("CONV_2D", [source, weights, -1], scores, strideH=1, strideW=1)
    assert list(constants(shrunk(file.content(scores), "int8"))) == ["weights_float16"]


def test_a_matrix_of_one_row_is_rounded_too():
    """One scale, as weights of whole numbers have it, but it is not 1."""
    exact = dense_of(normal(1, 512))
    assert not real_weights.are_rounded(tflite_file.parse(exact))
    smaller = tflite_file.parse(shrunk(exact, "int8"))
    assert real_weights.are_rounded(smaller)
    (graph,) = smaller.subgraphs
    assert not real_weights.is_whole(smaller, graph, graph.operators[0])
