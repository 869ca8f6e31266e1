"""What is added to a picture before an integer layer: any that a byte stands for.

Beside the right results stand those that a wrong kernel would give.
"""

from collections.abc import Sequence

import delegate_runs
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from layer_files import (
    CHANNELS,
    SETTINGS,
    LayerFile,
    Step,
    check,
    identity,
    neighbourhoods,
)
from steady_numbers import SteadyNumbers


def picture(*size: int) -> np.ndarray:
    values = SteadyNumbers(f"picture {size}").whole(0, 255, *size).astype(np.uint8)
    values.flat[:2] = 0, 255
    return values


def of_picture(
    size: Sequence[int],
    steps: Sequence[Step],
    weights: np.ndarray,
    same: bool = True,
    constant_first: bool = False,
    **options: object,
) -> tuple[bytes, bytes]:
    """The layer over CAST and the steps."""
    file = LayerFile()
    x = file.step("CAST", file.input("uint8", size))
    for name, constant in steps:
        shape = size
        if constant is not None:
            shape = np.broadcast_shapes(tuple(size), np.shape(constant))
        x = file.step(name, x, constant, constant_first, shape, **options)
    return file.files(file.layer(x, weights, same))


SIZE = (2, 6, 5, CHANNELS)
EACH = np.array([-1.0, -128.0, -255.0])
ADDENDS: dict[str, np.ndarray] = {
    "one for each channel": EACH,
    "one for each, of four dimensions": EACH.reshape(1, 1, 1, 3),
    "one for all": np.array(-7.0),
    "one for all, of four dimensions": np.full((1, 1, 1, 1), -7.0),
    "zero": np.array(-0.0),
    "zeros": np.zeros(3),
}


@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("name", ADDENDS)
def test_an_addend(name, constant_first):
    """With itself as the result, and with zeros around it that a byte stands for."""
    image, addend = picture(*SIZE), ADDENDS[name]
    steps = [("ADD", addend)]
    files = of_picture(SIZE, steps, identity(), constant_first=constant_first)
    check(files, image, image.astype(np.float32) + addend)
    files = of_picture(SIZE, steps, neighbourhoods(), constant_first=constant_first)
    check(files, image)


@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize(
    "addend",
    [np.array([40.0, 0.0, 300.0]), np.array(1.0), np.array([-256.0, 5.0, -1000.0])],
    ids=str,
)
def test_an_addend_that_no_byte_makes_up_for(addend, constant_first):
    """That is right where there is no padding, and in floats where there is."""
    image = picture(*SIZE)
    for same in (False, True):
        files = of_picture(
            SIZE, [("ADD", addend)], neighbourhoods() % 7, same, constant_first
        )
        check(files, image, is_integer=not same)


def test_other_addends_are_told_apart():
    """What wrong ways would give, by LiteRT's own kernels."""

    def result(
        steps: Sequence[Step], image: np.ndarray | None = None, same: bool = True
    ) -> np.ndarray:
        image = picture(*SIZE) if image is None else image
        files = of_picture(image.shape, steps, neighbourhoods(), same)
        return delegate_runs.alone(files[0], [image])[0]

    addend = ("ADD", EACH)
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    wrong = {
        "taken away": result([("SUB", EACH)]),
        "left out": result([]),
        "the first for all": result([("ADD", EACH[0])]),
        "the last for all": result([("ADD", EACH[-1])]),
        "from the last to the first": result([("ADD", EACH[::-1])]),
        "padding with bytes of zero": result(
            [addend], np.pad(picture(*SIZE), around), False
        ),
        "padding with the first channel's zero": result(
            [addend], np.pad(picture(*SIZE), around, constant_values=1), False
        ),
    }
    numbers = result([addend])
    for name, other in wrong.items():
        assert not np.array_equal(other, numbers), name


@pytest.mark.parametrize("activation", [1, 2, 3])
@pytest.mark.parametrize("operator", ["ADD", "SUB"])
def test_an_addend_with_an_activation_runs_in_floats(operator, activation):
    """RELU, RELU_N1_TO_1 and RELU6 change what a byte stands for."""
    image, constant = picture(*SIZE), EACH if operator == "ADD" else -EACH
    files = of_picture(
        SIZE,
        [(operator, constant)],
        identity(),
        fusedActivationFunction=activation,
    )
    low, high = ((0, np.inf), (-1, 1), (0, 6))[activation - 1]
    wanted = np.clip(image.astype(np.float32) + EACH, low, high)
    assert not np.array_equal(wanted, image + EACH)
    check(files, image, wanted, is_integer=False)


