"""r2b_runtime.Interpreter: scores against NumPy, batches, and what is refused."""

import concurrent.futures
import dataclasses
import subprocess
import sys
import time
import types

import numpy as np
import pytest
from graph_files import GraphFile

import r2b_runtime
from r2b_keras.converters.card import attach
from r2b_runtime import InputError, Interpreter, library, profiling
from tests.converters.small_flatbuffers import (
    BINARY_SHAPE,
    DENSE_CARD,
    binary,
    binary_scores,
    custom,
    dense,
    dense_of,
    dense_of_card,
    refusal,
    schema,
    tensor,
)


def images(num, shape=BINARY_SHAPE, seed=0):
    values = np.random.default_rng(seed).normal(size=(num, *shape))
    # The sign of a 0 is +1.
    values.reshape(-1)[::7] = 0
    return values.astype(np.float32)


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_any_number_of_images(batch_size):
    """To the last digits of float32: sums of signs are exact, their mean is not."""
    interpreter = Interpreter(binary(), batch_size=batch_size)
    assert interpreter.input_shape == (batch_size, *BINARY_SHAPE)
    assert interpreter.output_shape == (batch_size, 3)
    x = images(11)
    expected = binary_scores(x)
    for num in (0, 1, 2, 3, 5, 7, 11):
        found = interpreter.predict(x[:num])
        assert found.shape == (num, 3) and found.dtype == np.float32
        np.testing.assert_allclose(found, expected[:num], atol=2e-6)


