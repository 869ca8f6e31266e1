"""Binary operators are checked before an engine, which trusts them, sees a file."""

import numpy as np
import pytest
from flatbuffers import flexbuffers
from small_flatbuffers import BINARY_OPTIONS, binary, changed, refusal

from r2b_keras.converters import binary_operators, tflite_file
from r2b_keras.converters.tflite_file import schema

INT32 = schema.TensorType.INT32
IMAGE, SIGNS, FILTERS, MULTIPLIERS, BIASES, MAP, AXES, SCORES = range(8)
WINDOW = {"padding": 0, "stride_width": 2, "stride_height": 2}
POOLING = {**WINDOW, "filter_width": 3, "filter_height": 2}


def check(flatbuffer):
    binary_operators.check(tflite_file.parse(flatbuffer))


def convolution(change):
    """The binary network after `change(its convolution, tensors)`."""

    def apply(model, graph):
        change(graph.operators[1], graph.tensors)

    return changed(binary(), apply)


def encode(options):
    return np.frombuffer(flexbuffers.Dumps(options), np.uint8)


def with_options(**options):
    def change(operator, tensors):
        merged = {**BINARY_OPTIONS, **options}
        kept = {name: merged[name] for name in merged if merged[name] is not None}
        operator.customOptions = encode(kept)

    return convolution(change)


def pooling(options):
    """The binary network with a pooling in place of its convolution."""

    def change(model, graph):
        operator, code = graph.operators[1], model.operatorCodes[1]
        code.customCode, operator.inputs = b"LceBMaxPool2d", [SIGNS]
        operator.customOptions = options

    return changed(binary(), change)


def test_sound_networks_pass():
    check(binary())
    check(pooling(encode(POOLING)))


def test_names_may_lie_in_any_order():
    """A map is sorted, but its names lie as they were written."""
    for names in (sorted(BINARY_OPTIONS), sorted(BINARY_OPTIONS, reverse=True)):
        options = encode({name: BINARY_OPTIONS[name] for name in names})
        check(convolution(lambda o, _, options=options: _options(o, options)))
    check(with_options(groups=1))


def _options(operator, options):
    operator.customOptions = options


@pytest.mark.parametrize("name", BINARY_OPTIONS)
def test_a_missing_option_is_named(name):
    message = refusal(check, with_options(**{name: None}))
    assert message.startswith(
        f"The .tflite file is damaged (LceBconv2d: its {name} cannot be right)"
    )


@pytest.mark.parametrize("name", POOLING)
def test_a_missing_option_of_a_pooling_is_named(name):
    options = {key: POOLING[key] for key in POOLING if key != name}
    message = refusal(check, pooling(encode(options)))
    assert f"LceBMaxPool2d: its {name} cannot be right" in message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("padding", 2), ("padding", -1), ("pad_values", 2), ("pad_values", -1)),
        *(("stride_height", 0), ("stride_width", -1), ("stride_width", 2**15 + 1)),
        *(("dilation_height_factor", 0), ("dilation_width_factor", 2**40)),
        *(("fused_activation_function", 6), ("channels_in", 0), ("channels_in", -33)),
    ],
)
def test_options_out_of_range_are_named(name, value):
    message = refusal(check, with_options(**{name: value}))
    assert f"its {name} cannot be right" in message


@pytest.mark.parametrize(
    ("channels", "sound"), [(32, False), (33, True), (64, True), (65, False)]
)
def test_channels_fill_the_words(channels, sound):
    """Two words per pixel hold 33 to 64 channels."""
    content = with_options(channels_in=channels)
    if sound:
        check(content)
    else:
        assert "its channels cannot be right" in refusal(check, content)


