"""What r2b_runtime finds in files that r2b_keras wrote: model card and tensors."""

import dataclasses

import numpy as np
import pytest

from r2b_keras.converters import tflite_edit
from r2b_keras.converters.card import attach
from r2b_runtime import InputError, Interpreter, model_file
from r2b_runtime.board.card import ModelCard
from r2b_runtime.model_file import Tensor
from tests.converters.small_flatbuffers import (
    binary,
    changed,
    dense,
    dense_of,
    refusal,
    schema,
    tensor,
)
from tests.converters.test_card import FULL, MINIMAL, rewritten


def note(model, graph):
    buffer = tflite_edit.add_buffer(model, b"of theirs")
    tflite_edit.add_metadata(model, "note", buffer)


@pytest.mark.parametrize("given", [MINIMAL, FULL], ids=["minimal", "full"])
@pytest.mark.parametrize("file", [dense(), binary(), changed(dense(), note)])
def test_every_field_is_read_as_it_was_written(given, file):
    assert model_file.read_card(file) is None
    found = model_file.read_card(attach(file, given))
    assert isinstance(found, ModelCard)
    assert dataclasses.asdict(found) == dataclasses.asdict(given)


def test_a_list_of_fields_that_ends_before_the_metadata():
    """With the field before it the last one; what lies behind the list is no field."""

    def older(model, graph):
        model.metadataBuffer = [0]

    assert model_file.read_card(changed(dense(), older)) is None


def test_a_card_whose_buffer_is_not_there():
    def lose(model, graph):
        model.metadata[-1].buffer = len(model.buffers)

    file = changed(attach(dense(), MINIMAL), lose)
    assert "metadata have no buffer" in refusal(model_file.read_card, file)


@pytest.mark.slow
def test_no_damage_leads_out_of_the_file():
    """Every byte, with a flipped bit and cut off there: no card, or a sentence."""
    content = attach(binary(), FULL)
    num_read = num_refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for file in (bytes(damaged), content[:place]):
            try:
                model_file.read_tensors(file)
                model_file.check(file)
                found = model_file.read_card(file)
            except InputError:
                num_refused += 1
                continue
            # Its entry has another name.
            num_read += 1
            assert found is None
    assert 0 < num_read < 0.02 * len(content) and num_refused > len(content)


@pytest.mark.slow
def test_no_offset_leads_out_of_the_file():
    """Every word of the file as the largest, the smallest and other odd offsets."""
    content = np.frombuffer(attach(dense(), FULL), np.uint8)
    words = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - len(content), len(content) - 4)
    for place in range(0, len(content) - 4, 4):
        for word in words:
            damaged = content.copy()
            damaged[place : place + 4] = np.frombuffer(np.uint32(word).tobytes(), "u1")
            for read in (
                *(model_file.read_card, model_file.read_tensors, model_file.check),
            ):
                try:
                    read(damaged.tobytes())
                except InputError as error:
                    assert "\n" not in str(error)


def test_inputs_and_outputs():
    content = tensor(dense, 0, type=schema.TensorType.INT8, name=b"caf\xe9")
    assert model_file.read_tensors(content) == (
        [Tensor(r"caf\xe9", (1, 1, 64, 1), "int8")],
        [Tensor("tensor_2", (1, 3), "float32")],
    )
    unknown = tensor(dense, 2, type=99, shape=None)
    assert model_file.read_tensors(unknown)[1] == [Tensor("tensor_2", (), "type 99")]

    def turn(model, graph):
        graph.inputs, graph.outputs = [2, 1], [0]

    inputs, outputs = model_file.read_tensors(changed(dense(), turn))
    assert [each.name for each in inputs] == ["tensor_2", "weights"]
    assert [each.name for each in outputs] == ["tensor_0"]


def test_sides_of_any_length():
    signature = np.array([-1, -1, 64, 1], np.int32)
    inputs, _ = model_file.read_tensors(tensor(dense, 0, shapeSignature=signature))
    assert inputs[0].shape == (1, -1, 64, 1)