@pytest.mark.parametrize("name", ["model.tflite", "no UTF-8: caf\udce9.tflite"])
def test_a_file_and_its_content(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(binary())
    x = images(3)
    expected = Interpreter(binary()).predict(x)
    for model in (path, str(path)):
        np.testing.assert_array_equal(Interpreter(model).predict(x), expected)


def test_scores_do_not_depend_on_threads_or_kernel(monkeypatch):
    x = images(4)
    monkeypatch.setenv("R2B_KERNEL", "portable")
    interpreter = Interpreter(binary())
    assert interpreter.kernel == "portable"
    expected = interpreter.predict(x)
    monkeypatch.delenv("R2B_KERNEL")
    num_run = 0
    for kernel in library.KERNELS:
        try:
            interpreter = Interpreter(binary(), 2, kernel)
        except InputError as error:
            assert str(error).startswith(f"kernel={kernel} is not available: this CPU ")
            continue
        num_run += 1
        assert interpreter.kernel == kernel and interpreter.num_threads == 2
        np.testing.assert_array_equal(interpreter.predict(x), expected)
    assert num_run >= 1
    for options in ({"fuse": False}, {"claim": "binary"}):
        found = Interpreter(binary(), **options).predict(x)
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_what_was_claimed_is_told():
    lines = Interpreter(binary(), 2).explanation.splitlines()
    assert "2 thread" in lines[0]
    assert any("binary convolution" in line for line in lines[1:])


def test_options_change_what_is_claimed_and_fused():
    fused, apart, bits = (
        Interpreter(binary(), **options).explanation.splitlines()
        for options in ({}, {"fuse": False}, {"claim": "binary"})
    )
    assert any("binary convolution + " in line for line in fused)
    assert not any("binary convolution + " in line for line in apart)
    assert any("mean" in line for line in fused + apart)
    assert not any("mean" in line for line in bits)


def test_a_long_text_is_read_whole(monkeypatch):
    text = b"pass + sign  [0]\n" * 1000

    def write(pointer, buffer, size):
        buffer.value = text[: size - 1]
        return len(text)

    native = types.SimpleNamespace(r2b_delegate_explanation=write)
    monkeypatch.setattr(library, "_library", lambda: native)
    made = types.SimpleNamespace(_get_native_delegate_pointer=lambda: 0)
    assert library.explanation(made) == text.decode()


def test_fewer_threads_than_asked_for_are_told(monkeypatch):
    """As the system may start no more."""
    monkeypatch.setattr(library, "num_threads", lambda made: 3)
    assert Interpreter(binary(), 8).num_threads == 3


def test_one_interpreter_in_four_threads(monkeypatch):
    """Each gets the scores of its own images, and nothing is said of the file."""
    interpreter = Interpreter(binary())
    generator = np.random.default_rng(5)
    images = generator.normal(size=(4, 20, *BINARY_SHAPE)).astype(np.float32)
    expected = [interpreter.predict(each) for each in images]
    run = interpreter.run

    def run_late():
        time.sleep(1e-3)  # the others' chance to store an image of theirs
        run()

    monkeypatch.setattr(interpreter, "run", run_late)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        np.testing.assert_array_equal(
            list(pool.map(interpreter.predict, images)), expected
        )


@pytest.mark.parametrize("num_threads", [65, 70_000, 2**31, 2**100])
@pytest.mark.parametrize(
    ("content", "shape"), [(binary(), BINARY_SHAPE), (dense(), (1, 64, 1))]
)
def test_any_number_of_threads_may_be_asked_for(content, shape, num_threads):
    interpreter, x = Interpreter(content, num_threads), images(4, shape)
    assert interpreter.num_threads == 64
    assert "64 thread" in interpreter.explanation or content == dense()
    expected = Interpreter(content, 1).predict(x)
    np.testing.assert_array_equal(interpreter.predict(x), expected)


# Its own process: a test's has threads of other libraries. Another thread has the
# interpreter for itself while the process is forked; the child runs what was stored.
FORK = """
import os, signal, sys, threading, numpy, r2b_runtime
model, x, claim, batch = sys.argv[1], numpy.load(sys.argv[2]), *sys.argv[3:]
interpreter = r2b_runtime.Interpreter(model, 2, batch_size=int(batch), claim=claim)
expected = interpreter.predict(x)
interpreter.set_input(x[-len(interpreter.output()):])
held, forked, invoke = threading.Event(), threading.Event(), interpreter._litert.invoke
def hold():
    held.set()
    forked.wait()
    invoke()
interpreter._litert.invoke = hold
running = threading.Thread(target=interpreter.run)
running.start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    interpreter.run()
    same = (interpreter.output() == expected[-len(interpreter.output()):]).all()
    sys.exit(0 if same and (interpreter.predict(x) == expected).all() else 1)
forked.set()
running.join()
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0
assert (interpreter.predict(x) == expected).all()

interpreter = r2b_runtime.Interpreter(model, 2, batch_size=int(batch), claim=claim)
child = os.fork()
if child == 0:
    signal.alarm(20)
    same = (interpreter.predict(x) == expected).all()
    del interpreter
    sys.exit(0 if same else 1)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def convolution():
    """A real-valued convolution of signs, with work for two threads of anyone's."""
    file, shape = GraphFile(), (1, 32, 32, 32)
    image = file.input("float", shape)
    packed = file.tensor("packed", (*shape[:3], 1))
    file.custom("LceQuantize", [image], packed)
    signs = file.custom("LceDequantize", [packed], file.tensor("float", shape))
    weights = np.random.default_rng(0).normal(size=(32, 3, 3, 32))
    constants = [file.constant("float", x) for x in (weights, np.zeros(32))]
    result = file.tensor("float", shape)
    file.builtin("CONV_2D", [signs, *constants], result, strideH=1, strideW=1)
    return file.content(result)


@pytest.mark.parametrize(("claim", "batch"), [("all", 1), ("all", 2), ("binary", 1)])
def test_a_forked_child_predicts(tmp_path, claim, batch):
    model, pictures = tmp_path / "model.tflite", tmp_path / "x.npy"
    model.write_bytes(convolution())
    np.save(pictures, images(4, (32, 32, 32)))
    command = [sys.executable, "-c", FORK, str(model), str(pictures), claim, str(batch)]
    assert subprocess.run(command, check=False).returncode == 0


DROPPED = """
import os, sys, numpy, r2b_runtime
interpreter = r2b_runtime.Interpreter(sys.argv[1], 4, claim="binary")
interpreter.predict(numpy.load(sys.argv[2]))
for end in ("del interpreter", "interpreter = None; sys.exit(0)", "sys.exit(0)"):
    child = os.fork()
    if child == 0:
        exec(end)
        sys.exit(0)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


def test_a_forked_child_that_drops_it_ends_well(tmp_path):
    """LiteRT's own threads, for which its interpreter would wait, are not there."""
    model, pictures = tmp_path / "model.tflite", tmp_path / "x.npy"
    model.write_bytes(convolution())
    np.save(pictures, images(1, (32, 32, 32)))
    command = [sys.executable, "-c", DROPPED, str(model), str(pictures)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["0", "0", "0"]


FORK_REFUSED = """
import os, sys, numpy, r2b_runtime
interpreter = r2b_runtime.Interpreter(sys.argv[1])
child = os.fork()
if child == 0:
    os.environ["R2B_KERNEL"] = "mmx"
    try:
        interpreter.run()
    except r2b_runtime.InputError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_forked_child_says_what_is_wrong_as_its_parent_does(tmp_path):
    model = tmp_path / "model.tflite"
    model.write_bytes(binary())
    command = [sys.executable, "-c", FORK_REFUSED, str(model)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.startswith("R2B_KERNEL=mmx is not available")


def test_numpy_that_is_too_new_for_an_interpreter(monkeypatch):
    def fail(**options):
        raise SystemError("returned a result with an exception set")

    monkeypatch.setattr(library, "delegate", lambda *options: None)
    module = types.SimpleNamespace(Interpreter=fail)
    monkeypatch.setattr(library, "litert", lambda: module)
    message = refusal(Interpreter, dense())
    assert f"does not run with NumPy {np.__version__} here" in message
    assert 'run `pip install "numpy<2"`' in message


def test_images_of_another_kind_and_layout():
    interpreter = Interpreter(dense(), num_threads=2, batch_size=2)
    x = images(3, interpreter.input_shape[1:])
    expected = interpreter.predict(x)
    np.testing.assert_array_equal(interpreter.predict(x.astype(np.float64)), expected)
    np.testing.assert_array_equal(interpreter.predict(np.asfortranarray(x)), expected)
    np.testing.assert_array_equal(interpreter.predict(x.tolist()), expected)
    for shape in (x.shape[1:], (3, 9, *x.shape[2:]), (*x.shape, 1), ()):
        message = refusal(interpreter.predict, np.zeros(shape, np.float32))
        assert str(shape) in message and "the network takes ('N', 1, 64, 1)" in message
    message = refusal(interpreter.predict, np.zeros(x.shape, np.uint8))
    assert "no model card that tells how pictures are prepared for it" in message
    for kind in (np.int32, bool, complex, "U1"):
        message = refusal(interpreter.predict, np.zeros(x.shape, kind))
        assert f"are of {np.dtype(kind)}, the network takes float32" in message


def test_numbers_that_no_picture_becomes():
    """Pixels as floats, which would be named without a word, and wrongly."""
    interpreter = Interpreter(attach(dense_of_card(), DENSE_CARD))
    shape = (2, *interpreter.input_shape[1:])
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    mean, std = np.float32(DENSE_CARD.mean), np.float32(DENSE_CARD.std)
    known = (pixels / np.float32(255) - mean) / std
    expected = interpreter.predict(pixels)
    np.testing.assert_allclose(interpreter.predict(known), expected, atol=1e-5)
    # Noise is no mistake.
    noisy = known + np.random.default_rng(0).normal(size=known.shape).astype("f4")
    assert interpreter.predict(noisy).shape == expected.shape
    as_floats = pixels.astype(np.float32)
    for wrong in (as_floats, -as_floats.astype(np.float64), known * np.nan):
        message = refusal(interpreter.predict, wrong)
        assert f"numbers from {wrong.min():g} to {wrong.max():g}, and pict" in message
        assert "give pixels as uint8" in message
    # Without a card nobody knows.
    assert Interpreter(dense()).predict(images(1, (1, 64, 1)) * 300).shape == (1, 3)


def test_a_run_leaves_earlier_scores_alone():
    interpreter = Interpreter(binary())
    x = images(2)
    scores = []
    for image in x:
        interpreter.set_input(image[np.newaxis])
        interpreter.run()
        scores.append(interpreter.output())
        interpreter.run()
    np.testing.assert_array_equal(np.concatenate(scores), interpreter.predict(x))


def test_a_card_of_another_network_prepares_no_pictures():
    card = dataclasses.replace(DENSE_CARD, input_type="uint8")
    picture = np.zeros((1, 64), np.uint8)
    interpreter = Interpreter(attach(dense_of_card(), DENSE_CARD))
    assert interpreter.predict(picture).shape == (1, 3)
    for other, words in (
        (card, "takes images of float32, and its model card says uint8"),
        (dataclasses.replace(DENSE_CARD, image_shape=(8, 8, 1)), r"shape (1, 64, 1)"),
        (dataclasses.replace(DENSE_CARD, class_names=("a", "b")), "has 3 outputs"),
    ):
        interpreter = Interpreter(attach(dense_of_card(), other))
        assert words in refusal(interpreter.predict, picture)


def test_a_damaged_file_is_refused_before_it_answers():
    """By its checksum: a flipped bit of a weight is as good as any other to LiteRT."""
    weights = np.ones((len(DENSE_CARD.class_names), 64), np.float32)
    whole, other = dense_of(weights), weights.copy()
    whole = attach(whole, DENSE_CARD)
    assert Interpreter(whole).card.class_names == DENSE_CARD.class_names
    other[1, 7] = -1.0
    damaged = whole.replace(weights.tobytes(), other.tobytes())
    assert damaged != whole and "damaged" in refusal(Interpreter, damaged)


def test_a_network_for_images_of_any_size_is_refused():
    """What is in its place would be images of a pixel."""

    def sized(signature):
        return tensor(binary, 0, shapeSignature=np.array(signature, np.int32))

    assert Interpreter(sized([-1, *BINARY_SHAPE])).input_shape == (1, *BINARY_SHAPE)
    message = refusal(Interpreter, sized([-1, -1, -1, BINARY_SHAPE[2]]))
    assert f"images of any size, (any, any, {BINARY_SHAPE[2]}), expected one" in message


@pytest.mark.parametrize("name", ["num_threads", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_counts_that_are_none(name, value):
    message = refusal(Interpreter, binary(), **{name: value})
    assert message.startswith(f"{name} is {value!r}, expected a whole number")


def test_counts_of_numpy():
    interpreter = Interpreter(binary(), batch_size=np.int64(2), num_threads=np.int8(1))
    assert interpreter.predict(images(3)).shape == (3, 3)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"",
            "The model is empty, not a .tflite file: expected a file",
        ),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "The model is no .tflite file: expected"),
        (binary()[:-400], "The .tflite file is damaged"),
        (custom("TheirOp"), "TheirOp"),
        (tensor(dense, 0, type=schema.TensorType.INT8), "has the inputs int8"),
        (tensor(dense, 2, type=schema.TensorType.INT8), "has the outputs int8"),
        (tensor(dense, 0, shape=[1, 1, 63, 1]), "LiteRT cannot run"),
        (
            tensor(binary, 1, shape=[1, 4, 5, 1]),
            "file (LceBconv2d (node 1): channels_",
        ),
    ],
)
def test_networks_that_cannot_be_run(content, words):
    message = refusal(Interpreter, content)
    assert words in message
    assert words.startswith("Their") or "unresolved" not in message


def test_files_that_there_are_none(tmp_path):
    assert "There is no file" in refusal(Interpreter, tmp_path / "none.tflite")
    assert "(Is a directory)" in refusal(Interpreter, tmp_path)
    for name in ("", "a\0.tflite"):
        assert f"The model's name is {name!r}" in refusal(Interpreter, name)
    assert "is float, expected the path" in refusal(Interpreter, 1.5)


def test_options_that_there_are_none():
    message = refusal(Interpreter, binary(), kernel="mmx")
    assert message.startswith("kernel=mmx is not available: this CPU runs ")
    assert "portable" in message
    assert "'some'" in refusal(r2b_runtime.delegate, claim="some")
    with pytest.raises(TypeError):
        r2b_runtime.delegate(cores=4)


LITERT, OLD_NAME, TENSORFLOW = library.INTERPRETERS


def test_without_litert(monkeypatch):
    for name in library.INTERPRETERS:
        monkeypatch.setitem(sys.modules, name, None)
    message = refusal(r2b_runtime.delegate)
    assert message.endswith("run `pip install ai-edge-litert`.")


def test_a_litert_that_does_not_start(monkeypatch, tmp_path):
    """It is told, and no other is taken in its place."""
    monkeypatch.setitem(sys.modules, LITERT, None)
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    for line, reason in (
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("raise ImportError('numpy is too new')", "numpy is too new"),
    ):
        package.joinpath("interpreter.py").write_text(line)
        assert f"tflite-runtime does not start here ({reason})" in refusal(
            r2b_runtime.delegate
        )


def test_the_delegate_runs_in_tensorflow_s_interpreter(monkeypatch):
    x = images(2)
    expected = Interpreter(binary()).predict(x)
    made_by_litert = r2b_runtime.delegate()
    for name in (LITERT, OLD_NAME):
        monkeypatch.setitem(sys.modules, name, None)
    assert library.litert().__name__ == TENSORFLOW
    with pytest.warns(UserWarning, match="deprecated"):
        found = Interpreter(binary()).predict(x)
    np.testing.assert_array_equal(found, expected)
    with pytest.warns(UserWarning, match="deprecated"):
        tensorflow = library.litert().Interpreter(
            model_content=binary(), experimental_delegates=[made_by_litert]
        )
    tensorflow.allocate_tensors()
    assert "binary convolution" in library.explanation(made_by_litert)


def test_a_library_that_does_not_load(monkeypatch, tmp_path):
    path = tmp_path / "libr2b_delegate.so"
    monkeypatch.setattr(library, "PATH", path)
    assert "No such file" in refusal(r2b_runtime.delegate)
    path.write_bytes(b"\x7fELF" + bytes(100))
    message = refusal(r2b_runtime.delegate)
    assert message.endswith("wheel that was built for this machine.")


def test_litert_s_own_interpreter_takes_the_delegate():
    from ai_edge_litert.interpreter import Interpreter as LiteRT

    delegate = r2b_runtime.delegate()
    litert = LiteRT(model_content=binary(), experimental_delegates=[delegate])
    litert.allocate_tensors()
    x = images(1)
    litert.set_tensor(litert.get_input_details()[0]["index"], x)
    litert.invoke()
    found = litert.get_tensor(litert.get_output_details()[0]["index"])
    np.testing.assert_array_equal(found, Interpreter(binary()).predict(x))
    assert "binary convolution" in library.explanation(delegate)


def test_time_of_steps():
    interpreter = Interpreter(binary(), profile=True)
    interpreter.predict(images(3))
    steps = profiling.steps(interpreter)
    assert all(step.count == 1 and step.time_ms >= 0 for step in steps)
    (convolution,) = (step for step in steps if "binary conv" in step.title)
    # 20 pixels, 3x3 of 33 channels, 3 filters; at least the map is written.
    assert convolution.num_macs == 20 * 9 * 33 * 3
    assert convolution.num_bytes >= 4 * 20 * 3
    assert profiling.steps(Interpreter(binary())) == []