@pytest.mark.parametrize(
    ("channels", "sound"),
    [(128, True), (127, False), (97, False), (160, False), (96, False)],
)
def test_groups_take_whole_words(channels, sound):
    """Activations of four words and filters of two: two groups of 64 channels."""

    def change(operator, tensors):
        tensors[SIGNS].shape = [1, 4, 5, -(-channels // 32)]
        operator.customOptions = encode({**BINARY_OPTIONS, "channels_in": channels})

    even = change_classes(4, change)
    if sound:
        check(even)
        assert "its groups cannot" in refusal(check, change_classes(3, change))
    else:
        assert "cannot be right" in refusal(check, even)


def change_classes(num_classes, change):
    def apply(model, graph):
        change(graph.operators[1], graph.tensors)

    return changed(binary(num_classes), apply)


def shape(tensor, value):
    return lambda operator, tensors: setattr(tensors[tensor], "shape", value)


def kind(tensor, value):
    return lambda operator, tensors: setattr(tensors[tensor], "type", value)


def inputs(*value):
    return lambda operator, tensors: setattr(operator, "inputs", list(value))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (inputs(SIGNS, FILTERS, MULTIPLIERS, BIASES), "its tensors"),
        (inputs(), "its tensors"),
        (inputs(-1, FILTERS, MULTIPLIERS, BIASES, -1), "its tensors"),
        (inputs(SIGNS, -1, MULTIPLIERS, BIASES, -1), "its tensors"),
        (inputs(SIGNS, FILTERS, -1, BIASES, -1), "its numbers per channel"),
        (inputs(SIGNS, FILTERS, MULTIPLIERS, -1, -1), "its numbers per channel"),
        (inputs(SIGNS, FILTERS, MULTIPLIERS, AXES, -1), "its numbers per channel"),
        # What is computed has no content that could be read beforehand.
        (inputs(SIGNS, FILTERS, MULTIPLIERS, MAP, -1), "its numbers per channel"),
        (inputs(SIGNS, SIGNS, MULTIPLIERS, BIASES, -1), "its filters"),
        (inputs(IMAGE, FILTERS, MULTIPLIERS, BIASES, -1), "its filters"),
        (inputs(SIGNS, AXES, MULTIPLIERS, BIASES, -1), "its filters"),
        (shape(FILTERS, [3, 9, 2]), "its filters"),
        (shape(FILTERS, [3, 3, 2, 3]), "its channels"),
        (shape(FILTERS, [1, 3, 3, 6]), "its channels"),
        (shape(FILTERS, [6, 3, 3, 1]), "its groups"),
        (shape(FILTERS, [9, 3, 1, 2]), "its numbers per channel"),
        (shape(SIGNS, [1, 4, 5, 1]), "its channels"),
        (shape(SIGNS, [1, 20, 2]), "its filters"),
        (shape(MULTIPLIERS, [1, 3]), "its numbers per channel"),
        (kind(FILTERS, schema.TensorType.FLOAT32), "its filters"),
        (kind(SIGNS, schema.TensorType.FLOAT32), "its filters"),
        # A packed output needs thresholds.
        (kind(MAP, INT32), "its numbers per channel"),
    ],
)
def test_tensors_that_do_not_fit(change, words):
    message = refusal(check, convolution(change))
    assert f"(LceBconv2d: {words} cannot be right)" in message


def test_an_output_that_is_packed_again_needs_thresholds_alone():
    def change(operator, tensors):
        tensors[MAP].type, tensors[MULTIPLIERS].type = INT32, INT32
        operator.inputs = [SIGNS, FILTERS, -1, -1, MULTIPLIERS]

    check(convolution(change))


@pytest.mark.parametrize("name", [b"LceQuantize", b"LceDequantize", b"LceBMaxPool2d"])
@pytest.mark.parametrize("given", [[], [IMAGE, IMAGE], [-1], None])
def test_operators_of_one_tensor(name, given):
    def change(model, graph):
        model.operatorCodes[0].customCode = name
        graph.operators[0].inputs = given

    message = refusal(check, changed(binary(), change))
    assert f"({name.decode()}: its tensors cannot be right)" in message


@pytest.mark.parametrize(
    "options",
    [
        *(None, b"", b"\0", b"\xff" * 9, bytes(160)),
        *(flexbuffers.Dumps(value) for value in (7, "text", [1, 2, 3], None)),
        flexbuffers.Dumps({**BINARY_OPTIONS, "padding": "SAME"}),
        flexbuffers.Dumps({**BINARY_OPTIONS, "padding": [0]}),
        flexbuffers.Dumps({**BINARY_OPTIONS, "padding": 0.5}),
        flexbuffers.Dumps(BINARY_OPTIONS) + b"\0",
        flexbuffers.Dumps({f"option_{i:02}": i for i in range(40)}),
    ],
)
def test_options_that_are_no_map_of_numbers(options):
    values = None if options is None else np.frombuffer(options, np.uint8)
    content = convolution(lambda operator, _: _options(operator, values))
    assert "LceBconv2d: its options cannot be right" in refusal(check, content)


def test_damaged_options_are_refused_or_do_no_harm():
    """The engine follows any offset that it finds in them, out of the file too."""
    generator = np.random.default_rng(6)
    original = encode(BINARY_OPTIONS)
    model = tflite_file.parse(binary())
    operator = model.subgraphs[0].operators[1]
    num_refused = 0
    for number in range(1000):
        damaged = original.copy()
        places = generator.integers(0, damaged.size, 1 + number % 3)
        damaged[places] = generator.integers(0, 256, places.size)
        operator.customOptions = damaged[: generator.integers(1, 2 * damaged.size)]
        try:
            binary_operators.check(model)
        except binary_operators.InputError:
            num_refused += 1
        else:
            found = flexbuffers.Loads(operator.customOptions.tobytes())
            assert found.keys() >= BINARY_OPTIONS.keys() and len(found) == 8
    assert num_refused > 900