@pytest.mark.parametrize("make", [dense, binary])
def test_whole_files_pass_and_cut_ones_do_not(make):
    content = make()
    model_file.check(content)
    for length in range(0, len(content), len(content) // 50):
        with pytest.raises(InputError):
            model_file.check(content[:length])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda operator: setattr(operator, "inputs", [0, 99]), "a tensor that there"),
        (lambda operator: setattr(operator, "outputs", [-1]), "a tensor that there is"),
        (lambda operator: setattr(operator, "opcodeIndex", 7), "operator has no code"),
    ],
)
def test_operators_of_what_is_not_there(change, words):
    damaged = changed(dense(), lambda model, graph: change(graph.operators[-1]))
    assert words in refusal(model_file.check, damaged)
    assert words in refusal(Interpreter, damaged)


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_graphs_of_what_is_not_there(side):
    damaged = changed(dense(), lambda model, graph: setattr(graph, side, [99]))
    assert "a tensor that there is not" in refusal(model_file.check, damaged)


def test_weights_that_go_on_beyond_the_end():
    weights = np.ones((3, 64), np.float32)
    content = dense_of(weights)
    place = content.index(weights.tobytes())
    damaged = content[: place - 4] + b"\xff\xff\xff\x7f" + content[place:]
    assert "file is damaged" in refusal(model_file.check, damaged)


def test_what_is_left_out_or_of_no_buffer():
    def leave_out(model, graph):
        graph.operators[-1].inputs = [*graph.operators[-1].inputs, -1]

    model_file.check(changed(dense(), leave_out))
    assert "no buffer" in refusal(model_file.check, tensor(dense, 1, buffer=1000))


def test_shapes_and_names_longer_than_any():
    """Each is read for every tensor: a small file may have many of a shared one."""

    def sides(model, graph):
        graph.tensors[0].shape = np.ones(9, np.int32)

    for find in (model_file.check, model_file.read_tensors):
        message = refusal(find, changed(dense(), sides))
        assert "a list has 9 numbers, at most 8 are known" in message

    def name(model, graph):
        graph.tensors[graph.inputs[0]].name = b"x" * 5000

    (given,), _ = model_file.read_tensors(changed(dense(), name))
    assert given.name == "x" * 1000


def test_types_are_those_of_the_schema():
    types = vars(schema.TensorType).items()
    numbers = {number: name.lower() for name, number in types if type(number) is int}
    found = dict(enumerate(model_file.TYPES))
    assert {**numbers, **found} == numbers and len(found) >= 19


@pytest.mark.parametrize("index", [-1, 3, 2**31 - 1])
def test_tensors_that_there_are_none(index):
    def change(model, graph):
        graph.outputs = [index]

    message = refusal(model_file.read_tensors, changed(dense(), change))
    assert "damaged (something takes or gives a tensor that there is not)" in message


def test_a_file_without_a_graph():
    def change(model, graph):
        model.subgraphs = []

    message = refusal(model_file.read_tensors, changed(dense(), change))
    assert "damaged (it has no graph)" in message


@pytest.mark.parametrize("place", [0.25, 0.5, 0.75, 1])
def test_a_flipped_bit_is_told(place):
    """Wherever it is: a weight's would give other scores and no other sign of it."""
    content = bytearray(attach(dense(), FULL))
    content[int(place * len(content)) - 1] ^= 1
    assert "damaged" in refusal(model_file.read_card, bytes(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"",
            "The file is empty, not a .tflite file: expected a file",
        ),
        *((bad, "The file is no .tflite file") for bad in (b"PNG" * 5, b"TFL3")),
        (dense()[:7], "The file is no .tflite file"),
        (dense()[:8], "The .tflite file is damaged (an offset"),
        (rewritten(b"{"), "model card in the .tflite file is damaged ("),
        (
            rewritten(b'{"format": 2, "checksum": ""}'),
            "this r2b_runtime reads format 1",
        ),
    ],
)
def test_damage_is_told(content, words):
    assert words in refusal(model_file.read_card, content)
