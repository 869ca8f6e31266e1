"""Flatbuffers as objects: round trips, and files that are damaged or none at all."""

import numpy as np
import pytest
from small_flatbuffers import binary, changed, custom, dense, packed, refusal

from r2b_keras.converters import tflite_edit, tflite_file
from r2b_keras.converters.tflite_file import parse, schema, serialize

FILES = {
    "dense": dense(),
    "dense of odd sizes": dense(num_inputs=7, num_classes=1),
    "binary": binary(),
    "custom": custom("TheirOp"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_was_written_is_read_and_written_alike(name):
    content = FILES[name]
    assert serialize(parse(content)) == content
    assert content[4:8] == b"TFL3"


def test_a_file_of_another_writer_settles_after_one_round():
    """The generated writer aligns nothing, so that its file differs from ours."""
    model = parse(FILES["binary"])
    for buffer in model.buffers:
        buffer.__class__ = schema.BufferT
    foreign = tflite_file.flatbuffers.Builder(0)
    foreign.Finish(model.Pack(foreign), b"TFL3")
    content = bytes(foreign.Output())
    ours = serialize(parse(content))
    assert ours != content
    assert serialize(parse(ours)) == ours
    for one, other in zip(parse(content).buffers, parse(ours).buffers, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


@pytest.mark.parametrize("size", [1, 2, 5, 15, 16, 17, 64, 1000])
def test_constants_start_at_multiples_of_16(size):
    def add(model, graph):
        for _ in range(3):
            tflite_edit.add_buffer(model, bytes(range(1, 1 + size % 200)) or b"\1")
            tflite_edit.add_buffer(model, b"x" * size)

    content = changed(FILES["dense"], add)
    root = schema.Model.GetRootAs(content, 0)
    places = []
    for index in range(root.BuffersLength()):
        table = root.Buffers(index)._tab
        field = table.Offset(4)
        if field:
            places.append(table.Vector(field))
    assert len(places) == 7
    assert [place % 16 for place in places] == [0] * 7
    assert content[places[-1] : places[-1] + size] == b"x" * size


def assert_read_or_refused(content):
    """No exception but ours, whatever the bytes; whether it was refused."""
    try:
        tflite_file.count_operators(content)
        tflite_edit.with_batch_size(content, 3)
        without_ballast(content)
    except tflite_file.InputError:
        refusal(tflite_file.count_operators, content)
        return True
    return False


@pytest.mark.parametrize("name", ["dense", "binary"])
def test_every_cut_off_file_is_refused(name):
    content = FILES[name]
    # The last bytes are padding.
    lengths = sorted({*range(30), *range(0, len(content) - 16, 11)})
    for length in lengths:
        assert assert_read_or_refused(content[:length]), length
    assert len(lengths) > 100


@pytest.mark.parametrize("num_bytes", [1, 2, 20])
def test_random_damage_is_refused_or_does_no_harm(num_bytes):
    generator = np.random.default_rng(num_bytes)
    original = np.frombuffer(FILES["binary"], np.uint8)
    num_refused = 0
    for _ in range(150):
        damaged = original.copy()
        places = generator.integers(8, damaged.size, num_bytes)
        if num_bytes == 1:
            damaged[places] ^= np.uint8(1 << generator.integers(8))
        else:
            damaged[places] = generator.integers(0, 256, num_bytes)
        num_refused += assert_read_or_refused(damaged.tobytes())
    # Most bytes of a file are of its tables.
    assert num_refused > 40


FOREIGN = {
    "nothing": b"",
    "a few bytes": b"TFL3",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "a page": b"<html>not found</html>",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "another version": b"\x1c\0\0\0TFL2" + bytes(500),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_files_are_told(name):
    message = refusal(parse, FOREIGN[name])
    problem = "is no .tflite file" if FOREIGN[name] else "is empty"
    assert problem in message and "TFL3 header" in message


@pytest.mark.parametrize("seed", range(20))
def test_noise_behind_the_right_header(seed):
    noise = np.random.default_rng(seed).bytes(400)
    assert "damaged" in refusal(parse, noise[:4] + b"TFL3" + noise)
    zeros = bytes([16, 0, 0, 0]) + b"TFL3" + bytes(10 * seed)
    assert "damaged" in refusal(parse, zeros)


def _set(path, value):
    """A change of one field, such as graph.tensors[0].shape."""

    def change(model, graph):
        *objects, field = path.split(".")
        found = {"model": model, "graph": graph}[objects[0]]
        for name in objects[1:]:
            found = found[int(name)] if name.isdigit() else getattr(found, name)
        setattr(found, field, value)

    return change


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("model.subgraphs", [], "it holds no graph"),
        ("model.operatorCodes", [], "an operator has no kind"),
        ("model.operatorCodes.0.customCode", b"Lce\xff", "can't decode byte 0xff"),
        ("model.operatorCodes.2.builtinCode", 9999, "unknown kind"),
        ("graph.tensors", [], "a graph has no tensors"),
        ("graph.tensors.0.buffer", 99, "a tensor has no buffer"),
        ("graph.tensors.0.shape", [1, -4, 5, 33], "'tensor_0' has an impossible shape"),
        ("graph.tensors.0.shape", [2**20, 2**20, 1, 1], "'tensor_0' has an impossible"),
        ("graph.tensors.0.shape", [1] * 9, "'tensor_0' has an impossible shape"),
        # 16 filters of 3x3 pixels and two words, of which the file has 3.
        ("graph.tensors.2.shape", [16, 3, 3, 2], "'tensor_2' has 216 bytes instead of"),
        ("graph.tensors.3.type", schema.TensorType.INT64, "12 bytes instead of 24"),
        ("graph.operators.0.inputs", [8], "an operator lacks input"),
        ("graph.operators.0.inputs", [-2], "an operator lacks input"),
        ("graph.operators.0.outputs", [-1], "an operator lacks output"),
        ("graph.operators.0.outputs", None, "an operator lacks output"),
        ("graph.operators.1.opcodeIndex", 3, "an operator has no kind"),
        ("graph.inputs", [], "a graph has no input"),
        ("graph.outputs", [8], "a graph has no output"),
    ],
)
def test_tables_that_contradict_each_other(path, value, words):
    if isinstance(value, list) and "operatorCodes" not in path:
        value = np.array(value, np.int32) if "subgraphs" not in path else value
    content = changed(FILES["binary"], _set(path, value))
    message = refusal(parse, content)
    assert message.startswith("The .tflite file is damaged (") and words in message


def test_metadata_must_have_a_buffer():
    def add(model, graph):
        tflite_edit.add_metadata(model, "note", 99)

    assert "metadata have no buffer" in refusal(parse, changed(dense(), add))


def test_long_and_odd_names_stay_out_of_messages():
    content = changed(dense(), _set("graph.tensors.1.name", b"a\n\xff" * 900))
    assert parse(content).subgraphs[0].tensors[1].name == b"a\n\xff" * 900
    other_shape = _set("graph.tensors.1.shape", np.array([9, 9], np.int32))
    assert r"constant 'a\n" in refusal(parse, changed(content, other_shape))


def test_a_graph_without_operators_has_an_empty_list():
    content = changed(dense(), _set("graph.operators", None))
    assert parse(content).subgraphs[0].operators == []
    assert tflite_file.count_operators(content) == {}


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
@pytest.mark.parametrize("name", ["dense", "binary"])
def test_the_batch_is_changed_and_nothing_else(name, batch_size):
    content = tflite_edit.with_batch_size(FILES[name], batch_size)
    found, expected = parse(content), parse(FILES[name])
    image = found.subgraphs[0].tensors[0]
    shape = expected.subgraphs[0].tensors[0].shape
    np.testing.assert_array_equal(image.shape, [batch_size, *shape[1:]])
    image.shape = shape
    assert serialize(found) == FILES[name]


def test_operators_are_counted_by_their_names():
    assert tflite_file.count_operators(FILES["dense"]) == {"FULLY_CONNECTED": 1}
    counts = tflite_file.count_operators(FILES["binary"])
    assert counts == {"LceQuantize": 1, "LceBconv2d": 1, "MEAN": 1}
    assert tflite_file.count_operators(FILES["custom"]) == {"TheirOp": 1}


@pytest.mark.parametrize("field", ["builtinCode", "deprecatedBuiltinCode"])
def test_old_files_have_the_kind_in_another_field(field):
    """Each of the two alone is enough; 0 is an ADD."""
    content = changed(dense(), _set(f"model.operatorCodes.0.{field}", 0))
    assert tflite_file.count_operators(content) == {"FULLY_CONNECTED": 1}


def code(model, kind, version):
    made = tflite_edit.make_operator(model, kind, [], 0, version=version)
    return made.opcodeIndex


def test_kinds_of_operators_are_found_or_added():
    model = parse(FILES["binary"])
    mean, mul = (getattr(schema.BuiltinOperator, kind) for kind in ("MEAN", "MUL"))
    assert code(model, "MEAN", 1) == 2
    assert code(model, "MEAN", 2) == 3
    assert code(model, "MUL", 1) == 4
    assert code(model, "MUL", 1) == 4
    # Behind the 127 that the old field ends at.
    assert code(model, "GELU", 1) == 5
    assert code(model, "LceBconv2d", 1) == 1
    codes = [(c.builtinCode, c.version) for c in model.operatorCodes[2:]]
    gelu = schema.BuiltinOperator.GELU
    assert codes == [(mean, 1), (mean, 2), (mul, 1), (gelu, 1)]
    assert gelu > 127 == model.operatorCodes[5].deprecatedBuiltinCode
    again = parse(serialize(model))
    assert [c.builtinCode for c in again.operatorCodes[2:]] == [mean, mean, mul, gelu]


def test_buffers_come_and_go():
    model = parse(FILES["dense"])
    size = len(model.buffers)
    first = tflite_edit.add_buffer(model, b"first")
    second = tflite_edit.add_buffer(model, b"second")
    assert (first, second) == (size, size + 1)
    assert tflite_edit.take_buffer(model, first) == b"first"
    # Others are known by their places.
    assert len(model.buffers) == size + 2
    assert tflite_edit.take_buffer(model, first) == b""
    assert tflite_edit.take_buffer(model, second) == b"second"
    assert len(model.buffers) == size + 1
    weights = model.subgraphs[0].tensors[1]
    assert len(tflite_file.constant(model, weights)) == 4 * 3 * 64
    assert tflite_file.constant(model, model.subgraphs[0].tensors[0]) == b""


def test_metadata_come_and_go():
    model = parse(FILES["dense"])
    assert tflite_edit.remove_metadata(model, "one") is None
    for name, buffer in (("one", 1), ("two", 0), ("one", 0)):
        tflite_edit.add_metadata(model, name, buffer)
    model = parse(serialize(model))
    assert tflite_edit.remove_metadata(model, "one") == 1
    assert [entry.name for entry in model.metadata] == [b"two"]
    assert tflite_edit.remove_metadata(model, "one") is None


def without_ballast(content):
    return changed(content, lambda model, graph: tflite_edit.remove_ballast(model))


def test_ballast_goes_and_nothing_else():
    def fill(model, graph):
        names = (b"in", b"net/conv/w;x/y", b"out")
        for tensor, name in zip(graph.tensors, names, strict=True):
            tensor.name = name
            tensor.quantization = schema.QuantizationParametersT()
        graph.tensors[0].quantization.scale = np.ones(1, np.float32)
        tflite_edit.add_metadata(model, "note", tflite_edit.add_buffer(model, b"mine"))
        # Computed tensors and constants, with buffers that hold nothing in between.
        empty, full = (
            tflite_edit.add_buffer(model, content) for content in (b"", b"of two")
        )
        for name, buffer in ((b"net/conv/a;x/y", empty), (b"net/dense/b", full)):
            tensor = graph.tensors[
                tflite_edit.add_tensor(model, graph, name, (6,), kind=9)
            ]
            tensor.buffer = buffer

    full = changed(FILES["dense"], fill)
    light = without_ballast(full)
    assert len(light) < len(full)
    models = [parse(file) for file in (light, full)]
    tensors = models[0].subgraphs[0].tensors
    assert [t.name for t in tensors] == [b"in", b"out", b"out", b"conv", None]
    assert [t.quantization is None for t in tensors[:3]] == [False, True, True]
    before, after = (
        [tflite_file.constant(model, t) for t in model.subgraphs[0].tensors]
        for model in models
    )
    assert before == after and len(before[1]) == 4 * 3 * 64
    assert [len(model.buffers) for model in models] == [4, 5]
    assert bytes(models[0].buffers[models[0].metadata[0].buffer].data) == b"mine"
    assert without_ballast(light) == light


def test_bits_are_packed_as_the_format_says():
    """By hand: channel 0 is the lowest bit, a set bit is a -1, unused ones are 0."""
    signs = np.ones((1, 33))
    signs[0, [0, 5, 31, 32]] = -1
    np.testing.assert_array_equal(packed(signs), [[(1 | 1 << 5) - 2**31, 1]])


def test_files_that_cannot_be_read(tmp_path):
    missing = tmp_path / "none.tflite"
    assert f"There is no file {missing}" in refusal(tflite_file.read_bytes, missing)
    message = refusal(tflite_file.read_bytes, tmp_path)
    assert message.startswith(f"{tmp_path} is a folder")
    file = tmp_path / "model.tflite"
    file.write_bytes(FILES["dense"])
    assert tflite_file.read_bytes(str(file)) == FILES["dense"]
    assert "(Not a directory)" in refusal(tflite_file.read_bytes, file / "model")


def test_a_file_without_permission(tmp_path, monkeypatch):
    """As its owner, who is not root, would meet it."""

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tflite_file.pathlib.Path, "read_bytes", refuse)
    assert "(Permission denied)" in refusal(tflite_file.read_bytes, tmp_path / "a")


# What every such file begins with.
HEADER = b"\x1c\0\0\0TFL3"


def test_files_by_names_of_their_own(tmp_path):
    paths = [tmp_path / "a" / "x", tmp_path / "b" / "x", tmp_path / "b" / "y"]
    for number, path in enumerate(paths):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(HEADER + bytes([number]))
    first, second, third = map(str, paths)
    found = tflite_file.read_named([first, third, second, third, third])
    assert found == {
        first: HEADER + b"\0",
        "y": HEADER + b"\2",
        second: HEADER + b"\1",
        "y #2": HEADER + b"\2",
        "y #3": HEADER + b"\2",
    }
    assert list(found) == [first, "y", second, "y #2", "y #3"]
    latin = tmp_path / "caf\udce9"
    latin.write_bytes(HEADER)
    assert tflite_file.read_named([str(latin)]) == {"caf\\udce9": HEADER}


def test_metadata_follow_their_buffer():
    """Empty buffers before it go, and its number becomes a smaller one."""

    def fill(model, graph):
        tflite_edit.add_buffer(model, b"")
        tflite_edit.add_metadata(model, "note", tflite_edit.add_buffer(model, b"mine"))

    full = changed(FILES["dense"], fill)
    places = []
    for content in (full, without_ballast(full)):
        model = parse(content)
        places.append(model.metadata[0].buffer)
        assert bytes(model.buffers[places[-1]].data) == b"mine"
    assert places[1] == places[0] - 1