SQUARE = (1, 3, 3, CHANNELS)
OTHER_PLACES: dict[str, tuple[Sequence[int], Sequence[Step], bool]] = {
    # As many numbers as there are channels.
    "for each column": (SQUARE, [("ADD", EACH.reshape(1, 1, 3, 1))], False),
    "for each row": (SQUARE, [("ADD", EACH.reshape(1, 3, 1, 1))], False),
    "for each position": (
        SQUARE,
        [("ADD", np.arange(-27.0, 0).reshape(SQUARE))],
        False,
    ),
    "makes channels": ((1, 3, 3, 1), [("ADD", EACH)], False),
    "makes images": (SQUARE, [("ADD", -np.ones((2, 1, 1, 3)))], False),
    "from a constant": (SQUARE, [("SUB", -EACH)], True),
    "of halves": (SQUARE, [("ADD", np.array([-1, -2.5, -3]))], False),
    "one half": (SQUARE, [("ADD", np.array(-0.5))], False),
    "of 24 bits": (SQUARE, [("ADD", np.array([-1, -(2.0**24), -3]))], False),
    "two of them": (SQUARE, [("ADD", EACH), ("ADD", EACH)], False),
}


@pytest.mark.parametrize("name", OTHER_PLACES)
def test_what_is_no_addend_runs_in_floats(name):
    size, steps, constant_first = OTHER_PLACES[name]
    files = of_picture(size, steps, identity(), constant_first=constant_first)
    check(files, picture(*size), is_integer=False)


def test_two_pictures_that_are_added_run_in_floats():
    """Neither is a constant."""
    file = LayerFile()
    places = [file.input("uint8", SQUARE) for _ in range(2)]
    images = [picture(*SQUARE), picture(*SQUARE)[:, ::-1]]
    both = [file.step("CAST", place) for place in places]
    x = file.builtin("ADD", both, file.tensor("float", SQUARE))
    plain, signed = file.files(file.layer(x, identity()))
    (wanted,) = delegate_runs.alone(plain, images)
    np.testing.assert_array_equal(wanted, images[0].astype(np.float32) + images[1])
    for setting in SETTINGS:
        (found, _), steps = delegate_runs.explained(signed, [images], setting)
        np.testing.assert_array_equal(found, wanted)
        assert "integer" not in steps


@pytest.mark.parametrize("rank", [2, 4])
def test_an_addend_before_a_dense_layer(rank):
    """Whose sums run over channels, or over whole pictures of some pixels."""
    size = (4, CHANNELS) if rank == 2 else (4, 2, 2, CHANNELS)
    depth = int(np.prod(size[1:]))
    weights = SteadyNumbers("dense").whole(-63, 63, 10, depth).astype(np.float32)
    file, image = LayerFile(), picture(*size)
    addend = np.array([300.0, -7.0, -400.0])
    x = file.step("ADD", file.step("CAST", file.input("uint8", size)), addend)
    inputs = [x, file.constant("float", weights), file.constant("float", np.zeros(10))]
    y = file.builtin("FULLY_CONNECTED", inputs, file.tensor("float", (4, 10)))
    numbers = (image.astype(np.float64) + addend).reshape(4, depth)
    check(file.files(y), image, numbers @ weights.T)


def test_a_picture_that_grows_into_its_addends_is_refused():
    """Of three channels when the filter was packed, it is of one, made three, now."""
    content = of_picture(SQUARE, [("ADD", EACH)], identity())[1]
    interpreter = Interpreter(
        model_content=content,
        experimental_delegates=[delegate_runs.r2b_runtime.delegate()],
    )
    interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(detail["index"], (1, 3, 3, 1))
    with pytest.raises(RuntimeError, match=r"made of one of shape \[1, 3, 3, 1\]"):
        interpreter.allocate_tensors()
    interpreter.resize_tensor_input(detail["index"], SQUARE)
    interpreter.allocate_tensors()
    image = picture(*SQUARE)
    found, _ = delegate_runs.run(interpreter, [image])
    np.testing.assert_array_equal(found, image + EACH)
